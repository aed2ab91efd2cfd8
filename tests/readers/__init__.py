"""Every table as every reader sees it: `python -m tests.readers` makes the table in docs/operations/hive.md."""
