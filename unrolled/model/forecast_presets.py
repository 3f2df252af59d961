"""The named shapes that forecast: `model=gru`, `model=dlinear`, `model=transformer model.patch=16`."""

from __future__ import annotations

from typing import Any

from unrolled.errors import UserError
from unrolled.model.presets import known_kinds, preset
from unrolled.model.spec import Spec

LINEAR = {"dlinear": "decomposed", "nlinear": "none"}  # kind -> what becomes of its one patch


def forecasters() -> list[str]:
    """The kinds that forecast."""
    return sorted([*LINEAR, *(kind for kind in known_kinds(whole=True) if kind != "bag")])


def forecasting(
    kind: str, head: Spec, *, inputs: int, lookback: int, patch: int | None = None, **options: Any
) -> Spec:
    """The spec of a named model over windows of `lookback` steps of `inputs` numbers. head: its head's, without a width.

    patch: so many steps become one token (a Transformer's patches overlap by half); 1: each step is a token, and the model
    streams. dlinear and nlinear: one linear map of the window, of the whole look-back. Raises UserError for a patch
    longer than the look-back, and for options that a kind hasn't got.
    """
    if kind in LINEAR:
        if extra := sorted(key for key, value in options.items() if value):
            raise UserError(f"model={kind} is one linear map of the look-back: it has no {extra[0]}.")
        width = lookback * inputs * (1 + (kind == "dlinear"))
        embedder: Spec = {
            "kind": "series_patches",
            "inputs": inputs,
            "width": width,
            "size": lookback,
            "map": LINEAR[kind],
        }
        return {
            "embedder": embedder,
            "core": {"layers": [{"kind": "pool", "width": width, "reduce": "last"}]},
            "head": head,
        }
    made = preset(kind, 1, **options)
    width = made["embedder"]["width"]
    if (patch or 1) > lookback:
        raise UserError(
            f"model.patch={patch} is longer than lookback={lookback}. Give a shorter patch, or more look-back."
        )
    if (patch or 1) > 1:
        stride = max(1, (patch or 1) // 2) if kind in ("transformer", "encoder") else patch
        embedder = {
            "kind": "series_patches",
            "inputs": inputs,
            "width": width,
            "size": patch,
            "stride": stride,
        }
    else:
        embedder = {"kind": "values", "inputs": inputs, "width": width}
    core = {**made["core"], "input_dropout": 0.0}  # a feature dropped from all steps is a channel unseen
    return {"embedder": embedder, "core": core, "head": head}
