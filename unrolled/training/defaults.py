"""What a key becomes when nobody set it: one table by kind of model, and the reasons that are said aloud.

The values are measured ones; CONVENTIONS: a recipe's values are the verb's defaults for that kind of data.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from unrolled.errors import unknown
from unrolled.training.recipe import ModelChoice, Recipe


@dataclass(frozen=True)
class Defaults:
    """Of one kind of model. None: the model's own preset decides."""

    reason: str
    lr: float
    width: int | None = None
    layers: int | None = None
    heads: int | None = None
    hidden: int | None = None
    embedding: int | None = None
    dropout: float | None = None
    weight_drop: float | None = None
    tied: bool | None = None
    pool: str | None = None
    batch: int = 32
    length: int = 128
    warmup: int = 50
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    ema: float = 0.0


_RECURRENT = "carried state, so short rows of a contiguous stream"
KINDS: dict[str, Defaults] = {
    "rnn": Defaults(_RECURRENT, lr=1.5e-3, dropout=0.1),
    "lstm": Defaults(_RECURRENT, lr=5e-3, dropout=0.5, weight_drop=0.3),
    "gru": Defaults(_RECURRENT, lr=5e-3, dropout=0.5, weight_drop=0.3),
    "mingru": Defaults(_RECURRENT, lr=5e-3, dropout=0.35),
    "conv": Defaults(_RECURRENT, lr=2e-3, dropout=0.1),
    "window": Defaults("sees a fixed number of tokens", lr=2e-3, dropout=0.2),
    "transformer": Defaults(
        "windows without state: a row is all it ever sees", lr=4e-3, length=256, batch=16, dropout=0.1
    ),
}
OTHERS = Defaults("a kind without measured defaults: cautious ones", lr=1e-3)

_ANSWER = "rows of similar length, each with one answer"
ANSWERS = Defaults(_ANSWER, lr=1e-3, dropout=0.2)
ANSWERING: dict[str, Defaults] = {
    kind: Defaults(_ANSWER, lr=2e-3, width=128, dropout=0.3, warmup=20)
    for kind in ("rnn", "lstm", "gru", "bilstm", "bigru", "bag")
} | {
    kind: Defaults(_ANSWER, lr=1e-3, width=96, layers=2, dropout=0.2, warmup=100)
    for kind in ("transformer", "encoder", "mingru", "conv")
}
ANSWER = "gru"
ANSWER_REASON = (
    "reads in order and can answer after every step; `unrolled compare` finds what suits your data better"
)

AUTO = "lstm"
AUTO_REASON = "quick to train and small to run; `unrolled compare` finds what suits your data better"
# With the evaluations without gain that end it sooner.
BUDGET = {"cpu": ("5m", 6), "cuda": ("10m", 6), "mps": ("10m", 6)}
EVALUATIONS = 20  # in a run


@dataclass(frozen=True)
class Chosen:
    """A key that nobody set, what it became and why."""

    key: str
    value: Any
    reason: str


def fill(recipe: Recipe, known: list[str], device: str) -> tuple[Recipe, list[Chosen]]:
    """The recipe, whose task is known, with every open key decided, and the decisions. `known`: kinds there are."""
    chosen: list[Chosen] = []
    kind, answers = recipe.model.kind, recipe.task != "generate"
    if kind == "auto":
        kind, why = (ANSWER, ANSWER_REASON) if answers else (AUTO, AUTO_REASON)
        chosen.append(Chosen("model.kind", kind, why))
    elif kind not in known:
        raise unknown("model", kind, known)
    table = ANSWERING.get(kind, ANSWERS) if answers else KINDS.get(kind, OTHERS)
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
    if answers and recipe.augment is None:
        given["augment"] = "auto"
    return replace(recipe, model=replace(recipe.model, kind=kind, **model), **given), chosen


def differing(recipe: Recipe) -> dict[str, Any]:
    """Dotted keys whose value isn't the dataclass's default: what the command that repeats this recipe must say."""
    plain = Recipe()
    found: dict[str, Any] = {}
    for entry in fields(Recipe):
        value = getattr(recipe, entry.name)
        if isinstance(value, ModelChoice):
            for inner in fields(ModelChoice):
                if getattr(value, inner.name) != inner.default:
                    found["model" if inner.name == "kind" else f"model.{inner.name}"] = getattr(
                        value, inner.name
                    )
        elif value != getattr(plain, entry.name):
            found[entry.name] = value
    return found
