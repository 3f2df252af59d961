"""The training loop around `Learner.update`: log, evaluate, save, and what happens to a batch that isn't finite.

Nothing but the settling of a time budget depends on the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from unrolled.errors import NumericalFailure
from unrolled.training.learner import Learner, NonFinite
from unrolled.training.optimizer import schedule

MOST_SKIPPED = 20  # non-finite batches in a row after which `skip` gives up
MOST_REWINDS = 3  # in a whole run


@dataclass
class Hooks:
    """What the loop asks of the run around it."""

    record: Callable[[dict[str, Any]], None]  # one line of metrics.jsonl
    evaluate: Callable[[], float]  # validation score, finite, lower is better
    save: Callable[[], None]  # a checkpoint
    back: Callable[[int], None]  # restores a checkpoint of at most this step and drops what came after it
    settled: Callable[[], None]  # the plan's number of steps is known
    say: Callable[[str], None]
    improved: Callable[[], None]  # the evaluation just made is the best so far
    latest: bool = False  # validation has too few rows to choose by: later weights count as better ones


def steps(learner: Learner, hooks: Hooks, log_every: int, patience: int, nonfinite: str) -> Iterator[int]:
    """The loop. Yields after each optimizer step, so that a race can interleave several runs fairly.

    Raises NumericalFailure when the `nonfinite` policy gives up; a checkpoint of the last good step was saved.
    """
    learner.model.train()
    if learner.progress.step == 0:
        hooks.save()
    while not learner.progress.plan.over(learner.progress.step, learner.progress.seconds):
        batch = learner.next_batch()
        began = perf_counter()
        try:
            learner.update(batch)
        except NonFinite as found:
            learner.progress.seconds += perf_counter() - began
            _recover(learner, hooks, nonfinite, str(found))
            continue
        progress = learner.progress
        progress.seconds += perf_counter() - began
        progress.in_a_row = 0
        if progress.plan.measure(progress.step, progress.seconds):
            hooks.settled()
        if progress.step % log_every == 0:
            _log(learner, hooks)
        due = progress.evaluate_every and progress.step % progress.evaluate_every == 0
        if due and not progress.plan.over(progress.step, progress.seconds):
            _evaluate(learner, hooks, patience)
        elif progress.step == progress.plan.decay_from:
            hooks.save()  # where an extension of the finished run will begin
        yield progress.step
    if learner.progress.plan.ended:
        hooks.say(learner.progress.plan.ended)
    if learner.progress.evaluated != learner.progress.step:  # else it was killed after its last evaluation
        _evaluate(learner, hooks, 0)


def _log(learner: Learner, hooks: Hooks) -> None:
    """One line: the mean loss since the line before it, in nats a token."""
    p = learner.progress
    rate = learner.settings.lr * schedule(p.step - 1, learner.settings.warmup, p.plan)
    hooks.record(
        {
            "step": p.step,
            "loss": p.nats / p.tokens,
            "norm": p.largest,
            "lr": rate,
            "seconds": round(p.seconds, 3),
        }
    )
    p.nats = p.tokens = p.largest = 0.0


def _evaluate(learner: Learner, hooks: Hooks, patience: int) -> None:
    """Scores the validation split (averaged weights, if any); keeps the best; a plateau starts the decay."""
    p = learner.progress
    with learner.as_scored():
        score = hooks.evaluate()
        better = score < p.best
        if better or hooks.latest:
            p.best, p.best_step = min(score, p.best), p.step
            hooks.improved()
    p.evaluated = p.step
    p.stale = 0 if better else p.stale + 1
    hooks.record(
        {"step": p.step, "valid": score, "best": p.best_step == p.step, "seconds": round(p.seconds, 3)}
    )
    if patience and p.stale >= patience and p.plan.plateau(p.step):
        hooks.say(
            f"no gain in {p.stale} evaluations: the decay begins at step {p.step}, the run ends at {p.plan.total}"
        )
        hooks.settled()
    hooks.save()


def _recover(learner: Learner, hooks: Hooks, policy: str, what: str) -> None:
    """A non-finite batch, by the stated policy: stop, pass over it, or go back to the last checkpoint and round it."""
    p = learner.progress
    index = p.step + p.shift
    rows = learner.suspects()
    which = f"rows {rows}" if rows else "no single row: the gradient overflowed"
    where = f"step {p.step + 1}, batch {index} ({which}): {what}"
    p.skipped.append(index)
    p.in_a_row += 1
    row = {"step": p.step, "nonfinite": index, "rows": rows, "policy": policy}
    if policy == "skip" and p.in_a_row <= MOST_SKIPPED:
        hooks.record(row)
        hooks.say(f"{where}. Passed over ({len(p.skipped)} so far); the weights haven't seen it.")
        p.shift += 1
    elif policy == "rewind" and p.rewinds < MOST_REWINDS:
        skipped, rewinds, seconds = p.skipped, p.rewinds + 1, p.seconds
        hooks.back(p.step)
        p = learner.progress
        p.skipped, p.rewinds, p.seconds, p.shift = skipped, rewinds, seconds, index + 1 - p.step
        learner.states = []  # the streams go on elsewhere
        hooks.say(
            f"{where}. Went back to step {p.step}, and on with the batch after it (rewind {rewinds} of {MOST_REWINDS})."
        )
        hooks.record(row)  # only now: what was written before has been cut with the steps it stood among
        hooks.record({"step": p.step, "rewound_over": index})
    else:
        hooks.record(row)
        hooks.save()
        gave_up = {"skip": f"{p.in_a_row} in a row", "rewind": f"{p.rewinds} rewinds"}.get(
            policy, "nonfinite=stop"
        )
        raise NumericalFailure(
            f"{where}. Stopped ({gave_up}); the optimizer has seen none of it, and step {p.step} is saved. "
            "Try a lower lr, a smaller clip, or nonfinite=skip (pass over such batches)."
        )
