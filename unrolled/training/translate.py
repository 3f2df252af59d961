"""`translate`: what a run writes for texts, line by line, with n-best lists and with where it looked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unrolled import durable
from unrolled.datasets.inputs import TOKENS
from unrolled.errors import UserError
from unrolled.report import Heatmap, svg
from unrolled.running.alignment import align
from unrolled.running.sampling import Draw
from unrolled.tasks import Translate
from unrolled.tasks.translate import SHORTEST
from unrolled.training.device import choose_device
from unrolled.training.progress import aloud
from unrolled.training.run import Run

if TYPE_CHECKING:
    from unrolled.model import Seq2Seq

AT_ONCE = 64  # lines of a file or a list
SHADES = " .:-=+*#%@"  # of weights in text, from 0 to 1


@dataclass(frozen=True)
class Alignment:
    """How much each written token looked at each source step: `weights` (written + closing, source), a line sums to 1."""

    source: list[str]
    written: list[str]
    weights: list[list[float]]

    def text(self) -> str:
        """A character a weight, the darker the more, one line a written token."""
        wide = max(map(len, self.written))
        lines = [
            f"{name:>{wide}} |" + "".join(SHADES[min(int(10 * w), 9)] for w in line) + "|"
            for name, line in zip(self.written, self.weights, strict=True)
        ]
        return "\n".join(
            [f"{'':>{wide}}  " + "".join(name.strip()[:1] or " " for name in self.source), *lines]
        )

    def chart(self, title: str = "") -> Heatmap:
        """The same as a picture."""
        return Heatmap(
            self.weights, self.written, self.source, title=title, row_label="written", column_label="source",
            low=0.0, high=1.0, caption="Each line sums to 1: the mean over layers and heads.",
        )  # fmt: skip


@dataclass(frozen=True)
class Translated:
    """What was written for one source. `texts`: the best first, with their `scores` (`running.decode`'s)."""

    source: str
    texts: list[str]
    scores: list[float]
    alignment: Alignment | None = None
    cut: bool = False  # the best one was closed at its limit


@dataclass(frozen=True)
class Translations:
    """One entry a source, in order; `files`: pictures and texts that were written."""

    lines: list[Translated]
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "lines": [
                {"source": one.source, "texts": one.texts, "scores": one.scores}
                | ({} if one.alignment is None else {"alignment": vars(one.alignment)})
                for one in self.lines
            ],
            "notes": self.notes,
            "files": self.files,
        }


@dataclass(frozen=True)
class How:
    """How texts are written. None: as the run was scored."""

    beam: int | None = None
    nbest: int = 1
    length_penalty: float | None = None
    shortest: int = SHORTEST
    longest: int | None = None
    prefix: str = ""
    forbidden: tuple[str, ...] = ()
    draw: Draw | None = None
    alignment: bool = False

    def options(self, task: Translate) -> dict[str, Any]:
        """As `decode` takes them. Raises UserError for a text that the target's codec can't say."""
        if self.draw is not None and (self.beam or 1) > 1:
            raise UserError(
                f"beam={self.beam} with a temperature: a beam searches, a draw samples. Give one of them."
            )
        found: dict[str, Any] = {"nbest": self.nbest, "shortest": self.shortest, "draw": self.draw}
        found["beam"] = max(self.nbest, task.beam) if self.beam is None else self.beam
        if self.draw is not None:
            found |= {"beam": 1, "count": self.nbest, "nbest": 1}
        found |= {k: v for k in ("length_penalty", "longest") if (v := getattr(self, k)) is not None}
        if self.prefix:
            found["prefix"] = _said(task, "prefix", self.prefix)
        banned = [_said(task, "forbidden", text) for text in self.forbidden]
        found["forbidden"] = (*task.forbidden, *banned)
        return found


def _said(task: Translate, key: str, text: str) -> list[int]:
    ids: list[int] = np.asarray(task.answers.encode(text)).tolist()
    if set(ids) & set(task.forbidden):
        raise UserError(f"{key}={text}: training's targets hold no such symbol, so it can't be said.")
    return ids


