"""A run of its own, for the tests to stop or kill: `python -m tests.runs.runner FOLDER`; prints the outcome."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from bigmama_nb.runs.signals import stopped_by_signals
from tests.runs.stages import run

if __name__ == "__main__":
    with stopped_by_signals() as stop:
        executed = run(Path(sys.argv[1]), stop=stop)
    sys.stdout.write(json.dumps(asdict(executed), default=str))
