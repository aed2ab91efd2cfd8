"""Notebook-driven reporting: game metrics and live viewing, from their sources to one table each."""

__version__ = "0.1.0"
