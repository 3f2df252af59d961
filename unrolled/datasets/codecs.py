"""Text to token ids and back, exactly, for every string: the interface, the table of codecs, and which one
fits a file.

Id 0 is the document boundary in every codec. A codec is fitted on the training split only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from unrolled.datasets.abc_tokens import AbcTokens
from unrolled.datasets.bpe import Bpe
from unrolled.datasets.characters import Bytes, Characters
from unrolled.datasets.imported import ImportedTokenizer
from unrolled.datasets.readers import Record, kind_of
from unrolled.datasets.spelling import BOUNDARY, Ids
from unrolled.errors import UserError, unknown

__all__ = ["BOUNDARY", "CODECS", "IMPORTED", "Codec", "Ids", "choose", "codec_from_dict"]

DISTINCT = 256  # characters: with more, most of them are rare and BPE's bytes serve better
LARGE = 5_000_000  # bytes from which BPE's shorter sequences pay


class Codec(Protocol):
    """Turns text into ids 0 < id < size and back. `decode(encode(text)) == text` for every string."""

    kind: ClassVar[str]

    @property
    def size(self) -> int:
        """Number of ids, the boundary 0 included."""

    def fit(self, values: Iterable[str]) -> Self:
        """Learns the vocabulary from training texts and returns itself."""

    def encode(self, text: str) -> Ids:
        """(n,) int64, without boundaries."""

    def decode(self, ids: Iterable[int]) -> str:
        """The text of any ids, also of such as a model makes up: boundaries vanish, broken UTF-8 becomes
        U+FFFD.
        """

    def token_text(self, token: int) -> str:
        """One token for people to read."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `kind`."""

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The codec that `to_dict` described."""


CODECS: dict[str, type[Codec]] = {
    "bytes": Bytes,
    "characters": Characters,
    "bpe": Bpe,
    "abc": AbcTokens,
}
# Those that come with weights and are never fitted.
IMPORTED: dict[str, type[Codec]] = {"tokenizer": ImportedTokenizer}


def codec_from_dict(saved: Mapping[str, Any]) -> Codec:
    """The codec that `to_dict` described. Raises UserError for a kind that is in neither table, or an incomplete
    record.
    """
    kind = str(saved.get("kind"))
    known = CODECS | IMPORTED
    if kind not in known:
        raise unknown("codec", kind, known)
    try:
        return known[kind].from_dict(saved)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"the saved {kind} codec is damaged: {error!r}. Expected what to_dict() wrote."
        ) from error


def choose(records: Iterable[Record | str], path: Path | None = None) -> tuple[str, str]:
    """(kind, reason) of the codec for these records, read from `path`, by the table of defaults."""
    if path is not None and kind_of(path) == ".abc":
        return "abc", "the data is ABC notation"
    seen: set[str] = set()
    size, tunes, count = 0, 0, 0
    for record in records:
        text = record if isinstance(record, str) else record["text"]
        tunes, count = tunes + _is_abc(record), count + 1
        seen.update(text)
        size += len(text.encode("utf-8", "surrogatepass"))
    if tunes == count > 0:
        return "abc", "the data is ABC notation"
    if len(seen) > DISTINCT:
        return "bpe", f"{len(seen)} distinct characters, more than {DISTINCT}"
    if size >= LARGE:
        return "bpe", f"{size / 1e6:.1f} MB, {LARGE / 1e6:.0f} MB or more"
    return (
        "characters",
        f"{len(seen)} distinct characters and under {LARGE / 1e6:.0f} MB",
    )


def _is_abc(record: Record | str) -> bool:
    return (
        not isinstance(record, str)
        and kind_of(Path(str(record.get("origin", "")).rpartition(":")[0])) == ".abc"
    )
