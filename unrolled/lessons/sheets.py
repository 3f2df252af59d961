"""Cheat sheet, glossary and flashcards, made from the stops."""

from __future__ import annotations

from unrolled.lessons.places import find
from unrolled.lessons.stops import Stop, every


def cheatsheet() -> str:
    """Markdown: of each stop the equations, where they are computed, and the commands."""
    return "# Cheat sheet\n\n" + "\n".join(_stop(stop) for stop in every())


def _stop(stop: Stop) -> str:
    lines = [f"## {stop.concept}: {stop.title}", ""]
    for equation in stop.equations:
        place = find(equation.code)
        lines += [
            *(f"    {line}" for line in equation.text.splitlines()),
            "",
            f"`{place}`: `{place.text}`",
            "",
        ]
    return "\n".join([*lines, f"Run it: `{stop.command}`. Break it: `{stop.breaking}`.", ""])


def glossary() -> str:
    """Markdown: the words of all stops, in alphabetical order."""
    words = sorted((w for stop in every() for w in stop.words), key=lambda w: w.word.lower())
    return (
        "# Glossary\n\n"
        + "\n".join(f"- **{w.word}**: {w.meaning} (`unrolled learn {w.stop}`)" for w in words)
        + "\n"
    )


def cards() -> str:
    """Tab-separated question, answer and stop, a card a line: what flashcard programs read."""
    return "".join(f"{c.question}\t{c.answer}\t{c.stop}\n" for stop in every() for c in stop.cards)


SHEETS = {"cheatsheet": (cheatsheet, ".md"), "glossary": (glossary, ".md"), "cards": (cards, ".tsv")}
