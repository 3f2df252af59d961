"""`inspect`: looks inside a run, by name; without a name, what the model is made of and what else can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from unrolled.errors import UserError, unknown
from unrolled.inspection.attention_maps import LONGEST as SEEN
from unrolled.inspection.attention_maps import attention_maps
from unrolled.inspection.by_position import by_position
from unrolled.inspection.embeddings import embeddings
from unrolled.inspection.finding import Finding
from unrolled.inspection.gradient_flow import gradient_flow
from unrolled.inspection.held_out import ROWS, STEPS
from unrolled.inspection.memory_length import memory_length
from unrolled.inspection.mistakes import calibration, confusion
from unrolled.inspection.saliency import LONGEST as EXPLAINED
from unrolled.inspection.saliency import saliency
from unrolled.inspection.state_measures import KEEPS
from unrolled.inspection.states import states
from unrolled.inspection.subject import Subject
from unrolled.inspection.summary import Summary, layers_of, state_sizes
from unrolled.inspection.units import units
from unrolled.mixer import Mixer
from unrolled.mixers import kind_of
from unrolled.model import Model, TokenEmbedder
from unrolled.model.ctc import CTCHead
from unrolled.report import page, write
from unrolled.training.run import Run


class Look(NamedTuple):
    """One way to look. lacks: why it isn't of a model, "" where it is; find: does it; takes: which of text=, rows= and
    steps= it heeds; most: steps that it can show.
    """

    shows: str
    lacks: Callable[[Model], str]
    find: Callable[[Subject], Finding]
    takes: tuple[str, ...] = ()
    most: int | None = None


def kinds_in(model: Model) -> set[str]:
    """The kinds of mixer that a model's core holds, at any depth."""
    return {kind_of(part) for part in model.core.modules() if isinstance(part, Mixer)}


def _nothing(model: Model) -> str:
    return ""


def _no_path(model: Model) -> str:
    layers = [part for part in model.core.layers if isinstance(part, Mixer) and part.sublayer]
    return "" if any(part.reach.past for part in layers) else "none of its layers looks back"


def _no_later(model: Model) -> str:
    return "it sees whole sequences, so no answer comes later than an input" if model.reach.future else ""


def _no_state(model: Model) -> str:
    kinds = kinds_in(model)
    return "" if kinds & {*KEEPS, "rnn", "pool"} else "its layers keep no state of their own"


def _no_attention(model: Model) -> str:
    return "" if kinds_in(model) & {"attention", "cross", "bahdanau"} else "it has no attention"


def _no_answer(model: Model) -> str:
    return "its answer belongs to no one step" if isinstance(model.head, CTCHead) else ""


def _no_places(model: Model) -> str:
    if model.task.kind == "generate" or (model.task.kind == "classify" and not model.reach.future):
        return ""
    return "it neither goes on with text nor names a class while it reads"


def _no_probabilities(model: Model) -> str:
    return "" if model.task.kind in ("generate", "classify") else f"its task is {model.task.kind}"


def _no_classes(model: Model) -> str:
    return "" if model.task.kind == "classify" else "it doesn't answer with one class a row"


def _no_text(model: Model) -> str:
    return "" if model.task.kind == "generate" else "it doesn't go on with text"


def _no_table(model: Model) -> str:
    return (
        ""
        if isinstance(model.embedder, TokenEmbedder)
        else f"it reads numbers ({model.task.codec.kind}), not tokens"
    )


SEQUENCES = ("text", "rows", "steps")
ONE = ("text", "steps")
LOOKS = {
    "gradients": Look(
        "how much of the last answer's gradient arrives at earlier steps, layer by layer: vanishing, exploding, healthy",
        _no_path,
        lambda on: gradient_flow(on.held()),
        SEQUENCES,
    ),
    "memory": Look(
        "one input changed or taken out: for how many steps answers remember it",
        _no_later,
        lambda on: memory_length(on.held()),
        SEQUENCES,
    ),
    "states": Look(
        "how large states are, stuck and saturated units, gates and how long they keep",
        _no_state,
        lambda on: states(on.held()),
        SEQUENCES,
    ),
    "attention": Look(
        "which step looks at which, head by head, and whether that is what mattered",
        _no_attention,
        lambda on: attention_maps(on.held(1, SEEN)),
        ONE,
        SEEN,
    ),
    "saliency": Look(
        "which inputs the last answer came from (integrated gradients), and how far to trust that",
        _no_answer,
        lambda on: saliency(on.held(1, EXPLAINED)),
        ONE,
        EXPLAINED,
    ),
    "position": Look(
        "how good answers are by how much was read before: what context is worth",
        _no_places,
        by_position,
    ),
    "calibration": Look(
        "whether it is right as often as it is sure", _no_probabilities, calibration, SEQUENCES
    ),
    "confusion": Look("which class is taken for which, and the surest mistakes", _no_classes, confusion),
    "units": Look(
        "units that track something one can name: position in the line, quotes, bar lines; with text coloured by them",
        _no_text,
        units,
        ("text",),
    ),
    "embeddings": Look(
        "which tokens lie together, and a map of them",
        _no_table,
        lambda on: embeddings(on.run, on.model, on.words, on.count),
    ),
}
SUMMARY = "summary"


