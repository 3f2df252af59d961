"""Where each step looked, layer by layer and head by head; each map carries a check of whether that is what mattered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unrolled.errors import UserError
from unrolled.inspection.agreement import (
    SHUFFLES,
    Checked,
    Matrix,
    checked,
    checked_together,
    deleted,
    deleted_source,
    first_row,
)
from unrolled.inspection.finding import Finding
from unrolled.inspection.held_out import Held
from unrolled.inspection.trace import Heard
from unrolled.report import Heatmap, Section, Table
from unrolled.report.heat import visible

LONGEST = 64  # steps of what is looked at
MARGIN = 0.02  # of agreement: what is closer than this to closeness is no better


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


def rollout(layers: Sequence[Matrix]) -> Matrix:
    """(T, T): the product over layers, the first one first applied, of (A + I) / 2."""
    rolled: Matrix = np.eye(len(layers[0]))
    for weights in layers:
        rolled = (weights + np.eye(len(weights))) / 2 @ rolled
    return rolled


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
