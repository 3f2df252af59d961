"""`finetune`: a run that starts from other weights, beside what it was before and beside a model trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from unrolled.comparison.statistics import interval
from unrolled.errors import UserError
from unrolled.training.base import run_of
from unrolled.training.budget import pretty_seconds
from unrolled.training.labelled import units_of
from unrolled.training.progress import Talk
from unrolled.training.recipe import ModelChoice, Recipe, Tuning
from unrolled.training.run import Run
from unrolled.training.train import train


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned run; scratch: the same from scratch, where it was asked for, and gain: what the start was worth, the
    score of the one less the other's, with its 95 % interval.
    """

    run: Run
    scratch: Run | None = None
    gain: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        runs = {"run": self.run, "scratch": self.scratch}
        plain = {key: run and asdict(run) | {"path": str(run.path)} for key, run in runs.items()}
        return plain | {"gain": self.gain}

    def table(self) -> str:
        """Before, after and from scratch: score, interval, steps and time, a line each."""
        assert self.run.test is not None
        lines = [] if self.run.before is None else [_line("before", self.run.before, "")]
        lines.append(_line(self.run.name, self.run.test, _spent(self.run)))
        if self.scratch is not None and self.scratch.test is not None:
            lines.append(_line(self.scratch.name, self.scratch.test, _spent(self.scratch)))
        if self.gain is not None:
            value, (low, high) = self.gain["value"], self.gain["interval"]
            lines.append(f"{'gain':<28} {value:+8.4f}  {low:+.4f} to {high:+.4f}  {self.gain['says']}")
        return "\n".join(lines)


def finetune(
    from_: str | None = None,
    *,
    scratch: bool = False,
    recipe: Recipe | None = None,
    sources: Mapping[str, str] | None = None,
    dry_run: bool = False,
    talk: Talk | None = None,
    **keys: Any,
) -> Finetuned | None:
    """Goes on with other weights: `finetune("minilm", data="reviews.csv", target="label")`; keys as in `Recipe`, of which
    `tune` says how (head, full, gradual, lora). scratch: also trains without them, on the same rows with the same budget
    (of an open one as many seconds of optimizer steps, 10 at least); of a run its own shape, beside a pretrained model
    what `train` makes of the data.

    Returns the run beside the other one; None with `dry_run`. Raises what `train` raises; UserError where nothing is named
    to start from, NotAtHand (exit 4) for known weights that are not on this machine.
    """
    wanted = recipe or Recipe.of(from_=from_, **keys)
    if wanted.from_ is None and wanted.resume is None:
        raise UserError(
            "say what to start from: from=RUN, from=FOLDER, or a pretrained model such as from=minilm."
        )
    if scratch and wanted.resume is not None:
        raise UserError(
            "scratch= stands beside a run that begins, and resume= goes on with one. Leave one of them out."
        )
    talk = talk or Talk()
    run = train(recipe=wanted, sources=sources, dry_run=dry_run, talk=talk)
    if run is None:
        return None
    if not scratch:
        return Finetuned(run)
    talk.say()
    other = train(recipe=_from_scratch(wanted, run), talk=talk)
    assert other is not None
    done = Finetuned(run, other, gain(run, other))
    talk.say()
    talk.say(done.table())
    return done


def _from_scratch(wanted: Recipe, run: Run) -> Recipe:
    """The recipe of the run that is compared: the same data and time, and nothing to start from."""
    assert run.recipe.from_ is not None
    known = run_of(run.recipe.from_, wanted.runs) is None
    budget = wanted.budget if wanted.budget != "auto" else f"{max(run.seconds, 10):.0f}s"
    plain = replace(wanted, budget=budget, out=None, lr=None, warmup=None, cooldown=None)
    if known:
        return replace(plain, from_=None, tune=Tuning(), model=ModelChoice(pool=wanted.model.pool))
    return replace(plain, from_=run.recipe.from_, tune=Tuning(how="scratch"))


def gain(run: Run, other: Run) -> dict[str, Any] | None:
    """The run's score less the other's on the same test rows, with the interval over rows; None where their scores aren't
    made of the same rows.
    """
    if run.recipe.task in ("generate", "translate", "transcribe") or run.unit != other.unit:
        return None
    scores: Any = [each.evaluate("test") for each in (run, other)]
    if any(score.units is None for score in scores):
        return None
    mine, theirs = (units_of(score) for score in scores)
    if len(mine.sums) != len(theirs.sums):
        return None
    found = interval((mine.sums - theirs.sums)[None], mine)
    better = found.low > 0 if run.better == "higher" else found.high < 0
    worse = found.high < 0 if run.better == "higher" else found.low > 0
    says = (
        "better than from scratch"
        if better
        else "worse than from scratch"
        if worse
        else "no difference shown"
    )
    return {"value": found.mean, "interval": [found.low, found.high], "unit": run.unit, "says": says}


def _line(name: str, score: Mapping[str, Any], more: str) -> str:
    low, high = score["interval"]
    return f"{name:<28} {score['value']:8.4f}  {low:.4f} to {high:.4f}  {more}".rstrip()


def _spent(run: Run) -> str:
    return f"{run.step} steps, {pretty_seconds(run.seconds)}"
