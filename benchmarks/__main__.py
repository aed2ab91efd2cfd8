"""`python -m benchmarks [name ...]`: measures, and prints what docs/benchmarks.md is made of."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    """Return the benchmarks: the modules here that have a function `main`."""
    return sorted(path.stem for path in HERE.glob("*.py") if "\ndef main()" in path.read_text(encoding="utf-8"))


def run(wanted: list[str]) -> None:
    """Run these benchmarks, or all."""
    unknown = [name for name in wanted if name not in names()]
    if unknown:
        sys.exit(f"benchmarks has no {', '.join(unknown)}; there are {', '.join(names())}. Nothing was measured.")
    for name in wanted or names():
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    run(sys.argv[1:])
