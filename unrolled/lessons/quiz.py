"""Asks the flashcards: what isn't known comes back once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unrolled.lessons.stops import Card


@dataclass(frozen=True)
class Quiz:
    """The cards, and how many were known at once; None where nobody was asked."""

    cards: list[Card]
    known: int | None = None


def ask(cards: Sequence[Card], read: Callable[[str], str], write: Callable[[str], object]) -> Quiz:
    """Shows each question, then its answer, and takes the word of who is asked. The end of input ends it."""
    first = _round(cards, read, write)
    again = [card for card, known in first if not known]
    if again and len(first) == len(cards):
        write(f"\nOnce more, the {len(again)} that were new:")
        _round(again, read, write)
    return Quiz(list(cards), sum(known for _, known in first))


def _round(
    cards: Sequence[Card], read: Callable[[str], str], write: Callable[[str], object]
) -> list[tuple[Card, bool]]:
    asked: list[tuple[Card, bool]] = []
    try:
        for number, card in enumerate(cards, 1):
            write(f"\n{number} of {len(cards)} ({card.stop})  {card.question}")
            read("Enter shows the answer ")
            write(f"  {card.answer}")
            asked.append((card, read("Did you know it? y/n ").strip().lower().startswith("y")))
    except EOFError:
        write("")
    return asked
