"""Where notebooks and profiles are, in a checkout and in an installed package, and how the command is called there.

A wheel holds `notebooks`, `parameters` and `docs/examples` below `bigmama_nb/_project`. What a run makes never goes
there: an installed command works on the current folder.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from bigmama_nb.errors import ProfileError

_CHECKOUT = Path(__file__).resolve().parents[1]
_PACKAGED = Path(__file__).resolve().parent / "_project"

INSTALLED = _PACKAGED.is_dir()
"""Whether this is an installed package, whose notebooks and profiles are package data."""
ROOT = _PACKAGED if INSTALLED else _CHECKOUT
"""The folder that holds `notebooks`, `parameters` and `docs`."""
NOTEBOOKS = ROOT / "notebooks"
SAMPLE = ROOT / "parameters" / "sample.yaml"
COMMAND = "bigmama-nb" if INSTALLED or Path(sys.argv[0]).name == "bigmama-nb" else "run_all.py"


_HINT = re.compile(r"'((?:python )?(?:run_all\.py|bigmama-nb) [a-z][^'\n]*)'")


def as_called(text: str, profile: str | Path | None = None, command: str = COMMAND) -> str:
    """Return a text whose hints name the command as it was called, and the profile that it was called with.

    A hint is what a message tells its reader to type, in quotes: `'run_all.py repair latest'`. One that names a profile
    already, or asks for help, stays as it is.

    Args:
        profile: the profile's path; None: hints name none.
        command: `run_all.py`, or `bigmama-nb`.
    """
    if "run_all.py" not in text and "bigmama-nb" not in text:
        return text
    if profile:
        named = f"--profile {_quoted(str(profile))}"
        text = _HINT.sub(
            lambda hint: hint[0] if re.search(" --(profile|help)", hint[1]) else f"'{hint[1]} {named}'", text
        )
    if command == "run_all.py":
        return text
    return re.sub(r"(?<![\w./-])(?:\.venv/bin/)?(?:python )?run_all\.py\b", command, text)


def without_run(text: str, step: str = "the same command") -> str:
    """Return a text that tells its reader to do `step` where it says `'run_all.py repair latest'`.

    For where there is no run that this repairs: it would take up another one.
    """
    return re.sub(r"'(?:run_all\.py|bigmama-nb) repair latest(?: --profile [^'\n]*)?'", lambda _: step, text)


def _quoted(path: str) -> str:
    # Hints stand in single quotes themselves.
    return path if shlex.quote(path) == path else '"' + re.sub(r'(["\\$`])', r"\\\1", path) + '"'


def repair_command(run_id: str, profile: str | Path) -> str:
    """Return the command that redoes what is no success in a run, to be copied."""
    return as_called(f"python run_all.py repair {run_id} --profile {_quoted(str(profile))}")


def notebooks_of(profile: Path) -> Path:
    """Return the folder whose notebooks a run of this profile executes.

    The `notebooks` beside the profile's folder where there are any, as in a project that `init` made; else the
    package's own.
    """
    own = profile.parent.parent / "notebooks"
    return own if (own / "10_extract.ipynb").is_file() else NOTEBOOKS


def sample_profile() -> Path:
    """Return the profile that is used where none is named: the sample.

    Of an installed package it is `out/sample.yaml` in the current folder, so that what a run makes is in `out`, too;
    it is copied there where it is missing.

    Raises:
        ProfileError: the copy cannot be written.
    """
    return _copied(SAMPLE, Path.cwd() / "out" / SAMPLE.name) if INSTALLED else SAMPLE


def _copied(original: Path, copy: Path) -> Path:
    if copy.is_file():
        return copy
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=copy.parent, prefix=".", delete=False) as file:
            file.write(original.read_bytes())
        os.replace(file.name, copy)
    except OSError as error:
        raise ProfileError(
            f"{copy}: the sample's profile cannot be written into the current folder ({error.strerror})",
            step="go to a folder that you may write, or name a profile by --profile",
        ) from None
    return copy
