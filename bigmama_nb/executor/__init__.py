"""One notebook in one kernel: executed, sealed, its secrets hidden. Nothing here knows what a run is."""
