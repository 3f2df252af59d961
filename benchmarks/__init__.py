"""Tables of speed, each printed by its own command: `python -m benchmarks.NAME [threads]`."""
