"""Writers without a model: the source again, the same text always, its first sentence, each word by itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import ClassVar, Self

SENTENCE = re.compile(r"\s*(.+?[.!?…。])(?:\s|$)", re.DOTALL)
COUNTED = 5000  # pairs in which words are counted together; of more, evenly chosen ones
WORDS = 60  # of each side that are looked at

Cut = Callable[[str], Sequence[str]]


class Copy:
    """The source as it is."""

    name: ClassVar[str] = "copy of the source"

    def fit(self, sources: Sequence[str], targets: Sequence[str]) -> Self:
        """Nothing to learn."""
        return self

    def predict(self, sources: Sequence[str]) -> list[str]:
        """One text a source."""
        return list(sources)


class MostFrequent:
    """The text that training wanted most often, the first of several."""

    name: ClassVar[str] = "most frequent answer"

    def fit(self, sources: Sequence[str], targets: Sequence[str]) -> Self:
        """Counts the targets."""
        self.text = Counter(targets).most_common(1)[0][0]
        return self

    def predict(self, sources: Sequence[str]) -> list[str]:
        """The same for all."""
        return [self.text] * len(sources)


class FirstSentence:
    """The source up to its first full stop (or ! or ?): what many summaries begin with."""

    name: ClassVar[str] = "first sentence"

    def fit(self, sources: Sequence[str], targets: Sequence[str]) -> Self:
        """Nothing to learn."""
        return self

    def predict(self, sources: Sequence[str]) -> list[str]:
        """One text a source."""
        return [match[1] if (match := SENTENCE.match(source)) else source for source in sources]


class WordByWord:
    """Each word (character, symbol) of the source becomes what stands in its targets more than elsewhere: the v of the
    highest 2 n(w, v) / (n(w) + n(v)), n counting pairs (Dice's coefficient). Unknown ones stay as they are.
    """

    name: ClassVar[str] = "word by word"

    def __init__(self, source: Cut, target: Cut, between: str) -> None:
        self.cut, self.target, self.between = source, target, between

    def fit(self, sources: Sequence[str], targets: Sequence[str]) -> Self:
        """Counts which words stand in a pair together."""
        step = -(-len(sources) // COUNTED)
        said, wanted, both = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
        for source, target in zip(sources[::step], targets[::step], strict=True):
            left, right = {*self.cut(source)[:WORDS]}, {*self.target(target)[:WORDS]}
            said.update(left)
            wanted.update(right)
            both.update((a, b) for a in left for b in right)
        best: dict[str, tuple[float, str]] = {}
        for (a, b), count in both.items():
            best[a] = max(best.get(a, (0.0, "")), (2 * count / (said[a] + wanted[b]), b))
        self.table = {a: b for a, (_, b) in best.items()}
        return self

    def predict(self, sources: Sequence[str]) -> list[str]:
        """One text a source."""
        return [self.between.join(self.table.get(a, a) for a in self.cut(source)) for source in sources]
