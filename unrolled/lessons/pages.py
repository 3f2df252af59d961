"""A stop and what its run gave, as one self-contained page."""

from __future__ import annotations

from unrolled.lessons.outcome import Outcome
from unrolled.lessons.places import find
from unrolled.lessons.stops import Card, Stop, Word
from unrolled.report import Code, Section, Sentence, Table, page
from unrolled.report.markup import Markup, join, tag


def text(stop: Stop, outcome: Outcome, broken: bool) -> str:
    """The page: why, pictures and figures of this run, equations with the lines that compute them, and the cards."""
    lead = "Broken on purpose: see what is lost." if broken else stop.lead
    sections: list[Section] = [
        Sentence(stop.look_for, title="What was broken") if broken else Sentence(stop.why, title="Why"),
        *outcome.sections,
        Table(
            ["measured", "value"],
            [(figure.what, str(figure)) for figure in outcome.figures],
            f"Trained in this run: {outcome.trained}.",
            title="Figures of this very run",
        ),
    ]
    for number, equation in enumerate(stop.equations):
        place = find(equation.code)
        title = "" if number else "The equation, and the line that computes it"
        sections.append(Code(f"{equation.text}\n\n{place}\n    {place.text}", title=title))
    sections.append(Code(stop.breaking, title="Break it on purpose"))
    if not broken:
        sections.append(Sentence(stop.look_for))
    whole = page(f"{stop.title}{' (broken)' if broken else ''}", lead, sections)
    return _before_the_end(whole, join(words(stop.words), cards(stop.cards)))


def cards(of: tuple[Card, ...]) -> Markup:
    """Questions that show their answers when they are opened."""
    folded = [
        tag("details", tag("summary", tag("strong", card.question)), tag("p", card.answer)) for card in of
    ]
    return tag(
        "section", tag("h2", "Flashcards", id="cards"), *folded, class_="block", aria_labelledby="cards"
    )


def words(of: tuple[Word, ...]) -> Markup:
    """The glossary's entries."""
    entries = [tag("p", tag("strong", word.word), f": {word.meaning}") for word in of]
    return tag(
        "section", tag("h2", "Three words", id="words"), *entries, class_="block", aria_labelledby="words"
    )


def _before_the_end(whole: str, more: Markup) -> str:
    """The page with one more section. All text in it is escaped, so its closing tag is there once."""
    head, end, tail = whole.rpartition("</main>")
    return head + more + end + tail
