"""Where each step looked, layer by layer and head by head; each map carries a check of whether that is what mattered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.errors import UserError
from unrolled.inspection.finding import Finding
from unrolled.inspection.held_out import Held
from unrolled.inspection.memory_length import distance
from unrolled.inspection.trace import Heard
from unrolled.report import Heatmap, Section, Table
from unrolled.report.heat import visible

Matrix = NDArray[np.float64]
LONGEST = 64  # steps of what is looked at
SHUFFLES = 500
MARGIN = 0.02  # of agreement: what is closer than this to closeness is no better
FEW = 4  # earlier steps that a step needs, so that their order says something


@dataclass(frozen=True)
class Checked:
    """How well weights tell what matters: the rank correlation (Spearman) of where a step looks and how far its answer
    moves when that is taken out, the mean over steps. chance: the share of shuffled maps that do as well, the best of all
    that it was picked from.
    """

    agreement: float | None
    chance: float | None


@dataclass(frozen=True)
class LayerMap:
    """One layer. weights: (heads, T, S); mean: the check of their mean, heads: of each."""

    layer: str
    kind: str
    weights: list[list[list[float]]]
    mean: Checked
    heads: list[Checked]


@dataclass(frozen=True, kw_only=True)
class AttentionMaps(Finding):
    """tokens: the T steps that look; sources: the S steps looked at. rollout: (T, S), attention through all layers and the
    paths around them (Abnar & Zuidema 2020, arXiv:2005.00928, eq. 1), where layers look at each other's steps. recency: how
    well mere closeness does in the same check.
    """

    title = "Attention maps"

    tokens: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    layers: list[LayerMap] = field(default_factory=list)
    rollout: list[list[float]] | None = None
    rolled: Checked = Checked(None, None)
    recency: Checked = Checked(None, None)

    def lines(self) -> list[str]:
        said = []
        for one in self.layers:
            best = max(range(len(one.heads)), key=lambda h: one.heads[h].agreement or -2.0)
            said.append(
                f"{one.layer}  {one.kind}, {len(one.heads)} heads: agrees {_signed(one.mean)} with deleting the word; "
                f"head {best + 1} most, {_signed(one.heads[best])}"
            )
        if self.rollout is not None:
            said.append(f"rollout   agrees {_signed(self.rolled)}")
        return [*said, f"closeness agrees {_signed(self.recency)}: what a map has to exceed to say something"]

    def lead(self) -> str:
        best = max(self.layers, key=lambda one: one.mean.agreement or -2.0)
        gain = (best.mean.agreement or 0.0) - max(self.recency.agreement or 0.0, 0.0)
        held = best.mean.chance is not None and best.mean.chance < 0.05
        if held and gain > MARGIN:
            return (
                f"{best.layer} looks where it matters: its weights rank earlier steps as taking them out "
                f"does ({_bare(best.mean)}), better than closeness alone ({_bare(self.recency)})."
            )
        return (
            "No map tells more of what mattered than mere closeness does: taking out what a layer looks at moves the "
            f"answer no more than taking out what is near ({_bare(best.mean)} against {_bare(self.recency)})."
        )

    def blocks(self) -> list[Section]:
        alone = len(self.layers) == 1 and len(self.layers[0].heads) == 1
        made: list[Section] = [] if alone else [self._model_view()]
        if self.rollout is not None:
            made.append(
                Heatmap(
                    self.rollout, self.tokens, self.sources, title="Rollout: through all layers", low=0.0,
                    high=_bright(self.rollout),
                    row_label="the step that looks", column_label="what it sees, in the end",
                    caption="Each layer's weights, the mean of its heads, averaged with the path around the layer, "
                    f"multiplied through. Agreement with deleting the word: {_signed(self.rolled)}.",
                )
            )  # fmt: skip
        for one in self.layers:
            best = max(range(len(one.heads)), key=lambda h: one.heads[h].agreement or -2.0)
            made.append(
                Heatmap(
                    one.weights[best], self.tokens, self.sources,
                    title=f"{one.layer}, head {best + 1}: the one that agrees most", low=0.0,
                    row_label="the step that looks", column_label="what it looks at",
                    caption=f"A row's weights sum to 1. Agreement with deleting the word: {_signed(one.heads[best])}; of "
                    f"the layer's {len(one.heads)} heads together {_signed(one.mean)}.",
                )
            )  # fmt: skip
        rows: list[list[Any]] = [
            [f"{one.layer} head {number + 1}", head.agreement, head.chance]
            for one in self.layers
            for number, head in enumerate(one.heads)
        ]
        through = [["rollout", self.rolled.agreement, self.rolled.chance]] if self.rollout is not None else []
        beside = [*through, ["closeness", self.recency.agreement, None]]
        table = Table(
            ["map", "agreement", "as good by chance"], [*rows, *beside],
            "Rank correlation of a step's weights with how far its answer moves when each earlier step is taken out, "
            "the mean over steps; and how often the best of all heads agrees as well when columns are shuffled. Closeness: "
            "'the nearer, the more', in the same check.",
            title="The check", muted=[len(rows) + len(through)], notes=self.notes,
        )  # fmt: skip
        return [*made, table]

    def _model_view(self) -> Heatmap:
        """All heads of all layers as tiles of one picture: a layer a row of tiles, a head a column."""
        height, width = len(self.tokens), len(self.sources)
        most = max(len(one.heads) for one in self.layers)
        gap = max(1, width // 12)
        values: list[list[float | None]] = []
        for number, one in enumerate(self.layers):
            values += [[None] * (most * (width + gap) - gap)] * (gap if number else 0)
            for t in range(height):
                row: list[float | None] = []
                for head in range(most):
                    row += [None] * (gap if head else 0)
                    row += one.weights[head][t] if head < len(one.weights) else [None] * width
                values.append(row)
        return Heatmap(
            values, title="Every head at a glance", low=0.0,
            row_label="layers, from top to bottom" if len(self.layers) > 1 else "the steps that look",
            column_label=f"heads 1 to {most}, from left to right",
            caption=f"{len(self.layers)} layers, {most} heads each; in each tile a row is a step that looks, a column what "
            f"it looks at. The text: {' '.join(visible(token) for token in self.sources)}",
        )  # fmt: skip


def attention_maps(held: Held, shuffles: int = SHUFFLES) -> AttentionMaps:
    """Of the first of the sequences, its first 64 steps. Raises UserError for a model without attention."""
    one = first_row(held, LONGEST)
    trace = one.probe()
    maps = [w for w in trace.called("weights") if not w.layer.startswith("source")]
    if not maps:
        raise UserError(
            "attention: this model has no attention. It has what `states`, `gradients` and `memory` show."
        )
    crossed = any(w.value.shape[2] != w.value.shape[3] or one.batch.source is not None for w in maps)
    if crossed:
        maps = [w for w in maps if _looks_at_source(one, w)] or maps
    moved = deleted_source(one) if crossed else deleted(one)
    rolled = None if crossed else rollout([w.value[0].double().mean(0).numpy() for w in maps])
    near = -np.abs(np.subtract.outer(np.arange(moved.shape[0]), np.arange(moved.shape[1]))).astype(float)
    return AttentionMaps(
        tokens=_tokens(trace.tokens, maps[0].value.shape[2]),
        sources=_source_tokens(one, maps[0].value.shape[3]) if crossed else _tokens(trace.tokens, maps[0].value.shape[3]),
        layers=_layers(maps, moved, shuffles), rollout=None if rolled is None else rolled.tolist(),
        rolled=Checked(None, None) if rolled is None else checked(rolled, moved, shuffles),
        recency=checked(near, moved, shuffles), notes=one.notes,
    )  # fmt: skip


def first_row(held: Held, longest: int) -> Held:
    """The first of the sequences alone, at most so many steps of it and of its source."""
    batch = held.batch
    steps = min(held.lengths[0], longest)
    y = batch.y[:1, :steps] if batch.y.shape[:2] == batch.x.shape[:2] else batch.y[:1]
    source = batch.source
    if source is not None:
        size = source.shape[1] if batch.source_lengths is None else int(batch.source_lengths[0])
        source = source[:1, : min(size, longest)]
    cut = batch._replace(
        x=batch.x[:1, :steps], y=y, lengths=None, source=source, source_lengths=None, start=None
    )
    more = [f"the first {steps} steps of the first sequence"] if held.lengths[0] > steps else []
    return replace(held, batch=cut, notes=[*held.notes, *more])


def deleted(held: Held) -> Matrix:
    """(T, T) [t, s]: how far the answer at step t moves when step s < t is taken out; NaN elsewhere. Of a model that looks
    ahead, or answers once at the end, each row is what the last answer does.
    """
    x = held.batch.x
    steps = x.shape[1]
    whole = held.predict()
    if steps < 2:
        return np.full((steps, steps), np.nan)
    keep = torch.tensor([[i for i in range(steps) if i != s] for s in range(steps)])
    others = x[0][keep]  # (T, T - 1, ...)
    said = _said_of(held, others)
    moved = np.full((steps, steps), np.nan)
    every = not held.model.reach.future and held.batch.y.shape[:2] == x.shape[:2]
    for s in range(steps):
        apart = distance(held, whole[:, 1:], said[s : s + 1]).double().numpy()[0]  # at t = 1 ... T - 1
        if every:
            moved[s + 1 :, s] = apart[s:]
        else:
            moved[:, s] = apart[-1]
    return moved


def deleted_source(held: Held) -> Matrix:
    """(T, S): how far the answer at target step t moves when source step s is taken out."""
    source = held.batch.source
    assert source is not None
    size = source.shape[1]
    if size < 2:
        return np.full((held.batch.x.shape[1], size), np.nan)
    whole = held.predict()
    moved = []
    for s in range(size):
        less = torch.cat([source[:, :s], source[:, s + 1 :]], 1)
        said = replace(held, batch=held.batch._replace(source=less)).predict()
        moved.append(distance(held, whole, said).double().numpy()[0])
    return np.stack(moved, 1)


def _said_of(held: Held, rows: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return held.model(rows, None, None)[0]  # type: ignore[no-any-return]


def rollout(layers: Sequence[Matrix]) -> Matrix:
    """(T, T): the product over layers, the first one first applied, of (A + I) / 2."""
    rolled: Matrix = np.eye(len(layers[0]))
    for weights in layers:
        rolled = (weights + np.eye(len(weights))) / 2 @ rolled
    return rolled


def checked(weights: Matrix, moved: Matrix, shuffles: int = SHUFFLES, seed: int = 0) -> Checked:
    """The mean over rows t of Spearman's correlation of weights[t] and moved[t], where both are known, and how often
    weights whose columns were shuffled do as well.
    """
    return checked_together([weights], moved, shuffles, seed)[0]


def checked_together(
    maps: Sequence[Matrix], moved: Matrix, shuffles: int = SHUFFLES, seed: int = 0
) -> list[Checked]:
    """Each map's check, its chance that of the best of all of them: so the best may be picked without luck counting for it
    (Westfall & Young 1993, the max-T correction).

    Rows share what is peculiar to a column, so one order of the columns holds for all rows; where not all rows know all
    columns, it is of those that half of the rows know, in the rows that know them all.
    """
    known = ~np.isnan(moved)
    usable = known.sum(1) >= FEW
    columns = np.flatnonzero(known[usable].mean(0) >= 0.5) if usable.any() else np.zeros(0, int)
    rows = np.flatnonzero(usable & known[:, columns].all(1))
    draw = np.random.default_rng(seed)
    orders = np.stack([draw.permutation(len(columns)) for _ in range(shuffles)])
    block = np.ix_(rows, columns)
    own, others = [], []
    for weights in maps:
        pairs = _ranked_rows(weights[block], moved[block])
        together = sum((np.outer(w, m) for w, m in pairs), np.zeros((len(columns),) * 2)) / max(len(pairs), 1)
        own.append(np.trace(together) if pairs else None)
        others.append(together[orders, np.arange(len(columns))].sum(1))
    best = np.max(others, 0)
    found = []
    for weights, one in zip(maps, own, strict=True):
        every = [float(w @ m) for w, m in _ranked_rows(weights, moved)]
        chance = None if one is None or not every else float((1 + (best >= one).sum()) / (shuffles + 1))
        found.append(Checked(float(np.mean(every)) if every else None, chance))
    return found


def _ranked_rows(weights: Matrix, moved: Matrix) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The ranks of both in each row that says something."""
    rows = []
    for w, m in zip(weights, moved, strict=True):
        known = ~np.isnan(m)
        if known.sum() >= FEW and np.ptp(m[known]) > 0 and np.ptp(w[known]) > 0:
            rows.append((_ranked(w[known]), _ranked(m[known])))
    return rows


