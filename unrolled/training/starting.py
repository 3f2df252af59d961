"""What a run that starts from other weights does where nobody says: how it goes on with them, how fast, how long."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from unrolled.errors import UserError
from unrolled.training.base import Base
from unrolled.training.defaults import Chosen
from unrolled.training.kinds import Reads
from unrolled.training.recipe import ModelChoice, Recipe, Tuning, Way
from unrolled.training.tuning import layers_of

LARGE = 5_000_000  # weights from which a CPU trains a new head alone
HUGE = 20_000_000  # weights of a model that goes on with text from which a CPU trains adapters alone
PASSES = 3  # over the training rows, where all weights are good from the beginning
LEAST = 100  # steps


@dataclass(frozen=True)
class Rates:
    """Of one way of going on. looking_back: the learning rate for a core of attention; recurrent: for the others."""

    looking_back: float
    recurrent: float
    warmup: int
    cooldown: float | None = None
    weight_decay: float = 0.01


# cooldown 0.9: up in a tenth of the run, then down, the slanted triangle of Howard and Ruder 2018, arXiv:1801.06146, eq. 3.
RATES = {
    "head": Rates(1e-3, 1e-3, 20),
    "full": Rates(1e-4, 2e-3, 20, 0.9),
    "gradual": Rates(2e-4, 3e-3, 20, 0.9),
    "lora": Rates(1e-3, 4e-3, 20, 0.9),
    "scratch": Rates(5e-4, 2e-3, 100),
}
SHARED: dict[str, Any] = {"batch": 16, "length": 128, "betas": (0.9, 0.999), "clip": 1.0, "ema": 0.0}


def started(recipe: Recipe, base: Base, reads: Reads, device: str, rows: int) -> tuple[Recipe, list[Chosen]]:
    """The recipe with every open key decided that depends on what it starts from, and the decisions. Raises UserError for a
    way of going on that the task hasn't got.
    """
    chosen = (
        [] if recipe.model.kind == base.name else [Chosen("model.kind", base.name, f"from={base.source}")]
    )
    how, why = recipe.tune.how, ""
    if how == "auto":
        how, why = _how(base, reads, device)
    if why:
        chosen.append(Chosen("tune.how", how, why))
    if how == "head" and reads in ("text", "pairs"):
        raise UserError(
            f"tune=head: a new head is for answers, and the task goes on writing with the head that {base.source} has. "
            "Say tune=full or tune=lora."
        )
    if how == "lora" and reads == "pairs":
        raise UserError("tune=lora isn't built for a source and its target. Say tune=full.")
    _refuse_keys_of_another(recipe, how)
    rates = RATES[how]
    batch = recipe.batch or SHARED["batch"]
    if recipe.batch is None:
        batch = recipe.accumulate * max(1, batch // recipe.accumulate)
    given: dict[str, Any] = {
        "lr": rates.looking_back if base.looks_back else rates.recurrent, "warmup": rates.warmup,
        "weight_decay": rates.weight_decay, "cooldown": rates.cooldown, **SHARED, "batch": batch,
    }  # fmt: skip
    if how == "head":  # its steps take a millisecond
        given["log_every"] = 500
    given = {key: value for key, value in given.items() if getattr(recipe, key) is None and value is not None}
    chosen += [Chosen(key, value, f"tune={how}") for key, value in given.items()]
    if recipe.budget == "auto" and rates.cooldown is not None:
        given["budget"], why = _budget(base, how, reads, rows, batch)
        chosen.append(Chosen("budget", given["budget"], why))
    model = replace(recipe.model, kind=base.name)
    return replace(recipe, model=model, tune=replace(recipe.tune, how=how), **given), chosen


def _budget(base: Base, how: Way, reads: Reads, rows: int, batch: int) -> tuple[str, str]:
    """How long, where the rate falls nearly from the beginning, so that no plateau can end it sooner; and why."""
    if reads == "text":
        return "5m", "the learning rate falls all along, so its end is fixed"
    passes = PASSES + (len(layers_of(base.model)) if how == "gradual" else 0)
    steps = max(LEAST, passes * -(-rows // batch))
    return f"{steps}steps", f"{passes} passes over {rows:,} rows, {LEAST} steps at least"


def _how(base: Base, reads: Reads, device: str) -> tuple[Way, str]:
    size = f"{base.weights:,} weights on {device}"
    if reads == "text":
        if base.weights >= HUGE and device == "cpu":
            return "lora", f"{size}: small changes to some of them"
        return "full", f"{size}: all of them can go along"
    if base.weights >= LARGE and device == "cpu" and reads != "pairs":
        return (
            "head",
            f"{size}: they are read once and stand still; tune=full or lora may say more and takes longer",
        )
    return "full", f"{size}: all of them can go along"


def refuse(recipe: Recipe, base: Base) -> None:
    """Raises UserError for keys that would make another model, and for those of another way."""
    said = [
        entry.name
        for entry in fields(ModelChoice)
        if entry.name not in ("kind", "pool") and getattr(recipe.model, entry.name) is not None
    ]
    if recipe.model.kind not in ("auto", base.name):
        raise UserError(
            f"model={recipe.model.kind} beside from={base.source}: what it starts from is the model. Leave one of them out."
        )
    if said:
        raise UserError(
            f"model.{said[0]} beside from={base.source}: its shape is what it is. Leave model.{said[0]} out."
        )
    if recipe.codec != "auto" and "source" in base.model.spec:
        raise UserError(
            f"codec= beside from={base.source}: both sides keep the codecs that it was trained with. Leave it out."
        )
    if recipe.vectors is not None:
        raise UserError(
            f"vectors= beside from={base.source}: its table of vectors is its own. Leave one of them out."
        )


def _refuse_keys_of_another(recipe: Recipe, how: Way) -> None:
    """Raises UserError for keys that the way of going on hasn't got."""
    of: dict[str, tuple[Way, ...]] = {"rank": ("lora",), "scale": ("lora",), "weights": ("lora",)}
    of |= {"decay": ("full", "gradual"), "freeze": ("full", "gradual", "lora")}
    plain = Tuning()
    for key, ways in of.items():
        if how not in ways and getattr(recipe.tune, key) != getattr(plain, key):
            raise UserError(f"tune.{key} is of tune={' and '.join(ways)}, and here it is tune={how}.")
    if how == "head" and recipe.augment not in (None, "auto", "none"):
        raise UserError("augment= changes rows anew each time, and tune=head reads them once. Say tune=full.")
