"""Who races: one shape for each kind of model, all of the same size, everything else from the table of defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from unrolled.errors import UserError
from unrolled.model import build, known_kinds, matched_width, preset
from unrolled.training.defaults import fill
from unrolled.training.recipe import Recipe

MODELS = ("rnn", "lstm", "gru", "mingru", "transformer")
OPPONENT = "window"  # stands in every table: what came before recurrence
MEASURE = "lstm"  # whose size is everybody's, unless another is asked for
TOLERANCE = 0.05  # largest share by which a member's size may miss the target
CLOSE = 0.005  # a width that comes this near needs no help from the feed-forward's


@dataclass(frozen=True)
class Shape:
    """A kind of model at the common size. `choice`: the model keys that give it, beside the kind's defaults."""

    kind: str
    parameters: int  # trainable, tied ones once, embedder and head included
    choice: dict[str, int]


def field_of(models: tuple[str, ...] | list[str]) -> list[str]:
    """The kinds asked for, each once, and the fixed window. Raises UserError for a kind there is not."""
    kinds = list(dict.fromkeys([*models, OPPONENT]))
    for kind in kinds:
        fill(Recipe.of(model=kind, task="generate"), known_kinds(), "cpu")
    return kinds


def common_size(vocabulary: int) -> tuple[int, str]:
    """The number of weights all get unless `parameters=` says another, and why."""
    return _count(MEASURE, vocabulary, _options(MEASURE)), f"what `unrolled train model={MEASURE}` makes"


def matched(kind: str, vocabulary: int, parameters: int) -> Shape:
    """The shape of `kind` nearest to `parameters` weights: first the width, then the feed-forward's, depth untouched.

    Raises UserError when none comes within TOLERANCE.
    """
    options = {k: v for k, v in _options(kind).items() if k not in ("width", "hidden")}
    with torch.device("meta"):  # counted, not filled
        choice = {"width": matched_width(kind, vocabulary, parameters, **options)}
    found = _count(kind, vocabulary, options | choice)
    inner = _hidden(kind, vocabulary, options | choice)
    if inner and abs(found - parameters) > CLOSE * parameters:
        each = _count(kind, vocabulary, options | choice | {"hidden": inner + 1}) - found
        choice["hidden"] = max(1, inner + round((parameters - found) / each))
        found = _count(kind, vocabulary, options | choice)
    if abs(found - parameters) > TOLERANCE * parameters:
        raise UserError(
            f"parameters={parameters}: the nearest {kind} over {vocabulary} tokens has {found:,}, more than "
            f"{100 * TOLERANCE:.0f} % away. Ask for another size, as in parameters={_round(2 * max(found, parameters))}."
        )
    return Shape(kind, found, choice)


def _options(kind: str) -> dict[str, Any]:
    """The model keys that the table of defaults sets for a kind."""
    model = fill(Recipe.of(model=kind, task="generate"), known_kinds(), "cpu")[0].model
    return {key: value for key, value in asdict(model).items() if key != "kind" and value is not None}


def _count(kind: str, vocabulary: int, options: dict[str, Any]) -> int:
    with torch.device("meta"):
        return build(preset(kind, vocabulary, **options)).parameter_count()


def _hidden(kind: str, vocabulary: int, options: dict[str, Any]) -> int | None:
    """The width inside the kind's feed-forwards; None where it has none."""
    layers = preset(kind, vocabulary, **options)["core"]["layers"]
    return next((int(x.get("hidden") or 4 * x["width"]) for x in layers if x["kind"] == "ffn"), None)


def _round(number: int) -> str:
    return f"{round(number / 1000)}k"
