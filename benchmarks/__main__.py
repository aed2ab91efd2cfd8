"""`python -m benchmarks [name ...]`: measures, prints what was found, and renews it in docs/benchmarks.md."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from benchmarks.results import Result, versions, write

HERE = Path(__file__).parent


def names() -> list[str]:
    """Return the benchmarks: the modules here that have a function `main`."""
    return sorted(
        path.stem for path in HERE.glob("*.py") if "\ndef main() -> Result" in path.read_text(encoding="utf-8")
    )


def run(wanted: list[str]) -> None:
    """Run these benchmarks, or all."""
    unknown = [name for name in wanted if name not in names()]
    if unknown:
        sys.exit(f"benchmarks has no {', '.join(unknown)}; there are {', '.join(names())}. Nothing was measured.")
    for name in wanted or names():
        found: Result = importlib.import_module(f"benchmarks.{name}").main()
        print(f"## {found.name}\n\n{found.markdown}\n\n{versions()}\n", flush=True)  # noqa: T201
        write(found)


if __name__ == "__main__":
    run(sys.argv[1:])
