"""`train`: one run from a recipe to a scored model, with what is said before, while and after."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from unrolled.config.writing import flat
from unrolled.errors import UserError
from unrolled.training.budget import Budget, pretty_count, pretty_seconds
from unrolled.training.defaults import differing
from unrolled.training.interrupt import Interrupted, Interrupts
from unrolled.training.material import Material
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.run import Run
from unrolled.training.session import Session
from unrolled.training.setup import Setup, pinned, plan_of, set_up

FEW_TEXTS = 20_000  # below which what has read others' texts usually does better


def train(
    *,
    recipe: Recipe | None = None,
    sources: Mapping[str, str] | None = None,
    dry_run: bool = False,
    talk: Talk | None = None,
    on_step: Callable[[Session], None] | None = None,
    **keys: Any,
) -> Run | None:
    """Trains a model: `train(data="irish", model="lstm", budget="2m")`; keys as in `Recipe`. Returns the run.

    `sources`: where each value came from, for config.toml. `dry_run`: says what would happen and returns None.
    `on_step`: called after each optimizer step, for bars and music; its time isn't the budget's.
    Raises UserError for bad keys or data, RunFailed (disk, folder in use), NumericalFailure, Interrupted (saved).
    """
    if recipe is not None and keys:
        raise UserError(f"give either recipe= or keys, not both: {', '.join(keys)}.")
    wanted = recipe or Recipe.of(**keys)
    came = dict(sources or dict.fromkeys(differing(wanted), "as asked"))
    talk = talk or Talk()
    # Until then there is nothing to save: Ctrl-C ends the set-up at once.
    session = _open(wanted, came, talk, dry_run)
    if session is None:
        return None
    with session, Interrupts() as interrupts:
        return _drive(session, interrupts, on_step)


def _open(wanted: Recipe, came: dict[str, str], talk: Talk, dry_run: bool) -> Session | None:
    if wanted.resume is None:
        setup = set_up(pinned(wanted), came, talk)
        announce(setup, talk)
        return None if dry_run else Session.begin(setup, talk)
    run = Run.open(wanted.resume, wanted.runs)
    if run.finished and wanted.budget == "auto":
        raise UserError(
            f"{run.name} is finished (step {run.step}). Give it more: "
            + command("train", f"resume={run.name}", run.path, "budget=+10m")
        )
    if dry_run:
        talk.say(f"would go on with {run.name} from step {run.step}")
        return None
    session = Session.extend(run, wanted, talk) if run.finished else Session.resume(run, wanted, talk)
    step = session.learner.progress.step
    talk.say(
        f"resume    {run.name} from step {step} of {session.learner.progress.plan.total or '?'} in {session.path}"
    )
    if not run.finished and wanted.budget != "auto":
        talk.say(f"budget    what was left of the old one, then {wanted.budget.removeprefix('+')} more")
    return session


def _drive(session: Session, interrupts: Interrupts, on_step: Callable[[Session], None] | None) -> Run:
    def stop_if_asked() -> None:
        if interrupts.asked is not None:
            session.save()
            session.write_result(finished=False)
            raise Interrupted(
                f"stopped after step {session.learner.progress.step}, saved. Go on with: "
                + command("train", f"resume={session.path.name}", session.path),
                interrupts.asked,
            )

    for _ in session.steps():
        if on_step is not None:
            on_step(session)
        stop_if_asked()
    run = session.finish(stop_if_asked)
    conclude(run, session.material, session.talk)
    return run


def command(verb: str, run: str, path: Path, *more: str) -> str:
    """`unrolled VERB RUN ...`, to copy into a shell: it finds the run at `path` from here."""
    where = [] if path.parent == Path("runs") else [f"runs={path.parent}"]
    return shlex.join(["unrolled", verb, run, *where, *more])


def announce(setup: Setup, talk: Talk) -> None:
    """What is about to happen and what was decided, before step 1."""
    recipe, material, learner = setup.recipe, setup.material, setup.learner
    talk.say(f"data      {material.name}: {material.amounts()}")
    for note in [*material.notes, *setup.notes]:
        talk.say(f"          {note}")
    talk.say(
        "set       " + " ".join(f"{key}={value}" for key, value in differing_from_defaults(setup).items())
    )
    for reason in dict.fromkeys(choice.reason for choice in setup.chosen):
        same = " ".join(f"{c.key}={c.value}".replace(" ", "") for c in setup.chosen if c.reason == reason)
        talk.say(f"chosen    {same}  ({reason})")
    whole = setup.whole(learner.model)
    size = sum(p.numel() for p in whole.parameters())
    talk.say(f"model     {recipe.model.kind}, {size:,} parameters, {material.feeding(learner.model)}")
    if recipe.from_ is not None:
        talk.say(f"trains    {recipe.tune.how}: {learner.tuned.says(whole)}")
    talk.say(f"device    {setup.device}, {recipe.dtype}, {torch.get_num_threads()} threads")
    epochs = setup.tokens_a_step / material.epoch
    talk.say(
        f"step      {setup.tokens_a_step:,} {material.unit}, {pretty_count(setup.flops_a_step)}FLOP, "
        f"{100 * epochs:.2g} % of an epoch"
    )
    talk.say(f"budget    {_predicted(setup)}")
    simple = material.naive()
    talk.say(f"baseline  {simple['name']}: {simple['value']:.4f} {simple['unit']} on the test split")


def differing_from_defaults(setup: Setup) -> dict[str, Any]:
    """What the user set: differing keys that weren't chosen here."""
    chosen = {choice.key for choice in setup.chosen}
    groups = {"model": "model.kind", "tune": "tune.how"}
    keys = {key: groups.get(key, key) for key in differing(setup.recipe)} | {"model": "model.kind"}
    given = {key: whole for key, whole in keys.items() if whole not in chosen}
    told = flat(setup.recipe)
    came = setup.sources
    return {k: told[whole] for k, whole in given.items() if k == "model" or came.get(whole) or came.get(k)}


