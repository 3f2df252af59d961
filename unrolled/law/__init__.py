"""The law, as a function anyone can call on a mixer of their own: `un.law.check(mixer)`.

    ya, t = mixer(a, s);  yb, u = mixer(b, t)      gives      (ya ++ yb, u) == mixer(a ++ b, s)

Two states are equal when they hold the same vectors and every continuation answers the same: memories of past
inputs (Tail, Slots) may keep what no later output can see.
"""

from __future__ import annotations

from torch import nn

from unrolled.errors import UserError
from unrolled.law import streaming, whole
from unrolled.law.checker import Checker, Inputs
from unrolled.law.report import Finding, Report
from unrolled.state import Source

__all__ = ["Finding", "Inputs", "Report", "check"]

ALWAYS = (whole.packed_documents, whole.padding, whole.reach)
STREAMING = (
    streaming.random_cuts,
    streaming.token_by_token,
    streaming.no_tokens,
    streaming.gradients_across_cuts,
    streaming.rules_of_state,
    streaming.many_documents,
)


def check(
    mixer: nn.Module,
    source: Source | None = None,
    *,
    inputs: Inputs | None = None,
    cuts: int = 200,
    time: int = 13,
    seed: int = 0,
    tolerance: tuple[float, float] | None = None,
) -> Report:
    """Holds `mixer` to the law, in its own dtype and in eval mode, and reports the worst error of every check.

    source: for a conditioned mixer, with 3 rows. inputs(batch, time, generator): raw inputs, standard normal vectors
    (B, T, mixer.inputs) unless given. cuts: random cuts tried. tolerance: (values, gradients) relative to the largest
    entry. Raises UserError for a conditioned mixer without a source.
    """
    if getattr(mixer, "conditioned", False) and source is None:
        raise UserError(
            f"{type(mixer).__name__} reads a source: law.check(mixer, source=Source(values, valid))."
        )
    was_training = mixer.training
    mixer.eval()
    try:
        checker = Checker(mixer, source, inputs, cuts, time, seed, tolerance)
        for law in (*ALWAYS, *(STREAMING if checker.streams else (whole.cannot_stream,))):
            law(checker)
    finally:
        mixer.train(was_training)
    return checker.report
