"""Measurements against peers, each in one run: `python -m benchmarks [name]`."""