def available(model: Model) -> dict[str, str]:
    """Each look by name: "" where the model has what it shows, else why not."""
    return {name: look.lacks(model) for name, look in LOOKS.items()}


def summary(on: Subject) -> Summary:
    """What the run's model is made of, and which looks it has; of a run without a saved model what there is of it."""
    run = on.run
    score = f", {run.unit} {run.score:.4f}" if run.score is not None else ""
    bare = Summary(data=run.data, task=run.recipe.task, step=run.step, score=score)
    try:
        model = on.model
    except UserError as error:
        return replace(bare, notes=[str(error)], lacks=dict.fromkeys(LOOKS, "no model was saved yet"))
    sizes = state_sizes(model)
    why = available(model)
    past = model.reach.past
    return replace(
        bare, parameters=model.parameter_count(), layers=layers_of(model), reach=int(past) if isfinite(past) else None,
        context=[tokens for tokens, _ in sizes], bytes=[size for _, size in sizes],
        looks={name: LOOKS[name].shows for name, reason in why.items() if not reason},
        lacks={name: reason for name, reason in why.items() if reason},
    )  # fmt: skip


def inspect(
    run: Run | str = "@last",
    what: str = "",
    *,
    words: Sequence[str] = (),
    count: int = 8,
    text: str = "",
    split: str = "test",
    rows: int = ROWS,
    steps: int = STEPS,
    out: str | None = None,
    runs: str = "runs",
) -> Finding:
    """Looks inside a run and writes a page and its pictures into the run's folder, or into `out`.

    what: one of `LOOKS`; without one what the model is made of and which looks it has (with `words`, their neighbours).
    text: looked at in place of the run's own held-out data, of which `split` says the part, `rows` how many sequences and
    `steps` how much of each. words, count: whose neighbours, and how many of each.

    Raises UserError for an unknown look or run, a run that has nothing to look at there, and a text, rows or steps that the
    look has no use for.
    """
    what = what or ("embeddings" if words else SUMMARY)
    if what not in (*LOOKS, SUMMARY):
        raise unknown("look", what, [*LOOKS, SUMMARY])
    found = Run.open(run, runs) if isinstance(run, str) else run
    on = Subject(found, tuple(words), count, text, split, rows, steps)
    if what == SUMMARY:
        made: Finding = summary(on)
    else:
        if why := LOOKS[what].lacks(on.model):
            has = [name for name, reason in available(on.model).items() if not reason]
            raise UserError(f"{what}: not of {found.name}: {why}. It has: {', '.join(has)}.")
        heeded(what, on)
        made = LOOKS[what].find(on)
    return drawn(replace(made, run=found.name), what, Path(out or found.path))


def heeded(what: str, on: Subject) -> None:
    """Raises UserError for a text, rows or steps that a look of this model has no use for: all of them at once."""
    look = LOOKS[what]
    given = {"text": bool(on.text), "rows": on.rows != ROWS, "steps": on.steps != STEPS}
    every = what == "calibration" and on.model.task.kind != "generate"  # of the classes of all rows
    takes = () if every else look.takes
    if idle := [f"{name}=" for name, asked in given.items() if asked and name not in takes]:
        has = ", ".join(f"{name}=" for name in takes) or "none of text=, rows= and steps="
        raise UserError(f"{what}: it has no use for {', '.join(idle)}; it heeds {has}. Leave the others out.")
    if given["steps"] and look.most is not None and on.steps > look.most:
        raise UserError(f"{what}: steps={on.steps}; expected at most {look.most}, more can't be shown.")


def drawn(finding: Finding, what: str, folder: Path) -> Finding:
    """The finding with its page and its pictures in a folder, `inspect-WHAT.html` and `inspect-WHAT.svg`, -2 ..."""
    pictures = []
    for number, text in enumerate(finding.charts(), 1):
        name = f"inspect-{what}{'' if number == 1 else f'-{number}'}.svg"
        pictures.append(str(write(folder / name, text)))
    made = replace(finding, page=str(folder / f"inspect-{what}.html"), pictures=pictures)
    write(made.page, page(f"{made.title}: {made.run}", made.lead(), made.blocks()))
    return made
