"""Fair races between models, named experiments with the figures they must reach, the demo, and their reports."""
