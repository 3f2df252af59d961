"""What was asked of a race: checked before anything is made, kept for its resumption, and said again as a command."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from unrolled.comparison.members import Shape, field_of
from unrolled.comparison.result import ENOUGH_SEEDS
from unrolled.datasets.samples import resolve
from unrolled.datasets.series_columns import seen_as_series
from unrolled.errors import UserError
from unrolled.training.budget import Budget
from unrolled.training.device import choose_device
from unrolled.training.recipe import Recipe
from unrolled.training.setup import generates

LONG = 300.0  # seconds of training on text below which a Transformer is still warming up


@dataclass(frozen=True)
class Asked:
    """The keys that make a race what it is; kept in comparison.json, so that a resumed race is the same race."""

    data: str
    models: tuple[str, ...]
    budget: str
    seeds: int
    seed: int
    parameters: int | None
    codec: str
    split: tuple[float, float, float] | None
    device: str
    dtype: str
    threads: int | None
    task: str = "auto"
    input: str | None = None
    target: str | None = None
    group: str | None = "auto"
    held: str | None = None
    id: str | None = "auto"
    time: str | None = None
    shuffled: bool = False
    vectors: str | None = None
    augment: str | None = None
    smoothing: float | None = None
    weights: str = "none"
    threshold: float | str | None = None

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Asked:
        """From JSON, which knows no tuples."""
        split = tuple(kept["split"]) if kept["split"] else None
        return cls(**{**kept, "models": tuple(kept["models"]), "split": split})

    def recipe(self, shape: Shape, seed: int, folder: Path) -> Recipe:
        """One member's recipe: its size is the common one, the rest its kind's defaults."""
        return Recipe.of(
            data=self.data, task=self.task, input=self.input, target=self.target, group=self.group, held=self.held,
            id=self.id, time=self.time, shuffled=self.shuffled, vectors=self.vectors, augment=self.augment,
            smoothing=self.smoothing, weights=self.weights, threshold=self.threshold, codec=self.codec,
            split=self.split, budget=self.budget, seed=seed, device=self.device, dtype=self.dtype, threads=self.threads,
            runs=str(folder), model={"kind": shape.kind, **shape.choice},
        )  # fmt: skip

    def open_recipe(self, folder: Path) -> Recipe:
        """What all members have in common: the recipe without a model."""
        return self.recipe(Shape("auto", 0, {}), self.seed, folder)

    def kinds(self) -> list[str]:
        """The kinds that race. Raises UserError for what can't be raced, whichever key says it."""
        for key in ("seeds", "parameters"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise UserError(f"{key}={value}: at least 1.")
        if self.budget == "auto" or self.budget.startswith("+"):
            raise UserError(
                f"budget={self.budget}: a comparison needs one fixed budget, such as 1m, 2000steps or 5Mtok."
            )
        Budget.parse(self.budget)
        recipe = self.open_recipe(Path())
        rows = not generates(recipe)
        kinds = field_of(
            self.models, rows, rows and seen_as_series(resolve(self.data), recipe.asked()) is not None
        )
        choose_device(self.device, lambda line: None)
        return kinds

    def command(self) -> str:
        """The command that repeats the race: only what differs from the defaults."""
        words = []
        for key, value in asdict(self).items():
            if key in ("data", "budget") or key in self.changed():
                shown = ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
                words.append(shlex.quote(f"{key}={shown}"))
        return " ".join(["unrolled compare", *words])

    def changed(self) -> list[str]:
        """The keys that aren't `compare`'s defaults."""
        from unrolled.comparison.race import compare

        plain = inspect.signature(compare).parameters
        return [key.name for key in fields(self) if getattr(self, key.name) != plain[key.name].default]

    @property
    def short(self) -> bool:
        """Whether its time is too little for models that learn text slowly at first."""
        budget = Budget.parse(self.budget)
        return budget.unit == "seconds" and budget.amount < LONG

    def fair(self, text: bool = True) -> Asked:
        """The same race with enough seeds and, on text, time enough."""
        budget = "10m" if text and self.short else self.budget
        return replace(self, budget=budget, seeds=max(self.seeds, ENOUGH_SEEDS))
