"""The loop and the run around it: exact sums, guarded steps, folders that are never overwritten."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_runs
import torch
from tiny_runs import TINY, Heard
from torch import Tensor

from unrolled.datasets.sampler import Batch
from unrolled.errors import NumericalFailure, RunFailed, UserError
from unrolled.model import build, preset
from unrolled.training import loop, session
from unrolled.training.budget import Plan
from unrolled.training.evaluate import evaluate
from unrolled.training.folder import Lock, Metrics, make, make_at
from unrolled.training.interrupt import Interrupted
from unrolled.training.learner import Learner, NonFinite, Progress, Settings
from unrolled.training.optimizer import adamw
from unrolled.training.progress import Talk
from unrolled.training.recipe import ModelChoice, Recipe
from unrolled.training.run import Run, load
from unrolled.training.train import train
from unrolled.training.tuning import plain

torch.set_num_threads(1)
SETTINGS = Settings(
    seed=1,
    lr=0.01,
    betas=(0.9, 0.99),
    weight_decay=0.1,
    warmup=2,
    clip=1.0,
    ema=0.0,
    accumulate=1,
    bfloat16=False,
)


class Numbers:
    """Batches of (4, 8) tokens as a pure function of the index; a document begins now and then."""

    notes: list[str] = []
    batch_size = 4

    def __init__(self, carried: bool = True) -> None:
        self.carried = carried

    def batch(self, step: int) -> Batch:
        x = torch.randint(0, 11, (4, 9), generator=torch.Generator().manual_seed(step))
        return Batch(x[:, :-1], x[:, 1:], x[:, :-1] == 0)


def learner(kind: str = "lstm", dropout: float = 0.0, **changes: Any) -> Learner:
    torch.manual_seed(0)
    model = build(preset(kind, 11, width=8, layers=2, heads=2, dropout=dropout)).train()
    settings = replace(SETTINGS, **changes)
    plan = Plan()
    plan.settle_on(40, 0)
    optimizer = adamw(plain(model).parts, settings.lr, settings.betas, settings.weight_decay)
    return Learner(model, optimizer, Numbers(model.fixed_state), settings, Progress(plan))


def flat(model: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# --- one step


@pytest.mark.parametrize("kind", ["lstm", "transformer", "conv"])
def test_pieces_add_up_to_the_whole_batch(kind: str) -> None:
    whole, pieces = learner(kind), learner(kind, accumulate=4)
    for _ in range(5):
        whole.update(whole.next_batch())
        pieces.update(pieces.next_batch())
    assert torch.allclose(flat(whole.model), flat(pieces.model), atol=2e-6)
    assert whole.progress.tokens == pieces.progress.tokens == 5 * 32
    assert whole.progress.nats == pytest.approx(pieces.progress.nats, rel=1e-6)


def test_a_step_is_what_one_would_write_by_hand() -> None:
    mine, other = learner(), learner()
    model, optimizer = other.model, torch.optim.AdamW(other.model.parameters(), lr=0.01, betas=(0.9, 0.99))
    optimizer.param_groups.clear()
    parameters = list(model.parameters())
    optimizer.add_param_group({"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.1})
    optimizer.add_param_group({"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0})
    state = model.start(4)
    for step in range(6):
        mine.update(mine.next_batch())
        x, y, start, *_ = Numbers().batch(step)
        assert start is not None
        from unrolled.layout import Layout
        from unrolled.state import detach

        logits, state = model(x, state, Layout(torch.ones_like(start), start))
        state = detach(state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * min(1, (step + 1) / 3)
        optimizer.step()
    assert torch.allclose(flat(mine.model), flat(model), atol=1e-5)


def test_decay_pulls_matrices_and_leaves_vectors_alone() -> None:
    groups = learner().optimizer.param_groups
    assert {(p.ndim >= 2, group["weight_decay"]) for group in groups for p in group["params"]} == {
        (True, 0.1),
        (False, 0.0),
    }


def test_streams_carry_their_state_and_windows_none() -> None:
    carrying, fresh = learner("gru"), learner("transformer")
    carrying.update(carrying.next_batch())
    fresh.update(fresh.next_batch())
    assert len(carrying.states) == 1 and not fresh.states
    assert not any(leaf.requires_grad for _, leaf in loop_leaves(carrying))


def loop_leaves(one: Learner) -> list[tuple[str, Tensor]]:
    from unrolled.state import leaves

    return [pair for state in one.states for pair in leaves(state)]


def test_noise_is_a_function_of_seed_and_step_whoever_drew_before() -> None:
    calm, disturbed = learner(dropout=0.5), learner(dropout=0.5)
    for _ in range(4):
        calm.update(calm.next_batch())
    for _ in range(4):
        torch.rand(17)
        disturbed.update(disturbed.next_batch())
    assert torch.equal(flat(calm.model), flat(disturbed.model))
    other = learner(dropout=0.5, seed=2)
    for _ in range(4):
        other.update(other.next_batch())
    assert not torch.equal(flat(calm.model), flat(other.model))


@pytest.mark.parametrize(
    ("kind", "ema", "pieces"), [("lstm", 0.9, 2), ("transformer", 0.0, 1), ("conv", 0.5, 1)]
)
def test_a_restored_learner_goes_on_bit_for_bit(kind: str, ema: float, pieces: int) -> None:
    one = learner(kind, 0.3, ema=ema, accumulate=pieces)
    for _ in range(3):
        one.update(one.next_batch())
    kept = one.checkpoint()
    kept.tensors = {file: {n: t.clone() for n, t in group.items()} for file, group in kept.tensors.items()}
    kept.progress = json.loads(json.dumps(kept.progress))
    two = learner(kind, 0.3, ema=ema, accumulate=pieces)
    two.restore(kept, "here")
    for _ in range(3):
        one.update(one.next_batch())
        two.update(two.next_batch())
    assert torch.equal(flat(one.model), flat(two.model))
    assert one.progress == two.progress
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(loop_leaves(one), loop_leaves(two), strict=True))
    if one.average and two.average:
        assert all(torch.equal(a, b) for a, b in zip(one.average.mean, two.average.mean, strict=True))


def test_the_average_follows_the_weights_and_swaps_back_exactly() -> None:
    one = learner(ema=0.5)
    for _ in range(4):
        one.update(one.next_batch())
    before, average = flat(one.model), one.average
    assert average is not None
    average.swap()
    assert not torch.equal(flat(one.model), before)
    average.swap()
    assert torch.equal(flat(one.model), before)


def test_bfloat16_trains_with_float32_weights() -> None:
    one = learner(bfloat16=True)
    one.update(one.next_batch())
    assert flat(one.model).dtype == torch.float32 and one.progress.nats > 0


# --- what isn't finite


def poison(one: Learner, bad: set[int], where: str) -> None:
    """Row 2 of the batches in `bad` gets an infinite loss, or a finite one with an infinite gradient."""
    head_loss = one.model.head.loss
    current = {"index": -1}
    batch = one.sampler.batch

    def seen(index: int) -> tuple[Tensor, Tensor, Tensor]:
        current["index"] = index
        return batch(index)

    def loss(prediction: Tensor, target: Tensor, layout: Any = None) -> tuple[Tensor, Tensor]:
        total, count = head_loss(prediction, target, layout)
        third = Numbers().batch(current["index"])[1][2]
        is_row = any(torch.equal(row, third) for row in target)
        if current["index"] in bad and is_row:
            total = total + (torch.inf if where == "loss" else (prediction.sum() * 0.0).sqrt())
        return total, count

    one.sampler.batch = seen  # type: ignore[method-assign]
    one.model.head.loss = loss  # type: ignore[method-assign]


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_finite_never_reaches_the_optimizer(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = learner()
    poison(one, {2}, where)
    one.update(one.next_batch())
    one.update(one.next_batch())
    before, states = flat(one.model), loop_leaves(one)
    monkeypatch.setattr(one.optimizer, "step", lambda: pytest.fail("the optimizer saw it"))
    with pytest.raises(NonFinite, match=r"loss (inf|nan)|norm (inf|nan)"):
        one.update(one.next_batch())
    assert torch.equal(flat(one.model), before) and one.progress.step == 2
    assert all(p.grad is None for p in one.model.parameters())
    assert all(a is b for (_, a), (_, b) in zip(states, loop_leaves(one), strict=True))
    assert one.suspects() == ([2] if where == "loss" else [])


class Log(loop.Hooks):
    """Hooks that remember: rows, talk, and checkpoints in memory."""

    def __init__(self, one: Learner) -> None:
        self.rows: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.kept: dict[int, Any] = {}
        self.one = one
        super().__init__(
            self.rows.append,
            lambda: 1.0,
            self._save,
            self._back,
            lambda: None,
            self.said.append,
            lambda: None,
        )

    def _save(self) -> None:
        kept = self.one.checkpoint()
        kept.tensors = {
            file: {n: t.clone() for n, t in group.items()} for file, group in kept.tensors.items()
        }
        kept.progress = json.loads(json.dumps(kept.progress))
        self.kept[kept.step] = kept

    def _back(self, until: int) -> None:
        step = max(step for step in self.kept if step <= until)
        self.one.restore(self.kept[step], "memory")
        while self.rows and self.rows[-1]["step"] > step:
            self.rows.pop()


def run_loop(one: Learner, policy: str) -> Log:
    one.progress.evaluate_every = 4
    log = Log(one)
    for _ in loop.steps(one, log, 5, 0, policy):
        pass
    return log


def test_stop_saves_and_names_the_batch_and_its_rows() -> None:
    one = learner()
    poison(one, {6}, "loss")
    one.progress.evaluate_every = 4
    log = Log(one)
    with pytest.raises(
        NumericalFailure, match=r"step 7, batch 6 \(rows \[2\]\).*nonfinite=stop.*step 6 is saved"
    ) as caught:
        list(loop.steps(one, log, 5, 0, "stop"))
    assert caught.value.exit_code == 6
    assert 6 in log.kept and torch.isfinite(flat(one.model)).all()


def test_skip_passes_over_counts_and_reports() -> None:
    one = learner()
    poison(one, {6, 7, 20}, "loss")
    log = run_loop(one, "skip")
    assert one.progress.skipped == [6, 7, 20] and one.progress.shift == 3 and one.progress.step == 40
    assert [row["nonfinite"] for row in log.rows if "nonfinite" in row] == [6, 7, 20]
    assert sum("Passed over" in line for line in log.said) == 3
    assert torch.isfinite(flat(one.model)).all()


def test_skip_gives_up_when_nothing_is_finite_any_more() -> None:
    one = learner()
    poison(one, set(range(5, 1000)), "loss")
    with pytest.raises(NumericalFailure, match="21 in a row"):
        run_loop(one, "skip")


def test_rewind_goes_back_and_round_the_batch() -> None:
    one = learner()
    poison(one, {6}, "gradient")
    log = run_loop(one, "rewind")
    assert one.progress.rewinds == 1 and one.progress.step == 40 and one.progress.shift == 3
    assert "Went back to step 4" in log.said[0] and "no single row" in log.said[0]


def test_rewinding_keeps_the_record_of_the_rows() -> None:
    one = learner()
    poison(one, {6}, "loss")
    rows = [row for row in run_loop(one, "rewind").rows if "nonfinite" in row]
    assert rows == [{"step": 6, "nonfinite": 6, "rows": [2], "policy": "rewind"}]


def test_reading_a_batch_is_not_the_budget_s_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}
    monkeypatch.setattr(loop, "perf_counter", lambda: clock["now"])
    one = learner()
    batch, compute = one.sampler.batch, one.compute

    def slowly(index: int) -> tuple[Tensor, Tensor, Tensor]:
        clock["now"] += 10.0
        return batch(index)

    def timed(*given: Tensor) -> Any:
        clock["now"] += 1.0
        return compute(*given)

    one.sampler.batch, one.compute = slowly, timed  # type: ignore[method-assign]
    run_loop(one, "stop")
    assert one.progress.seconds == one.progress.step == 40


def test_rewind_gives_up_after_three() -> None:
    one = learner()
    poison(one, set(range(5, 1000)), "loss")
    with pytest.raises(NumericalFailure, match="3 rewinds"):
        run_loop(one, "rewind")


def test_a_plateau_starts_the_decay() -> None:
    one = learner()
    one.progress.evaluate_every = 4
    log = Log(one)
    taken = list(loop.steps(one, log, 5, 2, "stop"))
    assert taken[-1] == one.progress.step == 15, "best at 4, stale at 8 and 12, and a fifth for the decay"
    assert any("the decay begins at step 12" in line for line in log.said)
    assert 12 in log.kept


def test_evaluating_sees_the_average_and_leaves_the_weights_alone() -> None:
    alone, evaluated = learner(ema=0.9), learner(ema=0.9)
    evaluated.progress.evaluate_every = 4
    log, seen = Log(evaluated), []

    def score() -> float:
        while alone.progress.step < evaluated.progress.step:
            alone.update(alone.next_batch())
        assert alone.average is not None and not evaluated.model.training
        mean = torch.cat([m.flatten() for m in alone.average.mean])
        scored = flat(evaluated.model)
        seen.append(torch.equal(scored, mean) and not torch.equal(scored, flat(alone.model)))
        return float(scored.sum())

    log.evaluate = score
    live = [flat(evaluated.model) for _ in loop.steps(evaluated, log, 5, 0, "stop")]
    assert len(seen) == 10 and all(seen), "the mean is scored, not the live weights"
    assert alone.average is not None
    last = float(torch.cat([m.flatten() for m in alone.average.mean]).sum())
    assert [row["valid"] for row in log.rows if "valid" in row][-1] == last
    assert torch.equal(flat(evaluated.model), flat(alone.model)) and torch.equal(live[-1], flat(alone.model))


# --- recipes


def test_a_recipe_takes_dotted_and_nested_keys() -> None:
    recipe = Recipe.of(model="gru", **{"model.width": 64}, lr=0.1)
    assert recipe.model == ModelChoice(kind="gru", width=64) and recipe.lr == 0.1
    assert Recipe.of(model={"kind": "gru", "width": 64}, lr=0.1) == recipe
    assert Recipe.of(model=ModelChoice(kind="gru", width=64), lr="0.1") == recipe
    assert Recipe.of(batch="1k", data=Path("a") / "b.txt", runs=Path("there")) == Recipe(
        batch=1000, data=str(Path("a") / "b.txt"), runs="there"
    )


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"modle": "lstm"}, "unknown key 'modle' (Python): did you mean 'model'"),
        ({"model.widht": 3}, "unknown key 'model.widht' (Python): did you mean 'model.width'"),
        ({"batch": "many"}, "batch: got 'many', expected whole number"),
        ({"batch": 0}, "batch=0 must be at least 1"),
        ({"model.dropout": 1.0}, "model.dropout=1.0 must be below 1"),
        ({"lr": 0.0, "seed": -1}, "seed=-1 must be at least 0"),
        ({"batch": 6, "accumulate": 4}, "6 can't be computed in accumulate=4 equal pieces"),
        ({"split": (0.5, 0.5, 0.5)}, "add up to 1"),
        ({"nonfinite": "ignore"}, "nonfinite: got 'ignore', expected one of stop, skip, rewind"),
        ({"lr": float("nan")}, "lr=nan must be finite"),
        ({"clip": "inf"}, "clip=inf must be finite"),
        ({"betas": (0.9, float("nan"))}, "must be finite"),
        ({"seed": 2**63}, "seed=9223372036854775808 must be below 9223372036854775808"),
        ({"budget": "1e999steps"}, "budget='1e999steps': must be more than nothing, and a number"),
    ],
)
def test_a_wrong_recipe_says_what_and_why(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        Recipe.of(**keys)
    assert said in str(caught.value) and caught.value.exit_code == 2


def test_a_recipe_made_directly_has_the_same_limits() -> None:
    with pytest.raises(UserError, match=r"lr=0.0 must be above 0.0; model.dropout=nan must be finite\."):
        Recipe(lr=0.0, model=ModelChoice(dropout=float("nan")))


def test_a_recipe_needs_no_torch() -> None:
    code = (
        "import sys; from unrolled.training.recipe import Recipe; Recipe(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


# --- folders


def test_names_count_up_and_nothing_is_overwritten(tmp_path: Path) -> None:
    assert [make(tmp_path / "runs", "lstm-irish").name for _ in range(3)] == [
        f"lstm-irish-{n}" for n in (1, 2, 3)
    ]
    (tmp_path / "runs" / "lstm-irish-9").mkdir()
    assert make(tmp_path / "runs", "lstm-irish").name == "lstm-irish-10"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="Nothing is overwritten"):
        make_at(tmp_path / "mine")


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    code = (
        f"from pathlib import Path; from unrolled.training.folder import Lock; Lock(Path({str(tmp_path)!r}))"
    )
    run = [sys.executable, "-c", code]
    second = subprocess.run(run, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert second.returncode == 1 and f"another process (pid {os.getpid()}) is writing" in second.stderr
    lock.release()
    assert subprocess.run(run, cwd=Path(__file__).parent.parent).returncode == 0


def test_metrics_are_cut_back_and_never_hold_half_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path)
    metrics.append({"step": 1})
    length = metrics.bytes
    metrics.append({"step": 2})
    metrics.close()
    again = Metrics(path, length)
    assert path.read_text() == '{"step": 1}\n'
    again.append({"step": 2})
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
    again.close()
    with pytest.raises(RunFailed, match="Was it edited"):
        Metrics(path, 1000)


# --- whole runs


def tiny(place: Path, talk: Talk | None = None, **changes: Any) -> Run:
    return tiny_runs.tiny(place, changes.pop("runs", place / "runs"), talk, **changes)


@pytest.fixture(scope="module")
def finished(place: Path) -> tuple[Run, list[str]]:
    heard = Heard()
    return tiny(place, heard), heard.lines


def test_a_run_leaves_everything_one_needs(finished: tuple[Run, list[str]]) -> None:
    run, _ = finished
    there = {str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file()}
    wanted = [
        "config.toml",
        "command.txt",
        "env.json",
        "data.json",
        "result.json",
        "metrics.jsonl",
        "model/config.json",
    ]
    wanted += ["model/model.safetensors", "model/codec.json", "model/README.md", "samples/step-000012.txt"]
    assert set(wanted) <= there
    assert {p.suffix for p in run.path.rglob("*") if p.is_file()} <= {
        ".toml", ".txt", ".json", ".jsonl", ".safetensors", ".md", "",
    }  # fmt: skip
    assert run.name == "lstm-tunes-1" and run.finished and run.step == 12
    assert [row["step"] for row in run.metrics if "loss" in row] == [3, 6, 9, 12]
    assert [row["step"] for row in run.metrics if "valid" in row] == [4, 8, 12]
    assert (run.path / "command.txt").read_text().startswith("unrolled train data=")
    assert "(95 % interval)" in (run.path / "model" / "README.md").read_text()


def test_every_value_says_where_it_came_from(finished: tuple[Run, list[str]]) -> None:
    run, _ = finished
    text = (run.path / "config.toml").read_text()
    lines = {line.split("=")[0].strip(): line for line in text.splitlines() if "=" in line}
    assert lines["batch"].endswith("# as asked") and "# lstm: " in lines["lr"]
    assert "budget=@lstm-tunes-1 repeats them" in text
    assert run.recipe.batch == 4 and run.recipe.model.width == 16


def test_what_is_said_before_and_after(finished: tuple[Run, list[str]]) -> None:
    run, lines = finished
    before = ["data", "set", "chosen", "model", "device", "step", "budget", "baseline"]
    positions = [next(i for i, line in enumerate(lines) if line.startswith(f"{word} ")) for word in before]
    assert positions == sorted(positions)
    ending = lines[-6:]
    assert ending[0].startswith("test ") and "-gram: " in ending[0] and " to " in ending[0]
    assert ending[1] == run.verdict and "etter" in ending[1]
    assert ending[2] == f"folder    {run.path}"
    assert [line[:15] for line in ending[3:]] == ["next      unrol"] * 3


def test_runs_are_found_by_last_best_prefix_and_path(place: Path, finished: tuple[Run, list[str]]) -> None:
    run, _ = finished
    runs = place / "runs"
    for name in ("lstm-tunes-1", "lstm-t", str(run.path)):
        assert Run.open(name, runs).path == run.path
    other = tiny(place, model="gru", lr=1e-6)
    assert Run.open("@last", runs).name == other.name
    assert Run.open("@best", runs).name == run.name, "the other one has hardly learnt"
    with pytest.raises(UserError, match="Did you mean 'gru-tunes-1'"):
        Run.open("gru-tuns-1", runs)
    with pytest.raises(UserError, match="could be any of|no run is called"):
        Run.open("", runs)
    with pytest.raises(UserError, match="begin with: unrolled train|Begin with"):
        Run.open("@last", place / "nowhere")


def test_a_loaded_model_is_the_one_that_was_scored(finished: tuple[Run, list[str]], place: Path) -> None:
    run, _ = finished
    model = load(run.path)
    assert model.task.codec.decode(model.task.codec.encode("X:1")) == "X:1"
    score = run.evaluate()
    assert run.test is not None and score.bits_per_character == pytest.approx(
        run.test["bits_per_character"], abs=1e-9
    )
    assert run.valid is not None
    assert evaluate(run, "valid").bits_per_character == pytest.approx(
        run.valid["bits_per_character"], abs=1e-9
    )
    assert load(run.path / "model").spec == model.spec
    with pytest.raises(UserError, match="unknown split 'tset'. Did you mean 'test'"):
        run.evaluate("tset")


def test_a_dry_run_says_it_all_and_makes_no_folder(place: Path) -> None:
    heard = Heard()
    keys = {**TINY, "data": str(place / "tunes.abc"), "runs": str(place / "dry")}
    assert train(dry_run=True, talk=heard, **keys) is None
    assert not [p for p in (place / "dry").iterdir() if p.name != ".tokens"]
    assert any(line.startswith("baseline") for line in heard.lines)


def test_the_same_command_gives_the_same_run_and_at_repeats_its_steps(
    place: Path, finished: tuple[Run, list[str]]
) -> None:
    run, _ = finished
    again = tiny(place, budget=f"@{run.name}")
    assert curve(again) == curve(run)
    assert again.test == run.test


def curve(run: Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics]


def test_a_finished_run_is_extended_from_before_its_decay_and_kept(
    place: Path, finished: tuple[Run, list[str]]
) -> None:
    run, _ = finished
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file() and p.name != ".lock"}
    longer = train(resume=run.name, budget="+12steps", runs=str(place / "runs"), talk=Heard())
    assert longer is not None and longer.extends == run.name and longer.step == 24
    decay = (run.plan or {})["decay_from"]
    assert curve(longer)[: decay // 3] == curve(run)[: decay // 3]
    flat_rates = [row["lr"] for row in longer.metrics if "lr" in row and row["step"] <= 18]
    assert flat_rates == sorted(flat_rates), "no decay before the new end"
    assert {p: p.read_bytes() for p in before} == before, "the old run is as it was"


def test_the_checkpoint_before_the_decay_outlives_newer_ones(place: Path) -> None:
    run = tiny(place, budget="20steps", evaluate_every=1, lr=1e-7, runs=str(place / "decay"))
    assert (run.plan or {})["decay_from"] == 16
    steps = [int(p.name[5:]) for p in sorted((run.path / "checkpoints").glob("step-*"))]
    assert steps[-2:] == [19, 20] and 16 in steps and len(steps) <= 4
    shutil.rmtree(run.path / "checkpoints" / "step-000016")
    heard = Heard()
    longer = train(resume=run.name, budget="+4steps", runs=str(place / "decay"), talk=heard)
    assert longer is not None and longer.step == 24
    assert any("before the decay isn't kept: going on from step 20" in line for line in heard.lines)


def test_a_run_that_dies_while_it_is_scored_is_not_evaluated_twice(
    place: Path, finished: tuple[Run, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(one: session.Session, stop_if_asked: Any) -> Run:
        raise RunFailed("the lights went out")

    runs = place / "lights"
    finish = session.Session.finish
    monkeypatch.setattr(session.Session, "finish", dies)
    with pytest.raises(RunFailed, match="lights"):
        tiny(place, runs=str(runs))
    monkeypatch.setattr(session.Session, "finish", finish)
    resumed = train(resume="@last", runs=str(runs), talk=Heard())
    assert resumed is not None and curve(resumed) == curve(finished[0]) and resumed.test == finished[0].test


def test_more_budget_needs_a_plus_and_a_finished_run_needs_budget(
    place: Path, finished: tuple[Run, list[str]]
) -> None:
    run, _ = finished
    runs = str(place / "runs")
    with pytest.raises(UserError, match=r"budget=\+10m"):
        train(resume=run.name, runs=runs, talk=Heard())
    with pytest.raises(UserError, match=r"as in budget=\+10m"):
        train(resume=run.name, budget="10m", runs=runs, talk=Heard())
    with pytest.raises(UserError, match="lr can't change along the way"):
        train(resume=run.name, budget="+10m", lr=0.5, runs=runs, talk=Heard())
    with pytest.raises(UserError, match="resume=RUN"):
        tiny(place, budget="+10m")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_ctrl_c_saves_and_says_how_to_go_on(
    number: int, code: int, place: Path, finished: tuple[Run, list[str]]
) -> None:
    whole, _ = finished
    runs = place / f"stopped-{code}"

    def press(one: session.Session) -> None:
        if one.learner.progress.step == 5:
            os.kill(os.getpid(), number)

    handler = signal.getsignal(number)
    with pytest.raises(
        Interrupted, match=r"stopped after step 5, saved\. Go on with: unrolled train resume="
    ) as caught:
        train(**{**TINY, "data": str(place / "tunes.abc"), "runs": str(runs)}, talk=Heard(), on_step=press)
    assert caught.value.exit_code == code and signal.getsignal(number) == handler
    stopped = Run.open("@last", runs)
    assert not stopped.finished and stopped.step == 5
    assert stopped.generate(length=3).texts
    resumed = train(resume="@last", runs=str(runs), talk=Heard())
    assert resumed is not None and resumed.path == stopped.path
    assert curve(resumed) == curve(whole) and resumed.test == whole.test


def test_the_second_ctrl_c_stops_now_and_harms_nothing(place: Path) -> None:
    runs = place / "twice"

    def press(one: session.Session) -> None:
        if one.learner.progress.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="at once") as caught:
        train(**{**TINY, "data": str(place / "tunes.abc"), "runs": str(runs)}, talk=Heard(), on_step=press)
    assert caught.value.exit_code == 130
    resumed = train(resume="@last", runs=str(runs), talk=Heard())
    assert resumed is not None and resumed.finished


def test_a_run_in_use_is_left_alone(place: Path, finished: tuple[Run, list[str]]) -> None:
    runs = place / "busy"

    def resume_meanwhile(one: session.Session) -> None:
        if one.learner.progress.step == 6:
            code = f"import unrolled as un; un.train(resume='@last', runs={str(runs)!r})"
            other = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent.parent
            )
            assert "is writing to this run" in other.stderr, other.stderr

    keys = {**TINY, "data": str(place / "tunes.abc"), "runs": str(runs)}
    run = train(**keys, talk=Heard(), on_step=resume_meanwhile)
    assert run is not None and curve(run) == curve(finished[0])


def test_changed_data_is_refused(place: Path) -> None:
    data = place / "changing.abc"
    data.write_text((place / "tunes.abc").read_text())
    run = tiny(place, data=str(data), runs=str(place / "changed"))
    data.write_text((place / "tunes.abc").read_text().replace("G", "A"))
    with pytest.raises(UserError, match=r"changing.abc has changed since .* began"):
        run.evaluate()
    with pytest.raises(UserError, match="has changed since"):
        train(resume=run.name, budget="+5steps", runs=str(place / "changed"), talk=Heard())


def test_a_corrupt_checkpoint_is_named_and_the_run_goes_on_from_the_one_before(
    place: Path, finished: tuple[Run, list[str]]
) -> None:
    runs = place / "corrupt"

    def press(one: session.Session) -> None:
        if one.learner.progress.step == 10:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        train(**{**TINY, "data": str(place / "tunes.abc"), "runs": str(runs)}, talk=Heard(), on_step=press)
    weights = Run.open("@last", runs).path / "checkpoints" / "step-000010" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    heard = Heard()
    run = train(resume="@last", runs=str(runs), talk=heard)
    assert any(f"{weights}: its SHA-256" in line and "Falling back" in line for line in heard.lines)
    assert run is not None and curve(run) == curve(finished[0])


def test_a_full_disk_ends_the_run_with_a_message_and_loses_nothing(
    place: Path, finished: tuple[Run, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from unrolled import durable

    runs = place / "full"
    write = durable.write

    def full(path: Path, content: bytes) -> None:
        if "step-000008" in str(path.parent):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(durable, "write", full)
    keys = {**TINY, "data": str(place / "tunes.abc"), "runs": str(runs)}
    with pytest.raises(RunFailed, match=r"step-000008: can't write: no space left.*Free some space"):
        train(**keys, talk=Heard())
    monkeypatch.setattr(durable, "write", write)
    run = train(resume="@last", runs=str(runs), talk=Heard())
    assert run is not None and curve(run) == curve(finished[0])


def test_a_disk_that_is_full_at_once_leaves_no_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from unrolled import durable

    write = durable.write

    def full(path: Path, content: bytes) -> None:
        if path.name.endswith("model.safetensors"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(durable, "write", full)
    with pytest.raises(RunFailed, match="no space left"):
        tiny(place, runs=str(place / "full-at-once"))
    assert [p.name for p in (place / "full-at-once").iterdir()] == [".tokens"]


def test_a_time_budget_is_settled_once_and_recorded(place: Path) -> None:
    run = tiny(place, budget="1s", runs=str(place / "timed"), evaluate_every=None)
    assert run.plan is not None and run.plan["total"] >= run.step > 3
    assert f"The budget is {run.plan['total']} steps" in (run.path / "config.toml").read_text()
    again = tiny(place, budget="@last", runs=str(place / "timed"), evaluate_every=run_every(run))
    assert [r for r in curve(again) if "loss" in r] == [r for r in curve(run) if "loss" in r]


def run_every(run: Run) -> int:
    newest = sorted((run.path / "checkpoints").glob("step-*"))[-1]
    return int(json.loads((newest / "progress.json").read_text())["evaluate_every"])


def test_small_data_and_every_policy_of_feeding_train(place: Path) -> None:
    for kind, more in (
        ("transformer", {"accumulate": 2}),
        ("window", {}),
        ("mingru", {"ema": 0.9, "model.dropout": 0.1}),
    ):
        run = tiny(place, model=kind, budget="3steps", **{**more, "model.layers": 1})
        assert run.test is not None and run.test["bits_per_character"] > 0


def test_unknown_words_name_the_nearest(place: Path) -> None:
    with pytest.raises(UserError, match="unknown model 'lstn'. Did you mean 'lstm'"):
        tiny(place, model="lstn")
    with pytest.raises(UserError, match="device='gpu'"):
        tiny(place, device="gpu")
