"""ABC text -> Tune: the lines (header, fields, music) here, the signs of a music line in `scanning`.

Three things that real files do and the standard doesn't ask for are read kindly: music after a meter or length field on
the same line (`M:9/8 ABC def|`), the same without brackets in the middle of a line, and empty lines inside a tune.
"""

from __future__ import annotations

import re

from unrolled.music.scanning import Scanner
from unrolled.music.signatures import AbcError
from unrolled.music.tune import Field, Tune

HEADER_FIELD = re.compile(r"([A-Za-z+]):(.*)")
# A to G are notes in the body, and `T:|` is a decorated repeat sign rather than a field.
BODY_FIELD = re.compile(r"([HIK-XZmrsw+]):(?![|:])(.*)")
FIELD_THEN_MUSIC = re.compile(r"([ML]):\s*(C\||C\b|none|[0-9]+(?:\+[0-9]+)*/[0-9]+)\s+(?=\S)")
COMMENT = re.compile(r"(?<!\\)%.*")


def parse(abc: str) -> Tune:
    """One tune from its text.

    Raises AbcError with the line, the column, what was got and what was expected.
    """
    scanner = Scanner()
    header: list[Field] = []
    in_body = False
    number = 0
    for number, raw in enumerate(abc.removeprefix("\ufeff").split("\n"), 1):
        line = _clean(raw)
        if not line.strip():
            continue
        if in_body:
            _body_line(scanner, line, number)
            continue
        header.append(_header_line(scanner, line, number))
        if header[-1].letter == "X" and any(f.letter == "X" for f in header[:-1]):
            raise AbcError(number, 1, line, "one tune at a time: K: has to come before the next X:")
        in_body = header[-1].letter == "K"
    if not in_body:
        raise AbcError(number, 1, "the end of the text", "a K: field, which ends the header")
    scanner.finish(number)
    return Tune(tuple(header), tuple(scanner.items))


def _clean(raw: str) -> str:
    """The line without its comment; a `%%directive` is the same as an I: field (section 11)."""
    line = raw.rstrip("\r")
    if line.startswith("%%") and line[2:].strip():
        line = "I:" + line[2:]
    return COMMENT.sub("", line).rstrip()


def _header_line(scanner: Scanner, line: str, number: int) -> Field:
    found = HEADER_FIELD.match(line)
    if found is None:
        raise AbcError(number, 1, line, "a header field such as T:title or K:key before the music")
    return scanner.field(found[1], found[2].strip(), number, 3, inline=False)


def _body_line(scanner: Scanner, line: str, number: int) -> None:
    found = BODY_FIELD.match(line)
    if found is None:
        scanner.music(line, number)
        return
    if found[1] == "X":
        raise AbcError(number, 1, line, "one tune at a time: the text has a second X: field")
    scanner.end_line(number)
    rest = FIELD_THEN_MUSIC.match(line)
    letter, text = (rest[1], rest[2]) if rest else (found[1], found[2].strip())
    scanner.items.append(scanner.field(letter, text, number, 3, inline=False))
    if rest:
        scanner.music(line, number, rest.end())
