"""The feed-forward network over a fixed window: what came before recurrence, and what it is compared with."""

from __future__ import annotations

from unrolled.errors import positive
from unrolled.mixers.convolution import CausalConv


class Window(CausalConv):
    """y = tanh(d + H [x_{t-k+1} ... x_t]): the hidden layer of the neural probabilistic language model.

    Bengio et al. 2003, "A Neural Probabilistic Language Model", JMLR 3, sec. 2, eq. 1. A convolution whose kernel is
    the window: it can't see, and so can't learn, what lies `context` tokens or more before.
    """

    def __init__(self, width: int, *, inputs: int | None = None, context: int = 16) -> None:
        positive("Window", context=context)
        super().__init__(width, inputs=inputs, kernel=context, activation="tanh")
