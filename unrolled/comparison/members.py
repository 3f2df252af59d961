"""Who races: one shape for each kind of model, all of the same size, everything else from the table of defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from unrolled.errors import UserError, unknown
from unrolled.model import build, forecasters, known_kinds, matched_width
from unrolled.model.forecast_presets import LINEAR
from unrolled.model.spec import Spec
from unrolled.training.material import Material
from unrolled.training.recipe import ModelChoice, Recipe
from unrolled.training.setup import filled_in

MODELS = ("rnn", "lstm", "gru", "mingru", "transformer")
OPPONENT = "window"  # stands in every table of models that go on with text: what came before recurrence
BLIND = "bag"  # stands in every table of models that answer: it sees its steps in no order
LINE = "nlinear"  # stands in every table of forecasts: one linear map of the look-back, of whatever size that makes
MEASURE = "lstm"  # whose size is everybody's, unless another is asked for
TOLERANCE = 0.05  # largest share by which a member's size may miss the target
CLOSE = 0.005  # a width that comes this near needs no help from the feed-forward's


@dataclass(frozen=True)
class Shape:
    """A kind of model at the common size. `choice`: the model keys that give it, beside the kind's defaults."""

    kind: str
    parameters: int  # trainable, tied ones once, embedder and head included
    choice: dict[str, int]

    def near(self, parameters: int) -> bool:
        """Whether it has the common size."""
        return abs(self.parameters - parameters) <= TOLERANCE * parameters


def field_of(models: Sequence[str], answers: bool = False, series: bool = False) -> list[str]:
    """The kinds asked for, each once, and the opponent that always stands beside them. answers: they answer rows;
    series: they foretell series.

    Raises UserError for a kind there is not, and for nobody but the opponent.
    """
    opponent = LINE if series else BLIND if answers else OPPONENT
    if not set(models) - {opponent}:
        raise UserError(f"models={','.join(models)}: name at least one beside {opponent}.")
    kinds = list(dict.fromkeys([*models, opponent]))
    known = forecasters() if series else known_kinds(whole=answers)
    for kind in kinds:
        if kind not in known:
            raise unknown("model", kind, known)
    return kinds


class Sizes:
    """The models that a recipe makes of its data, counted and not filled."""

    def __init__(self, material: Material, recipe: Recipe) -> None:
        self.material, self.recipe = material, recipe

    def common(self) -> tuple[int, str]:
        """The number of weights all get unless `parameters=` says another, and why."""
        return self._count(self._default(MEASURE)), f"what `unrolled train model={MEASURE}` makes"

    def matched(self, kind: str, parameters: int) -> Shape:
        """The shape of `kind` nearest to `parameters` weights: first the width, then the feed-forward's, depth untouched.

        Raises UserError when none comes within TOLERANCE; but a kind without layers, whose only width is its vectors',
        comes as near as it can.
        """
        plain = replace(self._default(kind), width=None, hidden=None)
        if kind in LINEAR:
            return Shape(kind, self._count(plain), {})
        width = matched_width(lambda width: self._count(replace(plain, width=width)), parameters)
        choice, made = {"width": width}, replace(plain, width=width)
        found, layers = self._count(made), _layers(self.material.spec(made))
        inner = next((int(x.get("hidden") or 4 * x["width"]) for x in layers if x["kind"] == "ffn"), None)
        if inner and abs(found - parameters) > CLOSE * parameters:
            each = self._count(replace(made, hidden=inner + 1)) - found
            choice["hidden"] = max(1, inner + round((parameters - found) / each))
            found = self._count(replace(made, hidden=choice["hidden"]))
        shape = Shape(kind, found, choice)
        if layers and not shape.near(parameters):
            raise UserError(
                f"parameters={parameters}: the nearest {kind} for this data has {found:,}, more than "
                f"{100 * TOLERANCE:.0f} % away. Ask for another size, as in "
                f"parameters={_round(2 * max(found, parameters))}."
            )
        return shape

    def _default(self, kind: str) -> ModelChoice:
        """The model that the table of defaults makes of a kind."""
        recipe = replace(self.recipe, model=ModelChoice(kind=kind))
        return filled_in(recipe, self.material, "cpu")[0].model

    def _count(self, choice: ModelChoice) -> int:
        with torch.device("meta"):
            return build(self.material.spec(choice)).parameter_count()


def _layers(spec: Spec) -> list[Spec]:
    """The layers of a model's core that have weights of a width to choose: a pool only sums up."""
    return [layer for layer in spec["core"]["layers"] if layer["kind"] != "pool"]


def _round(number: int) -> str:
    return f"{round(number / 1000)}k"
