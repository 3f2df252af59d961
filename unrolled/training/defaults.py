"""What a key becomes when nobody set it, and the reasons that are said aloud."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from unrolled.config.keys import key_of
from unrolled.errors import unknown
from unrolled.training.kinds import AUTO, OTHERS, TABLES, Reads
from unrolled.training.recipe import ModelChoice, Recipe

# With the evaluations without gain that end it sooner.
BUDGET = {"cpu": ("5m", 6), "cuda": ("10m", 6), "mps": ("10m", 6)}
EVALUATIONS = 20  # in a run
SHARE = 0.25  # of a time budget, that its evaluations take beside it at most, where 20 would take more


@dataclass(frozen=True)
class Chosen:
    """A key that nobody set, what it became and why."""

    key: str
    value: Any
    reason: str


def fill(
    recipe: Recipe, known: list[str], device: str, reads: Reads = "text", shaped: bool = False
) -> tuple[Recipe, list[Chosen]]:
    """The recipe, whose task is known, with every open key decided, and the decisions. `known`: kinds there are; shaped:
    the model has its shape already.
    """
    chosen: list[Chosen] = []
    kind = recipe.model.kind
    if kind == "auto":
        kind, why = AUTO[reads]
        chosen.append(Chosen("model.kind", kind, why))
    elif kind not in known:
        raise unknown("model", kind, known)
    table = OTHERS if shaped else TABLES[reads].get(kind, OTHERS)
    reason = f"{kind}: {table.reason}"
    given: dict[str, Any] = {}
    for key in ("lr", "batch", "length", "warmup", "weight_decay", "betas", "clip", "ema"):
        if getattr(recipe, key) is None:
            given[key] = getattr(table, key)
    if "batch" in given and given["batch"] % recipe.accumulate:
        given["batch"] = recipe.accumulate * max(1, given["batch"] // recipe.accumulate)
    open_keys = [
        e.name for e in fields(ModelChoice) if e.name != "kind" and getattr(recipe.model, e.name) is None
    ]
    model = {key: getattr(table, key) for key in open_keys}
    model = {key: value for key, value in model.items() if value is not None}
    chosen += [Chosen(key, value, reason) for key, value in given.items()]
    chosen += [Chosen(f"model.{key}", value, reason) for key, value in model.items()]
    if recipe.budget == "auto":
        given["budget"], patience = BUDGET.get(device, BUDGET["cpu"])
        chosen.append(
            Chosen(
                "budget", given["budget"], f"at most this long on {device}, until validation stops improving"
            )
        )
        if recipe.patience is None:
            given["patience"] = patience
            chosen.append(Chosen("patience", patience, "budget=auto ends when validation stops improving"))
    elif recipe.patience is None:
        given["patience"] = 0
    if recipe.log_every is None:
        given["log_every"] = 25
    if reads in ("tokens", "numbers") and recipe.augment is None:
        given["augment"] = "auto"
    return replace(recipe, model=replace(recipe.model, kind=kind, **model), **given), chosen


def differing(recipe: Recipe) -> dict[str, Any]:
    """Dotted keys whose value isn't the dataclass's default: what the command that repeats this recipe must say."""
    plain = Recipe()
    found: dict[str, Any] = {}
    for entry in fields(Recipe):
        value = getattr(recipe, entry.name)
        if is_dataclass(value):
            for inner in fields(value):
                if getattr(value, inner.name) != inner.default:
                    short = inner.name == entry.metadata["shorthand"]
                    found[entry.name if short else f"{entry.name}.{inner.name}"] = getattr(value, inner.name)
        elif value != getattr(plain, entry.name):
            found[key_of(entry)] = value
    return found
