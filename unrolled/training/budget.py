"""How long a run lasts: `10m | 90s | 2h | 2e15flops | 5Mtok | 2000steps | @RUN | +10m`, and the plan that comes of it.

Only optimizer steps' time counts, not reading, compiling, evaluating or saving. A time becomes a number of
steps from its first 5 % after 3 warm-up steps; from then on the schedule is a function of the step alone. Where the decay
would begin they are counted once more: a machine that was busy at first, or has become so, still trains as long as asked.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from math import ceil, inf
from typing import Any, Literal

from unrolled.errors import UserError

Unit = Literal["seconds", "steps", "tokens", "flops", "run"]
WARM_UP_STEPS = 3  # not timed: they compile, allocate and fill caches
MEASURED_SHARE = 0.05  # of a time budget, after which it becomes a number of steps
TOLERATED = 0.05  # share of a time budget by which the count of steps may be off before it is corrected
OVERRUN = 1.25  # a run that has become slower ends at this multiple of its time, aloud
DECAY_SHARE = 0.2  # of the run, its end, unless another is asked for

_UNITS: dict[str, tuple[Unit, float]] = {
    "s": ("seconds", 1), "sec": ("seconds", 1), "m": ("seconds", 60), "min": ("seconds", 60), "h": ("seconds", 3600),
    "step": ("steps", 1), "steps": ("steps", 1),
    "tok": ("tokens", 1), "ktok": ("tokens", 1e3), "mtok": ("tokens", 1e6), "gtok": ("tokens", 1e9),
    "tokens": ("tokens", 1), "flop": ("flops", 1), "flops": ("flops", 1), "gflops": ("flops", 1e9),
    "tflops": ("flops", 1e12), "pflops": ("flops", 1e15),
}  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """An amount of one unit. `extends` (written `+10m`): on top of what a run already had."""

    amount: float
    unit: Unit
    extends: bool = False
    run: str = ""  # of `@RUN`: whose steps are repeated

    @classmethod
    def parse(cls, text: str) -> Budget:
        """`10m`, `1h30m`, `2e15flops`, `5Mtok`, `2000steps`, `@last`, `+10m`; raises UserError otherwise."""
        written = text.strip()
        if written.startswith("@") and len(written) > 1:
            return cls(0, "run", run=written)
        extends, body = written.startswith("+"), written.lstrip("+").lower().replace("_", "")
        pairs = re.findall(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([a-z]+)", body)
        units = {_UNITS[unit][0] for _, unit in pairs if unit in _UNITS}
        complete = "".join(f"{number}{unit}" for number, unit in pairs) == re.sub(r"\s", "", body)
        if not pairs or not complete or len(units) != 1 or any(unit not in _UNITS for _, unit in pairs):
            raise UserError(
                f"budget={text!r} isn't an amount of time, steps, tokens or operations. "
                "Write 10m, 90s, 1h30m, 2000steps, 5Mtok, 2e15flops, @RUN (the steps of that run), "
                "or +10m with resume= (that much more)."
            )
        amount = sum(float(number) * _UNITS[unit][1] for number, unit in pairs)
        if not 0 < amount < inf:
            raise UserError(
                f"budget={text!r}: must be more than nothing, and a number that a computer can hold."
            )
        return cls(amount, units.pop(), extends)

    def steps(self, tokens_a_step: int, flops_a_step: float) -> int | None:
        """The number of steps this is, or None while only time says."""
        size = {"steps": 1.0, "tokens": float(tokens_a_step), "flops": float(flops_a_step)}.get(self.unit)
        return None if size is None else max(1, ceil(self.amount / size))


@dataclass
class Plan:
    """When the run ends and when its decay begins; saved in each checkpoint and, once settled, in the config."""

    total: int | None = None  # steps; None while a time budget is being measured
    decay_from: int | None = None  # step at which the learning rate begins to fall
    seconds: float | None = None  # of a time budget: its limit on the run's clock
    began_step: int = 0  # where the measuring began: 0, or the step that an extension starts from
    began_seconds: float = 0.0
    warm_seconds: float = 0.0  # the run's clock after the warm-up steps
    stop: int | None = None  # step at which time, not the plan, ended the run; repeated by `@RUN`
    ended: str = ""  # that, in words
    repeats: str = ""  # the run whose steps these are: nothing shortens them
    share: float = DECAY_SHARE  # of the run, its end, in which the rate falls

    @classmethod
    def of(cls, budget: Budget, tokens_a_step: int, flops_a_step: float, share: float | None = None) -> Plan:
        """The plan of a fresh run, whose learning rate falls in the `share` at its end."""
        steps = budget.steps(tokens_a_step, flops_a_step)
        plan = cls(seconds=budget.amount if steps is None else None, share=share or DECAY_SHARE)
        if steps is not None:
            plan.settle_on(steps, 0)
        return plan

    def extended(
        self, budget: Budget, step: int, seconds: float, tokens_a_step: int, flops_a_step: float
    ) -> Plan:
        """The plan of a run that goes on from `step` (its clock at `seconds`) with `budget` added to its old end."""
        before = next(end for end in (self.stop, self.total, step) if end is not None)
        steps = budget.steps(tokens_a_step, flops_a_step)
        if steps is not None:
            plan = Plan(share=self.share)
            plan.settle_on(max(before, step) + steps, step)
            return plan
        owed = max(before - step, 0) * (seconds / step if step else 0.0)  # the old end, run anew
        return Plan(
            seconds=seconds + owed + budget.amount,
            began_step=step,
            began_seconds=seconds,
            warm_seconds=seconds,
            share=self.share,
        )

    def repeated(self, run: str) -> Plan:
        """The plan that takes exactly the steps of the run whose plan this is. Raises UserError when it isn't known yet."""
        if self.total is None:
            raise UserError(
                f"budget=@{run}: that run's time hasn't become a number of steps yet. Let it train longer."
            )
        return Plan(
            total=self.total, decay_from=self.decay_from, stop=self.stop, repeats=run, share=self.share
        )

    def settle_on(self, total: int, at: int) -> None:
        """Fixes the number of steps; what was done before `at` was done without decay and stays so."""
        self.total = max(total, at)
        self.decay_from = max(self.total - round(self.share * self.total), at)

    def measure(self, step: int, seconds: float) -> bool:
        """After `step` steps took `seconds` in all: settles the plan if it's time to; True when it did."""
        if self.seconds is None:
            return False
        if self.total is not None:
            return self._corrected(step, seconds)
        done = step - self.began_step
        if done <= WARM_UP_STEPS:
            self.warm_seconds = seconds
        left = self.seconds - seconds
        measured = seconds - self.warm_seconds
        if left > 0 and (
            done <= WARM_UP_STEPS or measured < MEASURED_SHARE * (self.seconds - self.began_seconds)
        ):
            return False
        timed = done - WARM_UP_STEPS if done > WARM_UP_STEPS else done
        pace = (measured if done > WARM_UP_STEPS else seconds - self.began_seconds) / timed  # seconds a step
        self.settle_on(step + max(0, round(left / pace)) if pace > 0 else step, step)
        return True

    def _corrected(self, step: int, seconds: float) -> bool:
        """Where the decay begins, by the count or by the clock, the steps are counted once more, in case the machine's pace
        has changed: until then the rate is flat, so that more or fewer steps change nothing that was done.
        """
        assert self.total is not None and self.seconds is not None
        decay = self.total if self.decay_from is None else self.decay_from
        late = seconds - self.began_seconds >= (1 - self.share) * (self.seconds - self.began_seconds)
        if self.repeats or step >= self.total or step > decay or (step < decay and not late):
            return False
        pace = (seconds - self.warm_seconds) / max(step - self.began_step - WARM_UP_STEPS, 1)
        left = self.seconds - seconds
        wrong = left - (self.total - step) * pace
        if pace <= 0 or abs(wrong) <= TOLERATED * (self.seconds - self.began_seconds):
            return False
        self.settle_on(step + max(1, round(left / pace)), step)
        return True

    def plateau(self, step: int) -> bool:
        """Validation has stopped improving: the decay begins now. False if it runs already."""
        if self.repeats or (self.decay_from is not None and step >= self.decay_from):
            return False
        total = ceil(step / (1 - self.share))
        if self.total is None or total < self.total:
            self.total, self.decay_from = max(total, step), step
            return True
        return False

    def over(self, step: int, seconds: float) -> bool:
        """Whether the run ends after `step` steps; sets `ended` when time rather than the plan ended it."""
        if self.total is not None and step >= (self.total if self.stop is None else self.stop):
            return True
        if self.seconds is not None and seconds - self.began_seconds >= OVERRUN * (
            self.seconds - self.began_seconds
        ):
            self.stop = step
            self.ended = (
                f"ended at step {step} of {self.total}: {seconds:.0f} s is {OVERRUN} x the time asked for, "
                "the machine became slower than when the steps were counted"
            )
            return True
        return False

    def to_dict(self) -> dict[str, Any]:
        """As checkpoints keep it."""
        return asdict(self)


def pretty_seconds(seconds: float) -> str:
    """`95` -> `1m35s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def pretty_count(number: float) -> str:
    """`1234567` -> `1.23M`."""
    for limit, suffix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g}{suffix}"
    return f"{number:.3g}" if isinstance(number, float) else str(number)
