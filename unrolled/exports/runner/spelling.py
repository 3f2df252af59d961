"""Characters that training hadn't, as the nibbles of their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def spelled(letter: str) -> list[int]:
    """The nibbles of a character's bytes."""
    return [half + 1 for byte in letter.encode("utf-8", "surrogatepass") for half in (byte >> 4, byte & 15)]


def unspelled(ids: Iterable[int], name: Callable[[int], str]) -> str:
    """A text whose nibbles are put together again; an odd one is half a byte and dropped."""
    text = ""
    halves: list[int] = []
    for token in [*(int(each) for each in ids if each), None]:
        if token is not None and token < 17:
            halves.append(token - 1)
            continue
        pairs = zip(halves[::2], halves[1::2], strict=False)
        text += bytes(16 * high + low for high, low in pairs).decode("utf-8", "replace")
        halves = []
        text += "" if token is None else name(token)
    return text
