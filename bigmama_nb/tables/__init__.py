"""One module a table: its CONTRACT and the expression that makes it. Nothing here executes."""
