"""The table of a run's tokens: which lie together, and a map of the most frequent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.datasets.items import Items
from unrolled.datasets.readers import records
from unrolled.datasets.rows import Rows, continues
from unrolled.datasets.samples import resolve
from unrolled.datasets.words import UNKNOWN, Words
from unrolled.errors import UserError, nearest, positive
from unrolled.inspection.finding import Finding
from unrolled.inspection.geometry import Plane, by_chance, neighbours, plane
from unrolled.model import Model, TokenEmbedder
from unrolled.report import Dot, Scatter, Section, Sentence, Table
from unrolled.report.heat import visible
from unrolled.training.run import Run

READ = 2_000_000  # characters of the data that are counted to find its frequent tokens
MAPPED = 200  # tokens on the map
LISTED = 12  # tokens whose neighbours are listed where none is named


@dataclass(frozen=True)
class Neighbour:
    """A token that lies near another, and the cosine of the angle between their vectors."""

    token: str
    cosine: float


@dataclass(frozen=True, kw_only=True)
class Embeddings(Finding):
    """What was found in a run's table. chance: the cosine that the nearest of as many random vectors would have.

    mapped: tokens on the map; shares: of their variance along its two axes.
    """

    title = "Embeddings"

    tokens: int
    width: int
    mapped: int
    shares: tuple[float, float]
    chance: float
    neighbours: dict[str, list[Neighbour]]
    asked: bool = field(default=False, repr=False)
    map: Scatter | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().to_dict().items() if k not in ("asked", "map")}

    def lines(self) -> list[str]:
        """A line a token: its neighbours, nearest first."""
        wide = max((len(visible(token)) for token in self.neighbours), default=0)
        lines = []
        for token, found in self.neighbours.items():
            near = "  ".join(f"{visible(n.token)} {n.cosine:.2f}" for n in found)
            lines.append(f"{visible(token):<{wide}}  {near}")
        return [
            *lines,
            "",
            f"chance    {self.chance:.2f}: the nearest of as many random vectors; less says nothing",
        ]

    def lead(self) -> str:
        return lead(self)

    def blocks(self) -> list[Section]:
        return [*([self.map] if self.map else []), *sections(self, self.asked)]


def embeddings(run: Run, model: Model, words: Sequence[str] = (), count: int = 8) -> Embeddings:
    """The nearest neighbours of `words` (where none is named: of those frequent tokens that have the closest), `count`
    each, and a map of the most frequent tokens.

    Raises UserError for a run without a table of tokens, and for a word that is not in it (nearest named).
    """
    positive("inspect", count=count)
    table = table_of(model, run.name)
    codec, notes = model.task.codec, list[str]()
    ranked = frequent(run, model, notes)
    names = [codec.token_text(token) for token in range(len(table))]
    among = np.array(sorted(ranked), np.int64)
    asked = [number_of(word, names, codec) for word in words]
    near = {
        token: neighbours(table, token, among, count)
        for token in dict.fromkeys(asked or [t for t in ranked[:MAPPED] if telling(names[t], codec)])
    }
    kept = list(near) if asked else sorted(near, key=lambda t: -near[t][0][1] if near[t] else 0)[:LISTED]
    shown = [*dict.fromkeys([*asked, *ranked[:MAPPED]])]
    flat = plane(table[shown])
    return Embeddings(
        tokens=len(table),
        width=table.shape[1],
        mapped=len(shown),
        shares=flat.shares,
        chance=by_chance(len(among) - 1, table.shape[1]),
        neighbours={names[t]: [Neighbour(names[i], cosine) for i, cosine in near[t]] for t in kept},
        notes=notes,
        asked=bool(asked),
        map=chart(flat, shown, names, set(asked)),
    )


def table_of(model: Model, name: str) -> NDArray[np.float32]:
    """(tokens, width): the vectors of a model's tokens. Raises UserError where it reads something else."""
    if not isinstance(model.embedder, TokenEmbedder):
        raise UserError(
            f"{name} reads numbers ({model.task.codec.kind}), and so has no table of tokens. Expected a run that reads "
            "text: words, characters or byte pairs."
        )
    weight: NDArray[np.float32] = model.embedder.table.weight.detach().float().cpu().numpy()
    return weight


