"""What a run that goes on must have in common with its past: recipe, data, codec, arithmetic; and where it goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from unrolled.config.writing import flat
from unrolled.errors import RunFailed, UserError
from unrolled.training import checkpoint as checkpoints
from unrolled.training.budget import Budget
from unrolled.training.checkpoint import Checkpoint, Say
from unrolled.training.defaults import differing
from unrolled.training.device import environment
from unrolled.training.folder import command_of, read_json, sources_of
from unrolled.training.portable import read_codec
from unrolled.training.progress import Talk
from unrolled.training.recipe import Recipe
from unrolled.training.run import Run
from unrolled.training.setup import Setup, set_up

FREE_TO_CHANGE = ("budget", "device", "keep", "nonfinite", "patience", "resume", "runs", "threads")
ARITHMETIC = (
    "unrolled",
    "torch",
    "machine",
    "device",
    "threads",
)  # of env.json: another one rounds otherwise


def set_up_again(run: Run, given: Recipe, talk: Talk) -> tuple[Setup, set[str]]:
    """The run's own setup with what may change along the way, and the keys that do. Raises UserError for any other."""
    recipe, changed = resumed(run, given)
    sources = sources_of(run.path / "config.toml") | dict.fromkeys(changed - {"budget"}, "given with resume=")
    setup = set_up(recipe, sources, talk)
    setup.command = command_that_began(run)
    same_data(run, setup.material.facts)
    same_start(run, setup.material.facts)
    same_codec(run, setup)
    differs = [f"{key} {now} instead of {was}" for key, was, now in _environments(run, setup)]
    if differs:
        talk.warn(
            f"{run.name} began with another {', '.join(differs)}: from here on it needn't be, bit for bit, what it "
            "would have been"
        )
    return setup, changed


def resumed(run: Run, given: Recipe) -> tuple[Recipe, set[str]]:
    """The run's own recipe with the few keys that may change along the way. Raises UserError for any other."""
    kept, wanted = run.recipe, differing(given)
    fixed = sorted(k for k, v in wanted.items() if k not in FREE_TO_CHANGE and _value(kept, k) != v)
    if fixed:
        raise UserError(
            f"resume={given.resume}: {', '.join(fixed)} can't change along the way; a resumed run keeps what it began with "
            f"(free to change: {', '.join(k for k in FREE_TO_CHANGE if k not in ('resume', 'runs'))}). "
            "For other values begin a new run: leave resume= out."
        )
    changed = {key for key in wanted if key in FREE_TO_CHANGE and key not in ("resume", "runs")}
    if "budget" in changed and not Budget.parse(given.budget).extends:
        more = "10m" if given.budget.startswith("@") else given.budget
        raise UserError(f"budget={given.budget}: with resume= say how much more, as in budget=+{more}.")
    values = {key: getattr(given, key) for key in changed - {"budget"}}
    return replace(kept, runs=str(run.path.parent), **values), changed


def _value(recipe: Recipe, key: str) -> Any:
    """The value of a key as `differing` names it: `model` is the model's kind, `tune` how it is tuned."""
    return flat(recipe)[{"model": "model.kind", "tune": "tune.how"}.get(key, key)]


def same_data(run: Run, facts: dict[str, Any]) -> None:
    """Raises UserError unless the files are those the run was trained on: a changed split would leak test into training."""
    path = run.path / "data.json"
    kept = read_json(path).get("files")
    if not isinstance(kept, list):
        raise UserError(f"{path}: damaged (no list of files). Restore it, or train a new run.")
    for before, now in zip(kept, facts["files"], strict=False):
        if before != now:
            raise UserError(
                f"{now['name']} has changed since {run.name} began (SHA-256 {now['sha256'][:12]}, was "
                f"{before['sha256'][:12]}): its test split would overlap what the run has seen. Restore the file, "
                "or train a new run on it."
            )
    if len(kept) != len(facts["files"]):
        raise UserError(
            f"{run.name} began with {len(kept)} data files; there are {len(facts['files'])} now. "
            "Restore them, or train a new run."
        )


def same_start(run: Run, facts: dict[str, Any]) -> None:
    """Raises UserError unless what the run started from has its weights still: those that stand still are read anew."""
    kept, now = read_json(run.path / "data.json").get("from"), facts.get("from")
    if kept is not None and now is not None and kept != now:
        raise UserError(
            f"{kept['name']} has changed since {run.name} started from it (weights {now['sha256'][:12]}, were "
            f"{kept['sha256'][:12]}). Restore it, or begin a new run."
        )


def same_codec(run: Run, setup: Setup) -> None:
    """Raises UserError unless the tokens mean what they meant when the run began: a fit may differ between versions."""
    now = setup.learner.model.task.to_dict()["codec"]
    if read_codec(run.path / "model") != json.loads(json.dumps(now)):
        raise UserError(
            f"{run.name} can't go on: its codec ({run.path / 'model' / 'codec.json'}) isn't the one that the data gives "
            "now, so the same numbers would mean other things. Resume it with the "
            f"version of unrolled that began it (see {run.path / 'env.json'}), or begin a new run: "
            f"{command_that_began(run)}"
        )


def _environments(run: Run, setup: Setup) -> list[tuple[str, Any, Any]]:
    """What arithmetic depends on and has changed: key, then, now."""
    now = environment(setup.device)
    try:
        then = read_json(run.path / "env.json")
    except UserError:
        return [("environment", "one that env.json doesn't tell", "this one")]
    return [(key, then.get(key), now[key]) for key in ARITHMETIC if then.get(key) != now[key]]


def newest(run: Run, say: Say) -> Checkpoint:
    """The last whole checkpoint. Raises RunFailed with the command that starts again."""
    root = run.path / "checkpoints"
    found = checkpoints.latest(root, say)
    if found is None:
        raise RunFailed(f"{root}: no checkpoint is whole. Start again: {command_that_began(run)}")
    return found


def before_decay(run: Run, say: Say) -> tuple[Checkpoint, bool]:
    """Where more budget goes on from (the learning rate mustn't rise again), and whether the run's model is that old.

    The checkpoint before the decay, where it has begun; else, or aloud when that one is gone, the newest.
    """
    last, root = newest(run, say), run.path / "checkpoints"
    decay = last.progress["plan"]["decay_from"]
    found = last
    if decay is not None and decay < last.step:
        earlier = checkpoints.latest(root, say, until=decay)
        if earlier is not None and earlier.step == decay:
            found = earlier
        else:
            say(f"the checkpoint before the decay isn't kept: going on from step {last.step}, after it")
    return found, last.progress["best_step"] <= found.step


def command_that_began(run: Run) -> str:
    """The command in the run's folder; what its recipe says where that file is gone."""
    try:
        return (run.path / "command.txt").read_text(encoding="utf-8").strip()
    except OSError:
        return command_of(run.recipe)
