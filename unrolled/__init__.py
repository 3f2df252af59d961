"""Sequence models, unrolled."""

__version__ = "0.1.0"
