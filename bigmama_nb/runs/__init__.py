"""Runs: planned as a grid, executed stage by stage, recorded as they go on, sealed, repaired."""
