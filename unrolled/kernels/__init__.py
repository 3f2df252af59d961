"""Fast ways to numbers that a plain, slower line also gives; tests hold each to its reference."""

from unrolled.kernels.affine import Affine, affine, quick

__all__ = ["Affine", "affine", "quick"]