def translate(
    run: Run | Seq2Seq | str = "@last",
    texts: str | Sequence[str] = (),
    *,
    runs: str = "runs",
    beam: int | None = None,
    nbest: int = 1,
    alignment: bool = False,
    device: str = "auto",
    **more: Any,
) -> Translations:
    """What a run, or a loaded model, writes for each text: a translation, a pronunciation, a summary. more: see `How`.

    Raises UserError for a run of another task, or a beam smaller than nbest.
    """
    model = opened(run, runs, device)
    how = How(beam=beam, nbest=nbest, alignment=alignment, **more)
    asked = [texts] if isinstance(texts, str) else list(texts)
    found = list(each(model, asked, how))
    return Translations(found, [*remarks(model, asked), *cut_short(found)])


def opened(run: Run | Seq2Seq | str, runs: str, device: str = "auto") -> Seq2Seq:
    """The model of a run that writes texts for texts. Raises UserError for one that doesn't."""
    run = Run.open(run, runs) if isinstance(run, str) else run
    model: Any = run.model(str(choose_device(device, aloud))) if isinstance(run, Run) else run
    if not isinstance(model.task, Translate):
        name, kind = (
            (run.name if isinstance(run, Run) else "this model"),
            getattr(model.task, "kind", "no task"),
        )
        use = "generate" if kind == "generate" else "predict"
        raise UserError(f"{name} was trained for {kind}, not for task=translate: use unrolled {use}.")
    if model.task.codec.kind not in TOKENS:
        raise UserError(
            f"this model reads sounds, from the column {model.task.inputs[0]}: use unrolled predict."
        )
    if len(model.task.inputs) > 1:
        raise UserError(f"this model reads the columns {', '.join(model.task.inputs)}: use unrolled predict.")
    return model  # type: ignore[no-any-return]


def each(model: Seq2Seq, texts: Iterable[str], how: How, at_once: int = AT_ONCE) -> Iterator[Translated]:
    """The texts' translations as they are made, `at_once` together; of an empty text it is empty."""
    task, waiting = model.task, iter(texts)
    options, read = how.options(task), 0
    while some := list(islice(waiting, at_once)):
        steps = [np.asarray(task.codec.encode(text)) if text.strip() else np.zeros(0) for text in some]
        full = [number for number, ids in enumerate(steps) if len(ids)]
        names = [read + number for number in full]
        found = task.hypotheses(model, [steps[n] for n in full], names=names, **options) if full else []
        said, read = dict(zip(full, found, strict=True)), read + len(some)
        for number, text in enumerate(some):
            if number not in said:
                yield Translated(text, [""], [0.0])
                continue
            best = said[number]
            limit = how.longest or task.limit(len(steps[number]), options)
            looked = _looked(model, steps[number], best[0].tokens) if how.alignment else None
            yield Translated(
                text,
                [task.answers.decode(h.tokens) for h in best],
                [h.score for h in best],
                looked,
                len(best[0].tokens) >= limit,
            )


def cut_short(found: Sequence[Translated]) -> list[str]:
    """How many texts were closed at their limit, where some were."""
    cut = sum(one.cut for one in found)
    return [f"{cut} texts were closed at their limit of tokens: longest= moves it"] if cut else []


def _looked(model: Seq2Seq, source: np.ndarray, tokens: Sequence[int]) -> Alignment:
    device = next(model.parameters()).device
    state = model.read_source(torch.from_numpy(source)[None].to(device), capacity=len(tokens) + 1)
    weights = align(model, state, [list(tokens)])[0]
    names, written = model.task.codec.token_text, model.task.answers.token_text
    return Alignment(
        [names(int(t)) for t in source], [*(written(t) for t in tokens), "(end)"], weights.tolist()
    )


def remarks(model: Seq2Seq, texts: Sequence[str], first: int = 1) -> list[str]:
    """What is to be said of sources unlike training's: unknown characters, longer ones. first: the number of the first."""
    task = model.task
    lines = enumerate(texts, first)
    rows = [{"origin": f"line {n}", task.inputs[0]: text} for n, text in lines if text.strip()]
    found: list[str] = task.remarks(
        rows, [np.asarray(task.codec.encode(row[task.inputs[0]])) for row in rows]
    )
    return found


def picture(one: Translated, path: Path) -> None:
    """Writes the alignment as an SVG file. Raises UserError for another suffix."""
    assert one.alignment is not None
    if path.suffix.lower() != ".svg":
        raise UserError(f"svg={path}: the heat map is written as .svg.")
    durable.replace(path, svg(one.alignment.chart(f"{one.source} -> {one.texts[0]}")).encode())
