"""What a look is given: a run, its model, and what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from unrolled.errors import UserError, unknown
from unrolled.inspection.held_out import ROWS, STEPS, Held, held_out, said_of
from unrolled.model import Model
from unrolled.training.run import Run

PARTS = ("test", "valid", "train")


@dataclass(frozen=True)
class Subject:
    """A run to look into. words, count: of `embeddings` and `units`; text: looked at in place of the run's own data;
    split: the part of the data that is looked at, `rows` sequences of at most `steps` steps.
    """

    run: Run
    words: Sequence[str] = ()
    count: int = 8
    text: str = ""
    split: str = "test"
    rows: int = ROWS
    steps: int = STEPS

    def __post_init__(self) -> None:
        if self.split not in PARTS:
            raise unknown("split", self.split, PARTS)

    @cached_property
    def model(self) -> Model:
        """The run's best model so far. Raises UserError where none was saved yet, saying what there is instead."""
        folder = self.run.path / "model"
        if not (folder / "config.json").is_file():
            raise UserError(
                f"{folder}: no model was saved in this run (it stands at step {self.run.step}), so there is nothing to "
                "look inside yet. What it has: config.toml and metrics.jsonl. A model is saved at the first evaluation; go "
                f"on with: unrolled train resume={self.run.name}"
            )
        return self.run.model()

    def held(self, rows: int | None = None, most: int | None = None) -> Held:
        """What is looked at: the text that was given, or held-out sequences. rows: instead of those asked for; most: steps
        that the look can show, where it can't show any number.
        """
        steps = min(self.steps, most or self.steps)
        if not self.text:
            return held_out(self.run, self.model, rows or self.rows, steps, self.split)
        held = said_of(self.model, self.text)
        more = "; steps= asks for more" if most is None or steps < most else ""
        return held if held.batch.x.shape[1] <= steps else _beginning(held, steps, more)


def _beginning(held: Held, steps: int, more: str) -> Held:
    batch = held.batch
    whole = batch.y.shape[:2] == batch.x.shape[:2]
    cut = batch._replace(x=batch.x[:, :steps], y=batch.y[:, :steps] if whole else batch.y)
    return replace(held, batch=cut, notes=[f"the first {steps} steps of the text{more}"])
