"""A model as C: one header, one file, no dependencies.

Not one template for each mixer but a small compiler: the graph of one step becomes plain C99 loops with constant bounds
(`program`, with the tables of `pointwise` and `operators`), so that a new mixer exports without a line of its own.
"""

from unrolled.exports.c.write import made, write_c

__all__ = ["made", "write_c"]
