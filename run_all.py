"""The command: `python run_all.py --help` lists its verbs."""

import sys

try:
    from bigmama_nb.cli import main
except ModuleNotFoundError as missing:
    sys.stderr.write(
        f"run_all.py: {sys.executable} has no package {missing.name!r}. Nothing was run. 'make run' installs what is "
        "needed into .venv; then use .venv/bin/python run_all.py.\n"
    )
    sys.exit(2)

if __name__ == "__main__":
    main()
