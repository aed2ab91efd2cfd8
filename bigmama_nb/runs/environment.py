"""Where a run happens: what `environment` in run.json says."""

from __future__ import annotations

import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from packaging.requirements import Requirement

from bigmama_nb import __version__
from bigmama_nb.profile import Profile
from bigmama_nb.project import INSTALLED, ROOT


def describe(profile: Profile) -> dict[str, Any]:
    """Return package, git (commit or null), dirty (bool or null), python, packages by version, host and engine."""
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    packages = _packages()
    return {
        "package": __version__,
        "git": commit or None,
        "dirty": None if commit is None or changes is None else bool(changes),
        "python": platform.python_version(),
        "packages": packages,
        "host": socket.gethostname(),
        "engine": {"kind": profile.engine.kind, "version": packages.get(_ENGINES[profile.engine.kind])},
    }


_ENGINES = {"duckdb": "duckdb", "spark": "pyspark"}


def _packages() -> dict[str, str]:
    try:
        declared = requires("bigmama-nb") or []
    except PackageNotFoundError:
        declared = []
    found = {}
    for name in sorted({Requirement(text).name for text in declared} | set(_ENGINES.values())):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git(*arguments: str) -> str | None:
    # An installed package may lie in a folder of somebody else's repository.
    if INSTALLED:
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
