"""The command: `python run_all.py --help` lists its verbs."""

from bigmama_nb.command import main

if __name__ == "__main__":
    main()