def _predicted(setup: Setup) -> str:
    """Steps, time and memory: time from two trial steps that leave no trace."""
    learner, plan = setup.learner, plan_of(setup)
    weights = 4 * sum(p.numel() for p in learner.parameters)
    if plan.total is None:
        asked = Budget.parse(setup.recipe.budget)
        shown = pretty_seconds(asked.amount)
        fit = "evaluations come on top; how many steps fit is measured in the first 5 %"
        return f"{shown} of optimizer steps, {fit}; {_memory(weights)}"
    seconds = 0.0
    for _ in range(2):  # the first one fills caches
        began = perf_counter()
        learner.compute(learner.sampler.batch(0))
        learner.optimizer.zero_grad()
        seconds = perf_counter() - began
    return f"{plan.total} steps, about {pretty_seconds(1.05 * seconds * plan.total)}; {_memory(weights)}"


def _memory(weights: int) -> str:
    return f"{pretty_count(4.0 * weights)}B for weights, gradients and AdamW's averages"


def starts_better(run: Run, material: Material) -> str:
    """The line that usually beats a model trained from scratch on few texts; "" where it was none, or they are many."""
    texts = material.reads == "tokens" and "text" in material.facts.get("reading", {}).get("kinds", ())
    if not texts or run.recipe.from_ is not None or material.rows >= FEW_TEXTS:
        return ""
    told = [
        f"{k}={v}" for k, v in differing(run.recipe).items() if k in ("data", "input", "target", "id", "task")
    ]
    line = shlex.join(["unrolled", "finetune", "from=minilm", *told])
    return f"{material.rows:,} texts are few: a model that has read more usually does better: {line}"


def conclude(run: Run, material: Material, talk: Talk) -> None:
    """The last lines: score beside the baseline, the verdict in words, the folder, three next commands."""
    assert run.test is not None and run.baseline is not None
    talk.say()
    talk.say(
        f"test      {material.words(run.test)}; {run.baseline['name']}: {run.baseline['value']:.4f}; "
        f"step {run.step}, {pretty_seconds(run.seconds)}"
    )
    if run.before is not None:
        talk.say(f"before    {material.words(run.before)}, with what it starts from")
    talk.say(run.verdict)
    talk.say(f"folder    {run.path}")
    if hint := starts_better(run, material):
        talk.say(f"hint      {hint}")
    for following in (
        command(material.verb, run.name, run.path, *material.verb_keys),
        command("train", f"resume={run.name}", run.path, "budget=+10m"),
        command("evaluate", run.name, run.path, "split=valid"),
    ):
        talk.say(f"next      {following}")
