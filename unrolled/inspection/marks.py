"""What a unit may have learnt to track in a text: measures of each place that nobody told the network of."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LONGEST_LINE = (
    200  # a place further along a line counts as this: prose without line breaks has no position in a line
)
OPENING, CLOSING = "“«„", "”»"
FIELD = re.compile(r"[A-Za-z]:")  # begins a header line of ABC notation
RARE = 0.01  # a mark that holds at fewer places, or at more than all but so few, can't be told from chance


def marks(tokens: Sequence[str], music: bool = False) -> dict[str, Values]:
    """Each measure by name, a number for each token: what holds once it was read. music: the tokens spell ABC notation."""
    found = {
        "position in the line": _since(tokens, "\n", LONGEST_LINE),
        "position in the word": _within(tokens),
        "inside quotes": _quoted(tokens),
        "inside brackets": _bracketed(tokens),
        "position in the sentence": _since(tokens, ".!?", 400),
    }
    if music:
        header = _headers(tokens)
        bar = _since(tokens, "|", 60)
        found = {
            "position in the line": found["position in the line"],
            "inside a header line": header,
            "position in the bar": np.where(header > 0, 0.0, bar),
            "position in the tune": np.minimum(np.cumsum(np.ones(len(tokens))), 1000.0),
            "inside quotes": _straight(tokens),
        }
    return {name: values for name, values in found.items() if tells(values)}


def tells(values: Values) -> bool:
    """Whether a measure varies enough to be tracked."""
    if len(values) == 0 or np.ptp(values) == 0:
        return False
    if set(np.unique(values)) <= {0.0, 1.0}:
        return RARE <= float(values.mean()) <= 1 - RARE
    return True


def _since(tokens: Sequence[str], ends: str, most: int) -> Values:
    """Characters since one of `ends`, at most `most`."""
    out, run = np.zeros(len(tokens)), 0
    for place, token in enumerate(tokens):
        last = max(token.rfind(end) for end in ends)
        run = run + len(token) if last < 0 else len(token) - 1 - last
        out[place] = min(run, most)
    return out


def _within(tokens: Sequence[str]) -> Values:
    """Letters since a word began; 0 outside."""
    out, run = np.zeros(len(tokens)), 0
    for place, token in enumerate(tokens):
        for character in token:
            run = run + 1 if character.isalpha() else 0
        out[place] = run
    return out


def _quoted(tokens: Sequence[str]) -> Values:
    """1 between an opening and a closing quotation mark, or between straight ones; an empty line closes."""
    out, inside, newline = np.zeros(len(tokens)), False, False
    for place, token in enumerate(tokens):
        for character in token:
            if character in OPENING:
                inside = True
            elif character in CLOSING or (character == "\n" and newline):
                inside = False
            elif character == '"':
                inside = not inside
            newline = character == "\n"
        out[place] = inside
    return out


def _straight(tokens: Sequence[str]) -> Values:
    """1 between straight quotation marks (chord names in ABC); a line's end closes."""
    out, inside = np.zeros(len(tokens)), False
    for place, token in enumerate(tokens):
        for character in token:
            inside = (not inside) if character == '"' else inside and character != "\n"
        out[place] = inside
    return out


def _bracketed(tokens: Sequence[str]) -> Values:
    """1 between round brackets; an empty line closes all."""
    out, depth, newline = np.zeros(len(tokens)), 0, False
    for place, token in enumerate(tokens):
        for character in token:
            depth = max(0, depth + (character == "(") - (character == ")"))
            if character == "\n" and newline:
                depth = 0
            newline = character == "\n"
        out[place] = depth > 0
    return out


def _headers(tokens: Sequence[str]) -> Values:
    """1 in a line that begins like a field of ABC (X: T: M: K:), from its second character on; its end is outside."""
    out, line = np.zeros(len(tokens)), ""
    for place, token in enumerate(tokens):
        line = (line + token).rpartition("\n")[2]
        out[place] = bool(FIELD.match(line))
    return out
