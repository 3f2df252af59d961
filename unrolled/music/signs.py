"""The signs of ABC music as regular expressions: `SIGN` finds the next one, named by its outermost group.

Source: the abc standard 2.1, section 4 (4.14 for the decorations).
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

DECORATIONS = frozenset(
    """
    trill trill( trill) lowermordent uppermordent mordent pralltriller roll turn turnx invertedturn invertedturnx arpeggio
    > accent emphasis fermata invertedfermata tenuto 0 1 2 3 4 5 + plus snap slide wedge upbow downbow open thumb breath
    pppp ppp pp p mp mf f ff fff ffff sfz crescendo( <( crescendo) <) diminuendo( >( diminuendo) >) segno coda D.S. D.C.
    dacoda dacapo fine shortphrase mediumphrase longphrase marcato ^ staccato / // ///
    """.split()  # noqa: SIM905 - a list of words reads best as words
)
LENGTH = r"(?P<num>[0-9]*)(?P<slashes>/*)(?P<den>[0-9]*)"
PITCH = r"(?P<accidental>\^\^?|__?|=)?(?P<letter>[A-Ga-g])(?P<octave>[,']*)"
NOTE = re.compile(PITCH + LENGTH)
SIGN = re.compile(
    r"(?P<space>[ \t]+)"
    r'|(?P<words>"[^"]*")'
    r"|(?P<decoration>!(?P<name>[^!\s]+)!|\+(?P<old_name>[^+\s]+)\+)"
    r"|(?P<inline>\[(?P<inline_letter>[A-Za-z]):(?P<inline_text>[^\]]*)\])"
    r"|(?P<bare>(?P<bare_letter>[ML]):(?P<bare_text>C\|(?=\s)|C\b|none\b|[0-9]+/[0-9]+))"
    r"|(?P<bar>(?P<close>:*)(?P<style>\.?\[?\|[|\]]*)(?P<open>:*)(?P<pass>[0-9](?:[0-9,-]*[0-9])?)?|(?P<both>::+))"
    r"|(?P<ending>\[(?P<numbers>[0-9](?:[0-9,-]*[0-9])?))"
    r"|(?P<tuplet>\((?P<p>[0-9]+)(?::(?P<q>[0-9]*))?(?::(?P<r>[0-9]*))?)"
    r"|(?P<grace>\{(?P<crushed>/?)(?P<graces>[^}]*)\})"
    r"|(?P<chord>\[(?P<notes>[^\]|]*)\]" + LENGTH.replace("P<", "P<chord_") + r")"
    r"|(?P<note>" + PITCH + LENGTH.replace("P<", "P<note_") + r")"
    r"|(?P<rest>(?P<kind>[zxZX])" + LENGTH.replace("P<", "P<rest_") + r")"
    r"|(?P<tie>-)"
    r"|(?P<broken>>+|<+)"
    r"|(?P<mark>[()]|[.~H-Wh-w`y]|\*)"
    r"|(?P<newline>[!$])"
    r"|(?P<continued>\\$)"
)
GRACEFUL = re.compile(r"[ .~H-Wh-w]")  # decorations inside a chord or a grace group: read and dropped
LONGEST, SHORTEST = Fraction(64), Fraction(1, 4096)


@lru_cache(4096)
def written_length(unit: Fraction, number: str, slashes: str, divisor: str) -> Fraction | None:
    """`3`, `3/2` or `//` (a quarter) times the unit; None for a length that can't be played."""
    if len(number) > 4 or len(divisor) > 4 or len(slashes) > (1 if divisor else 10) or not int(divisor or 1):
        return None
    length = unit * Fraction(int(number or 1), int(divisor) if divisor else 2 ** len(slashes))
    return length if SHORTEST <= length <= LONGEST else None


def ending_numbers(text: str) -> tuple[int, ...] | None:
    """`1,3` or `1-3`; None for anything else and for passes beyond 16, which are a slip."""
    numbers: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"([1-9][0-9]?)(?:-([1-9][0-9]?))?", part)
        if ends is None or int(ends[2] or ends[1]) > 16:
            return None
        numbers.extend(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    return tuple(numbers) or None
