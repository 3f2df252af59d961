"""Which codecs read a source and write its target: symbols, characters or byte pairs, by what the texts are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from unrolled.datasets.codecs import CODECS
from unrolled.datasets.labels import name_of
from unrolled.datasets.symbols import Symbols, symbols_of
from unrolled.datasets.words import UNKNOWN, Words, words_of
from unrolled.errors import UserError, unknown

LOOKED_AT = 2000  # pairs by which codecs are chosen
SYMBOLS = 500  # different ones at most, in a text of symbols
SHORT_SYMBOL = 4  # characters that a symbol has at most
LEAST_SYMBOLS = 2.0  # a text, in the mean
WORDY = 4.0  # words a text from which it is a sentence
LONG = 60  # characters a text from which it is one, too
LIKE = 0.5  # share of characters that both sides have, from which one codec does for both

KINDS = ("bytes", "characters", "bpe", Words.kind, Symbols.kind)


class PairCodecs(NamedTuple):
    """The kinds of both sides' codecs, whether it is one codec, and why."""

    source: str
    target: str
    joint: bool
    reason: str


def text_of(value: object) -> str:
    """A side of a pair as text: of a list its items with spaces between."""
    return value if isinstance(value, str) else " ".join(symbols_of(value)) if _listed(value) else name_of(value)


def choose_pair(
    pairs: Iterable[tuple[Any, Any]], asked: str = "auto", joint: bool | None = None
) -> PairCodecs:
    """The codecs for pairs like the first of these. `asked`: the codec of the source, and of the target too where it writes
    text and the target is no list of symbols. joint: whether both sides have one codec, None: where they look alike.

    Raises UserError for a codec that doesn't read text, and where one codec can't serve both.
    """
    if asked not in ("auto", *KINDS):
        raise UserError(f"codec={asked}: it reads no text. Of pairs of texts expected one of {', '.join(KINDS)}.")
    some = list(islice(pairs, LOOKED_AT))
    sides = [[value for value, _ in some], [value for _, value in some]]
    kinds = [kind_for(values) for values in sides]
    if asked == "auto" and {*kinds} == {"characters", "bpe"} and _sentences(sides):
        kinds = ["bpe", "bpe"]
    reason = f"{_says(kinds[0])} -> {_says(kinds[1])}"
    if asked != "auto":
        writes = asked != Words.kind and kinds[1] != Symbols.kind
        kinds = [asked, asked if writes else kinds[1]]
        reason = "as asked" if writes else f"as asked; the target is {_says(kinds[1])}"
    same = kinds[0] == kinds[1]
    if joint and not same:
        raise UserError(
            f"joint=true: the source is read as {kinds[0]} and the target written as {kinds[1]}, which is no one codec. "
            "Leave joint out, or say codec=characters or codec=bpe."
        )
    one = same and (_alike(*sides) if joint is None else joint)
    return PairCodecs(kinds[0], kinds[1], one, reason)


def kind_for(values: list[Any]) -> str:
    """The codec for such values: a few short symbols with spaces between, sentences, or short texts."""
    if not values:
        return "characters"
    each = [symbols_of(value) for value in values]
    seen = {symbol for symbols in each for symbol in symbols}
    count = sum(map(len, each))
    listed = all(_listed(value) for value in values)
    few = len(seen) <= SYMBOLS and 10 * len(seen) <= count
    if listed or (few and count >= LEAST_SYMBOLS * len(each) and max(map(len, seen)) <= SHORT_SYMBOL):
        return Symbols.kind
    characters = sum(len(text_of(value)) for value in values)
    sentences = count >= WORDY * len(each) and not few
    return "bpe" if sentences or characters >= LONG * len(each) else "characters"


def fitted_pair(chosen: PairCodecs, pairs: Callable[[], Iterable[tuple[Any, Any]]]) -> tuple[Any, Any]:
    """The source's and the target's codec, fitted; one and the same object where they are joint. `pairs`: a function that
    gives the training pairs anew.
    """
    if chosen.joint:
        codec = made(chosen.source).fit(text_of(value) for pair in pairs() for value in pair)
        return codec, codec
    source = made(chosen.source).fit(text_of(value) for value, _ in pairs())
    return source, made(chosen.target).fit(text_of(value) for _, value in pairs())


def made(kind: str) -> Any:
    """A new codec of this kind. Raises UserError for one that doesn't read text."""
    table: dict[str, Any] = {**CODECS, Words.kind: Words, Symbols.kind: Symbols}
    if kind not in table:
        raise unknown("codec of texts", kind, KINDS)
    return table[kind]()


def _listed(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _sentences(sides: list[list[Any]]) -> bool:
    """Whether the shorter side has several words a text, too."""
    return all(sum(len(symbols_of(v)) for v in side) >= 2 * len(side) for side in sides)


def _alike(first: list[Any], second: list[Any]) -> bool:
    letters = [{*chain.from_iterable(map(text_of, side))} for side in (first, second)]
    return len(letters[0] & letters[1]) >= LIKE * len(letters[0] | letters[1])


def _says(kind: str) -> str:
    return {"symbols": "symbols with spaces between", "bpe": "sentences", "characters": "short texts"}.get(kind, kind)


def unknown_in(codec: Any, value: Any) -> Iterator[str]:
    """What of a text training hadn't, and the codec reads as unknown: characters, words or symbols."""
    if isinstance(codec, Symbols):
        known = {*codec.symbols}
        return (symbol for symbol in symbols_of(value) if symbol not in known)
    if isinstance(codec, Words):
        text = text_of(value)
        pairs = zip(words_of(text), codec.encode(text).tolist(), strict=True)
        return (word for word, number in pairs if number == UNKNOWN)
    if codec.kind == "characters":
        return (character for character in text_of(value) if character not in codec.characters)
    return iter(())
