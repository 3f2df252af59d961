"""The law, as a function anyone can call on a mixer of their own: `un.law.check(mixer)`.

    ya, t = mixer(a, s);  yb, u = mixer(b, t)      gives      (ya ++ yb, u) == mixer(a ++ b, s)

Two states are equal when they hold the same vectors and every continuation answers the same: memories of past
inputs (Tail, Slots) may keep what no later output can see.
"""

from __future__ import annotations

import torch
from torch import nn

from unrolled.errors import UserError, positive
from unrolled.law import streaming, whole
from unrolled.law.checker import TOLERANCE, Checker, Inputs, anchor
from unrolled.law.report import Finding, Report
from unrolled.state import Source

__all__ = ["Finding", "Inputs", "Report", "check"]

ALWAYS = (whole.packed_documents, whole.ragged_rows, whole.padding, whole.reach)
STREAMING = (
    streaming.random_cuts,
    streaming.token_by_token,
    streaming.no_tokens,
    streaming.gradients_across_cuts,
    streaming.rules_of_state,
    streaming.rows_of_state,
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
    (B, T, mixer.inputs) unless given. cuts: random cuts tried. time: steps of an input, at least 2. tolerance:
    (values, gradients) relative to the largest entry. What the mixer raises is a finding too. Raises UserError for
    arguments that can't be checked, a conditioned mixer without a source among them.

    Biases that begin at zero hide mistakes: give the parameters random values first.
    """
    _checkable(mixer, source, cuts, time, tolerance)
    modes = {module: module.training for module in mixer.modules()}
    mixer.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            checker = Checker(mixer, source, inputs, cuts, time, seed, tolerance)
            for law in (*ALWAYS, *(STREAMING if checker.streams else (whole.cannot_stream,))):
                try:
                    law(checker)
                except Exception as error:
                    first = str(error).strip().partition("\n")[0]
                    complaint = f"raised {type(error).__name__}: {first}"
                    checker.holds(law.__name__.replace("_", " "), False, complaint)
    finally:
        for module, training in modes.items():
            module.training = training
    return checker.report


def _checkable(
    mixer: nn.Module, source: Source | None, cuts: int, time: int, tolerance: tuple[float, float] | None
) -> None:
    name = type(mixer).__name__
    where = anchor(mixer) if isinstance(mixer, nn.Module) else None
    if where is None or not (hasattr(mixer, "start") and hasattr(mixer, "reach")):
        raise UserError(
            f"law.check takes a Mixer, a Core or a Model: a module with start and reach. Got {name}."
        )
    if tolerance is None and where.dtype not in TOLERANCE:
        raise UserError(
            f"law.check: no tolerance is known for {where.dtype}; give tolerance=(values, gradients)."
        )
    positive("law.check", cuts=cuts, time=time)
    if time < 2:
        raise UserError("law.check: time is 1; a cut needs at least 2 steps.")
    if getattr(mixer, "conditioned", False) and source is None:
        raise UserError(f"{name} reads a source: law.check(mixer, source=Source(values, valid)).")
    if source is not None and len(source.values) != Checker.batch:
        raise UserError(f"law.check: the source has {len(source.values)} rows; it needs {Checker.batch}.")