def _ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks, equal values sharing theirs, about their mean and of length 1."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = ((ends - counts + ends - 1) / 2)[place]
    ranks = ranks - ranks.mean()
    unit: NDArray[np.float64] = ranks / np.linalg.norm(ranks)
    return unit


def _layers(maps: Sequence[Heard], moved: Matrix, shuffles: int) -> list[LayerMap]:
    """The best layer is picked among the layers, the best head among all heads."""
    weights = [one.value[0].double().numpy() for one in maps]
    means = checked_together([heads.mean(0) for heads in weights], moved, shuffles)
    heads = iter(checked_together([head for heads in weights for head in heads], moved, shuffles))
    return [
        LayerMap(one.layer, one.kind, every.tolist(), mean, [next(heads) for _ in every])
        for one, every, mean in zip(maps, weights, means, strict=True)
    ]


def _looks_at_source(held: Held, one: Heard) -> bool:
    source = held.batch.source
    return source is not None and getattr(held.model.get_submodule(one.layer), "conditioned", False)


def _bright(rows: list[list[float]]) -> float:
    """The brightest colour stands for what 1 % of the later steps exceed: the first ones have little to share among."""
    later = np.array(rows[len(rows) // 4 :])
    return float(np.quantile(later[later > 0], 0.99)) if (later > 0).any() else 1.0


def _tokens(tokens: Sequence[Sequence[str]], count: int) -> list[str]:
    return list(tokens[0]) if tokens else [str(t) for t in range(count)]


def _source_tokens(held: Held, count: int) -> list[str]:
    codec, source = getattr(held.model.task, "codec", None), held.batch.source
    if source is None or source.ndim != 2 or not hasattr(codec, "token_text"):
        return [str(s) for s in range(count)]
    assert codec is not None
    return [codec.token_text(int(i)) for i in source[0]]


def _bare(check: Checked) -> str:
    return "unknown" if check.agreement is None else f"{check.agreement:+.2f}"


def _signed(check: Checked) -> str:
    if check.agreement is None:
        return "– (too few steps)"
    by_chance = "" if check.chance is None else f" (by chance: {check.chance:.3f})"
    return f"{check.agreement:+.2f}{by_chance}"
