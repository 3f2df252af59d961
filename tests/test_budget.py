"""Budgets: what people write, what it becomes, and the schedule that follows from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.errors import UserError
from unrolled.training.budget import Budget, Plan, pretty_count, pretty_seconds
from unrolled.training.optimizer import schedule


@pytest.mark.parametrize(
    ("text", "amount", "unit", "extends"),
    [
        ("10m", 600, "seconds", False),
        ("90s", 90, "seconds", False),
        ("1h30m", 5400, "seconds", False),
        ("0.5h", 1800, "seconds", False),
        ("2e15flops", 2e15, "flops", False),
        ("2PFLOPs", 2e15, "flops", False),
        ("5Mtok", 5e6, "tokens", False),
        ("2000steps", 2000, "steps", False),
        ("2_000 steps", 2000, "steps", False),
        ("+10m", 600, "seconds", True),
        ("+500steps", 500, "steps", True),
    ],
)
def test_what_people_write(text: str, amount: float, unit: str, extends: bool) -> None:
    assert Budget.parse(text) == Budget(amount, unit, extends)  # type: ignore[arg-type]


def test_the_steps_of_another_run() -> None:
    assert Budget.parse("@last") == Budget(0, "run", run="@last")


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10 parsecs", "10m 5steps", "ten minutes", "0s", "-5m", "5m!", "@"]
)
def test_anything_else_says_what_to_write(text: str) -> None:
    with pytest.raises(UserError, match="2000steps|more than nothing"):
        Budget.parse(text)


def test_tokens_and_operations_become_steps_rounded_up() -> None:
    assert Budget.parse("1000tok").steps(tokens_a_step=300, flops_a_step=1.0) == 4
    assert Budget.parse("1e6flops").steps(300, 1e6) == 1
    assert Budget.parse("1tok").steps(300, 1.0) == 1
    assert Budget.parse("10s").steps(300, 1.0) is None


def clock(plan: Plan, pace: list[float]) -> tuple[int, float]:
    """Runs a plan against steps of these durations, the last one repeated -> (steps, seconds)."""
    step, seconds = 0, 0.0
    while not plan.over(step, seconds):
        seconds += pace[min(step, len(pace) - 1)]
        step += 1
        plan.measure(step, seconds)
    return step, seconds


def test_a_time_becomes_steps_once_after_its_first_twentieth() -> None:
    plan = Plan.of(Budget.parse("100s"), 1, 1.0)
    assert plan.total is None
    settled = []
    seconds = 0.0
    for step in range(1, 200):
        seconds += 4.0 if step <= 3 else 0.5  # slow warm-up steps aren't measured
        if plan.measure(step, seconds):
            settled.append(step)
    assert settled == [13], "5 s of 0.5 s steps after the three that warm up"
    assert plan.total == 13 + round((100 - 17) / 0.5)
    assert plan.decay_from == plan.total - round(0.2 * plan.total)


def test_a_run_that_slows_down_in_its_decay_ends_at_five_quarters_of_its_time_aloud() -> None:
    plan = Plan.of(Budget.parse("100s"), 1, 1.0)
    step, seconds = clock(plan, [0.5] * 165 + [2.0])
    assert plan.total is not None and step < plan.total
    assert 125 <= seconds < 127.1
    assert f"step {step} of {plan.total}" in plan.ended and "1.25" in plan.ended


def test_a_step_longer_than_the_budget_ends_the_run_in_good_order() -> None:
    plan = Plan.of(Budget.parse("2s"), 1, 1.0)
    step, _ = clock(plan, [5.0])
    assert step == 1 and plan.total == 1


@pytest.mark.parametrize("pace", [0.01, 0.3, 1.0, 4.0, 9.0])
def test_a_steady_run_takes_its_time(pace: float) -> None:
    plan = Plan.of(Budget.parse("60s"), 1, 1.0)
    _, seconds = clock(plan, [pace])
    assert abs(seconds - 60) <= 1.01 * pace


@given(total=st.integers(1, 5000), warmup=st.integers(0, 300), at=st.integers(0, 5000))
def test_the_schedule_is_a_function_of_the_step_and_never_negative(total: int, warmup: int, at: int) -> None:
    plan = Plan()
    plan.settle_on(total, 0)
    factors = [schedule(step, warmup, plan) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    assert schedule(at, warmup, plan) == schedule(at, warmup, plan)
    assert plan.decay_from is not None
    falling = factors[max(plan.decay_from, warmup) :]
    assert all(a > b for a, b in zip(falling, falling[1:], strict=False))


def test_warm_up_flat_decay_over_the_last_fifth() -> None:
    plan = Plan()
    plan.settle_on(1000, 0)
    factors = [schedule(step, 9, plan) for step in range(1000)]
    assert factors[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert factors[10:800] == [1.0] * 790
    assert factors[800] < 1 and factors[-1] == pytest.approx(1 / 201)


def test_without_a_known_end_there_is_no_decay() -> None:
    assert schedule(10_000, 10, Plan(seconds=5.0)) == 1.0


def test_more_budget_goes_on_flat_from_where_the_decay_began() -> None:
    plan = Plan()
    plan.settle_on(100, 0)
    longer = plan.extended(Budget.parse("+100steps"), 80, 8.0, 1, 1.0)
    assert (longer.total, longer.decay_from) == (200, 160)
    assert [schedule(step, 10, longer) for step in range(11, 160)] == [1.0] * 149
    timed = plan.extended(Budget.parse("+10s"), 80, 8.0, 1, 1.0)
    seconds, step = 8.0, 80
    while not timed.over(step, seconds):
        step, seconds = step + 1, seconds + 0.1
        timed.measure(step, seconds)
    assert step == pytest.approx(200, abs=2), "20 steps that the decay took, and 10 s of 0.1 s"


def test_more_budget_is_added_to_where_time_ended_the_run_and_not_to_its_plan() -> None:
    plan = Plan.of(Budget.parse("100s"), 1, 1.0)
    step, seconds = clock(plan, [0.5] * 165 + [2.0])
    assert plan.total is not None and step < plan.total
    assert plan.extended(Budget.parse("+10steps"), step, seconds, 1, 1.0).total == step + 10


def test_a_plateau_starts_the_decay_which_then_takes_a_fifth_of_the_run() -> None:
    plan = Plan()
    plan.settle_on(1000, 0)
    assert plan.plateau(400)
    assert (plan.total, plan.decay_from) == (500, 400)
    assert not plan.plateau(450), "the decay runs already"
    assert plan.total == 500


def test_repeating_a_run_repeats_its_steps_even_where_time_ended_it() -> None:
    plan = Plan.of(Budget.parse("100s"), 1, 1.0)
    step, _ = clock(plan, [0.5] * 165 + [2.0])
    again = plan.repeated("lstm-irish-1")
    assert clock(again, [1000.0])[0] == step
    assert not again.plateau(3)
    assert [schedule(n, 5, again) for n in range(step)] == [schedule(n, 5, plan) for n in range(step)]
    with pytest.raises(UserError, match="number of steps yet"):
        Plan(seconds=5.0).repeated("x")


def test_for_people() -> None:
    assert [pretty_seconds(s) for s in (2.25, 42, 95, 7260)] == ["2.2s", "42s", "1m35s", "2h01m"]
    assert [pretty_count(n) for n in (5.0, 1500.0, 2e6, 3.1e15)] == ["5", "1.5k", "2M", "3.1P"]


@pytest.mark.parametrize(("first", "later"), [(4.0, 0.5), (0.5, 1.0), (1.0, 1.0)])
def test_a_machine_that_changes_its_pace_still_trains_as_long_as_asked(first: float, later: float) -> None:
    plan = Plan.of(Budget.parse("10m"), 4096, 1e9)
    step, seconds, settled = 0, 0.0, 0
    while not plan.over(step, seconds):
        step, seconds = step + 1, seconds + (first if seconds < 60 else later)
        settled += plan.measure(step, seconds)
    assert 0.85 * 600 < seconds < 1.1 * 600 and not plan.ended
    assert plan.total == step and plan.decay_from is not None
    assert 0.02 * step < plan.total - plan.decay_from <= 0.21 * step
    assert settled == 1 if first == later else settled > 1