def frequent(run: Run, model: Model, notes: list[str]) -> list[int]:
    """The tokens of the run's table, without boundary and unknown, the most frequent first: as a vocabulary of words is
    ordered, else as counted at the front of the run's data, or, where that is gone, in the codec's order.
    """
    codec = model.task.codec
    if isinstance(codec, Words | Items):  # both number theirs by frequency
        return list(range(UNKNOWN + 1, codec.size))
    counts: Counter[int] = Counter()
    try:
        for text in _texts(run.recipe.data, getattr(model.task, "inputs", ("text",))[0]):
            counts.update(codec.encode(text).tolist())
    except UserError as error:
        notes.append(
            f"the data can't be read, so tokens stand in the codec's order, not by frequency: {error}"
        )
    return sorted(range(1, codec.size), key=lambda token: (-counts[token], token))


def _texts(data: str, column: str) -> Iterable[str]:
    """Texts from the front of the data, about `READ` characters of them."""
    path, read = resolve(data), 0
    rows: Iterable[dict[str, Any]] = records(path) if continues(path) else Rows(path)
    for row in rows:
        text = row.get(column) or ""
        yield text[: READ - read]
        read += len(text)
        if read >= READ:
            return


def telling(name: str, codec: Any) -> bool:
    """Whether a frequent token is worth a line of its own: among words the signs are not."""
    return not isinstance(codec, Words) or name[0].isalnum()


def number_of(word: str, names: Sequence[str], codec: Any) -> int:
    """The token that a person means: as it is spelt, with the space before it that byte pairs have, or in lower case."""
    known = {name: token for token, name in enumerate(names)}
    for spelt in (word, f" {word}", word.lower()):
        if spelt in known:
            return known[spelt]
    parts = [names[token] for token in codec.encode(word)]
    split = f" It is made of {' + '.join(map(repr, parts))}." if len(parts) > 1 else ""
    guess = nearest(word, names)
    hint = f" Did you mean {guess!r}?" if guess else ""
    raise UserError(f"{word!r} is not one of this run's {len(names):,} tokens.{split}{hint}")


def chart(flat: Plane, shown: Sequence[int], names: Sequence[str], asked: set[int]) -> Scatter:
    """The map; the words that were asked for stand out and get their names first."""
    dots = [
        Dot(names[token], float(x), float(y), "asked for" if token in asked else "")
        for token, (x, y) in zip(shown, flat.points, strict=True)
    ]
    return Scatter(
        dots,
        f"first axis, {100 * flat.shares[0]:.0f} % of the variance",
        f"second axis, {100 * flat.shares[1]:.0f} % of the variance",
        title="The map",
        caption=f"The {len(dots)} most frequent tokens in the plane in which their vectors spread most (principal "
        f"components). It shows {100 * sum(flat.shares):.0f} % of how they differ: what lies together here may lie "
        "apart in the rest. Names that found no room are told on hover.",
    )


def sections(made: Embeddings, asked: bool) -> list[Section]:
    """What stands on the page below the map."""
    most = max((len(near) for near in made.neighbours.values()), default=0)
    rows = [
        [visible(token), *(f"{visible(n.token)} {n.cosine:.2f}" for n in near)]
        for token, near in made.neighbours.items()
    ]
    which = (
        ""
        if asked
        else f" Of the {MAPPED} most frequent tokens, those {len(rows)} that have the closest neighbours."
    )
    table = Table(
        ["token", *(str(rank) for rank in range(1, most + 1))],
        rows,
        f"Of {made.tokens:,} tokens with {made.width} numbers each: those whose vectors point the same way, with the "
        f"cosine of the angle between them (1 the same direction, 0 unrelated, -1 opposite).{which} The nearest of as "
        f"many random vectors would have {made.chance:.2f}: less than that says nothing.",
        title="Nearest neighbours",
        notes=made.notes,
    )
    about = Sentence(
        "Near means: the network may treat them alike. A model that tells moods puts words of one mood together, one that "
        "goes on with text puts words together that others may stand for. Rare tokens have learned little and lie about at "
        "random."
    )
    return [table, about]


def lead(made: Embeddings) -> str:
    """The first sentence of the page: the closest pair, if it is closer than chance makes one."""
    pairs = [(near[0].cosine, token, near[0].token) for token, near in made.neighbours.items() if near]
    cosine, token, near = max(pairs, default=(0.0, "", ""))
    if cosine <= made.chance:
        return "A vector for each token, and none of those looked at lies closer to another than chance would have it."
    return (
        f"Learned with the rest of the network: “{visible(token)}” and “{visible(near)}” lie close together."
    )
