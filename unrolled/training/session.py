"""A run while it trains: data, model, loop and folder held together. `train` drives one; a race interleaves several."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from math import ceil, isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from unrolled import durable
from unrolled.errors import NumericalFailure, RunFailed
from unrolled.training import checkpoint as checkpoints
from unrolled.training.budget import Budget
from unrolled.training.card import card
from unrolled.training.defaults import EVALUATIONS, SHARE
from unrolled.training.device import environment
from unrolled.training.folder import Lock, Metrics, make, make_at, settings_text, write_json
from unrolled.training.loop import Hooks, steps
from unrolled.training.portable import load_model, save_model
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.resume import before_decay, newest, set_up_again
from unrolled.training.run import Run
from unrolled.training.setup import Setup, plan_of

if TYPE_CHECKING:
    from unrolled.training.material import Scored


class Session:
    """One run's folder under its lock, and the loop's hooks into it. Use as a context manager: it frees the lock."""

    def __init__(self, setup: Setup, talk: Talk, folder: Path, lock: Lock, extends: str = "") -> None:
        self.setup, self.talk, self.path, self._lock = setup, talk, folder, lock
        self.recipe, self.learner, self.material = setup.recipe, setup.learner, setup.material
        self.extends = extends
        self.started = datetime.now(UTC).isoformat(timespec="microseconds")
        self.metrics: Metrics | None = None
        self.valid: dict[str, Any] | None = None
        self.before: dict[str, Any] | None = (
            None  # of a run that starts from other weights: its first test score
        )

    @classmethod
    def begin(cls, setup: Setup, talk: Talk) -> Session:
        """A new folder for a fresh run. Raises RunFailed when the disk is full: no half-made folder is left behind."""
        recipe = setup.recipe
        stem = f"{recipe.model.kind}-{setup.material.name}"
        folder = make_at(Path(recipe.out)) if recipe.out else make(Path(recipe.runs), stem)
        session = cls(setup, talk, folder, Lock(folder))
        with session._or_gone():
            session.learner.progress.plan = plan_of(setup)
            session._every()
            session._write_settings()
            session.metrics = Metrics(folder / "metrics.jsonl")
            save_model(folder / "model", setup.whole(session.learner.model), session.card())
            if setup.recipe.from_ is not None and setup.recipe.tune.how != "scratch":
                with session.learner.as_scored():
                    session.before = session.score("test").to_dict()
            session.write_result(finished=False)
        return session

    @classmethod
    def resume(cls, run: Run, given: Recipe, talk: Talk) -> Session:
        """Goes on in a run's folder, exactly where its last good checkpoint was taken. Raises UserError, RunFailed.

        What `given` changes, more budget too, is on the disk before this returns.
        """
        lock, root = Lock(run.path), run.path / "checkpoints"
        try:
            for folder in (run.path, root, run.path / "model", run.path / "samples"):
                durable.sweep(folder)
            setup, changed = set_up_again(run, given, talk)
            session = cls(setup, talk, run.path, lock, run.extends)
            session.started, session.before = run.started, run.before
            if "budget" in changed:
                session._lengthen(run, given)
            else:
                session.go_back_to(newest(run, talk.warn))
            session.metrics = Metrics(run.path / "metrics.jsonl", session.learner.progress.metrics_bytes)
            if changed:
                session._write_config()
        except BaseException:
            lock.release()
            raise
        return session

    def _lengthen(self, run: Run, given: Recipe) -> None:
        """More budget for an unfinished run: the checkpoint it goes on from becomes the last one, with the new plan."""
        root = self.path / "checkpoints"
        found, model_stays = before_decay(run, self.talk.warn)
        self.go_back_to(found)
        self._extend(given)
        if not model_stays:
            self._score_anew()
        checkpoints.save(root, self.learner.checkpoint())
        checkpoints.drop_after(root, found.step)
        if not model_stays:
            self._save_model()
        self.write_result(finished=False)

    @classmethod
    def extend(cls, run: Run, given: Recipe, talk: Talk) -> Session:
        """A finished run with more budget: a new folder that goes on from before the decay, so that nothing is lost."""
        setup, _ = set_up_again(run, given, talk)
        found, model_stays = before_decay(run, talk.warn)
        folder = make(run.path.parent, f"{setup.recipe.model.kind}-{setup.material.name}")
        session = cls(setup, talk, folder, Lock(folder), run.name)
        session.before = run.before
        with session._or_gone():
            session.learner.restore(found, str(run.path / "checkpoints" / checkpoints.name_of(found.step)))
            head = session.learner.progress.metrics_bytes
            _copy_head(run.path / "metrics.jsonl", folder / "metrics.jsonl", head)
            session.metrics = Metrics(folder / "metrics.jsonl", head)
            session._extend(given)
            session._write_settings()
            if model_stays:
                best = load_model(run.path / "model").to(setup.device)
                save_model(folder / "model", best, session.card())
            else:
                session._score_anew()
                session._save_model()
            session.write_result(finished=False)
            session.save()
        return session

    @contextmanager
    def _or_gone(self) -> Iterator[None]:
        """Leaves no half-made folder behind: it holds nothing that was trained here."""
        try:
            yield
        except BaseException:
            self.close()
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def _score_anew(self) -> None:
        """What the weights score as they are now is the best so far: the model that was better came after them."""
        progress = self.learner.progress
        with self.learner.as_scored():
            progress.best, progress.best_step = self.evaluate(), progress.step

    def _save_model(self) -> None:
        with self.learner.as_scored():
            save_model(self.path / "model", self.setup.whole(self.learner.model), self.card())

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the talk and lets other processes write."""
        self.talk.close()
        if self.metrics is not None:
            self.metrics.close()
        self._lock.release()

    def steps(self) -> Iterator[int]:
        """The training loop; yields after each optimizer step."""
        recipe = self.recipe
        hooks = Hooks(
            self.record, self.evaluate, self.save, self.back, self.settled, self.talk.warn, self.improved,
            self.material.few,
        )  # fmt: skip
        return steps(self.learner, hooks, recipe.log_every or 25, recipe.patience or 0, recipe.nonfinite)

    def record(self, row: dict[str, Any]) -> None:
        """One line of metrics.jsonl, and of talk."""
        assert self.metrics is not None
        self.metrics.append(row)
        self.talk.recorded(row, self.learner.progress)

    def evaluate(self) -> float:
        """The objective on the validation split."""
        begun = perf_counter()
        found = self.score("valid")
        self._space_out(perf_counter() - begun)
        self.valid = found.to_dict()
        return found.objective

    def score(self, part: str) -> Scored:
        """The score of the weights as they are now. Raises NumericalFailure when it isn't finite."""
        model, step = self.learner.model, self.learner.progress.step
        found = self.material.score(model, part, self.recipe.context)
        if not all(map(isfinite, (found.objective, *found.interval))):
            raise NumericalFailure(
                f"step {step}: the score on held-out data isn't finite ({found.objective}), though loss and "
                f"gradient were. {self.path / 'model'} holds the best weights before it. Try a lower lr, a longer "
                "warmup or clip=1."
            )
        return found

    def save(self) -> None:
        """A durable checkpoint; then, and only then, those that nothing needs any more go."""
        assert self.metrics is not None
        progress = self.learner.progress
        self.metrics.sync()
        progress.metrics_bytes = self.metrics.bytes
        root = self.path / "checkpoints"
        checkpoints.save(root, self.learner.checkpoint())
        protect = {step for step in (progress.best_step, progress.plan.decay_from) if step is not None}
        checkpoints.prune(root, self.recipe.keep, protect)

    def back(self, until: int) -> None:
        """Returns to the last good checkpoint of at most `until` steps."""
        found = checkpoints.latest(self.path / "checkpoints", self.talk.warn, until)
        if found is None:
            raise RunFailed(f"{self.path / 'checkpoints'}: no checkpoint to go back to is whole.")
        self.go_back_to(found)
        assert self.metrics is not None
        self.metrics.cut(self.learner.progress.metrics_bytes)

    def go_back_to(self, found: checkpoints.Checkpoint) -> None:
        """Restores a checkpoint and its numbers."""
        self.learner.restore(found, str(self.path / "checkpoints" / checkpoints.name_of(found.step)))

    def settled(self) -> None:
        """The number of steps has become known: into config.toml, and the interval of evaluations follows from it."""
        self._every()
        plan = self.learner.progress.plan
        if plan.seconds is not None:
            self.talk.say(
                f"steps     {plan.total} fit the time; the learning rate falls from step {plan.decay_from} on"
            )
        self._write_config()

    def improved(self) -> None:
        """The weights as they are now are the best so far: they become the portable model."""
        save_model(self.path / "model", self.setup.whole(self.learner.model), self.card())
        self._sample()

    def _sample(self) -> None:
        """What the model writes at this point, for people to watch it learn."""
        written = self.material.sample(self.setup.whole(self.learner.model), self.recipe.seed)
        if written is None:
            return
        folder = self.path / "samples"
        with durable.disk(folder, "Free some space and resume the run."):
            folder.mkdir(exist_ok=True)
            durable.replace(
                folder / f"{checkpoints.name_of(self.learner.progress.step)}.txt", written.encode()
            )

    def _every(self) -> None:
        progress = self.learner.progress
        if self.recipe.evaluate_every is not None:
            progress.evaluate_every = self.recipe.evaluate_every
        elif progress.plan.total is not None and not progress.evaluate_every:
            progress.evaluate_every = max(1, progress.plan.total // EVALUATIONS)

    def _space_out(self, cost: float) -> None:
        """While a time budget's steps are few for what an evaluation costs, evaluations come more seldom."""
        progress = self.learner.progress
        plan = progress.plan
        if (
            self.recipe.evaluate_every is None
            and plan.seconds is not None
            and plan.total
            and progress.seconds
        ):
            least = ceil(cost / SHARE * progress.step / progress.seconds)
            progress.evaluate_every = max(progress.evaluate_every, min(least, plan.total))

    def _extend(self, given: Recipe) -> None:
        """Adds `budget=+...` to the plan from where the run stands."""
        progress, setup = self.learner.progress, self.setup
        progress.plan = progress.plan.extended(
            Budget.parse(given.budget),
            progress.step,
            progress.seconds,
            setup.tokens_a_step,
            setup.flops_a_step,
        )
        progress.stale, progress.evaluated = 0, -1
        progress.evaluate_every = 0
        self._every()

    def _write_settings(self) -> None:
        """config.toml, command.txt, env.json and data.json."""
        with durable.disk(self.path, "Free some space, or choose another folder with runs=."):
            durable.replace(self.path / "command.txt", (self.setup.command + "\n").encode())
        self._write_config()
        write_json(self.path / "env.json", environment(self.setup.device))
        write_json(self.path / "data.json", self.material.facts)

    def _write_config(self) -> None:
        """config.toml: the recipe and, at its head, what the budget has become."""
        plan, path = self.learner.progress.plan, self.path / "config.toml"
        notes = [f"Goes on from {self.extends}, whose budget it adds to."] if self.extends else []
        if plan.total is not None:
            notes.append(
                f"The budget is {plan.total} steps, with decay from step {plan.decay_from} on; "
                f"budget=@{self.path.name} repeats them."
            )
        with durable.disk(path, "Free some space and resume the run."):
            durable.replace(path, settings_text(self.recipe, self.setup.sources, notes).encode())

    @property
    def weights(self) -> int:
        """How many the model has that the run makes, whether they train or not."""
        return sum(p.numel() for p in self.setup.whole(self.learner.model).parameters())

    @cached_property
    def _work(self) -> dict[str, float]:
        """What one optimizer step costs, as the budget counts it."""
        return {"tokens": self.setup.tokens_a_step, "flops": self.setup.flops_a_step}

    def write_result(self, finished: bool, **scores: Any) -> None:
        """result.json: what `runs`, @last and @best read."""
        progress = self.learner.progress
        result = {
            "kind": self.recipe.model.kind, "data": self.material.name, "finished": finished, "step": progress.step,
            "seconds": progress.seconds, "parameters": self.weights, "started": self.started,
            "extends": self.extends, "plan": progress.plan.to_dict(), "work": self._work,
            "nonfinite": len(progress.skipped), "before": self.before, "valid": self.valid, **scores,
        }  # fmt: skip
        write_json(self.path / "result.json", result)

    def finish(self, stop_if_asked: Callable[[], None] = lambda: None) -> Run:
        """Scores the best weights on the test split beside the baselines and writes everything that remains.

        `stop_if_asked` is called between the scores, each of which may take a while.
        """
        whole = load_model(self.path / "model").to(self.setup.device)
        best = self.setup.learnt(whole)
        if self.material.settle(best):
            whole.task = best.task
            save_model(self.path / "model", whole, self.card())
        model, self.learner.model = self.learner.model, best
        try:
            self.valid = self.score("valid").to_dict()
            test = self.score("test").to_dict()
        finally:
            self.learner.model = model
        stop_if_asked()
        baseline = self.material.strong()
        stop_if_asked()
        simple = self.material.naive()
        stop_if_asked()
        verdict = self.material.verdict(test, baseline)
        scores = {"test": test, "baseline": baseline, "naive": simple, "verdict": verdict}
        self.write_result(finished=True, **scores)
        with durable.disk(self.path, "The result is in result.json."):
            durable.replace(self.path / "model" / "README.md", self.card(scores).encode())
        return Run.at(self.path)

    def card(self, scores: dict[str, Any] | None = None) -> str:
        """The model card of the run as it stands."""
        return card(self.path.name, self.setup.command, self.recipe, self.material, self.weights, scores)


def _copy_head(source: Path, target: Path, length: int) -> None:
    with durable.disk(target, "Free some space."):
        durable.write(target, source.read_bytes()[:length])
