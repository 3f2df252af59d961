"""A stop and what its run gave, as one self-contained page."""

from __future__ import annotations

from unrolled.lessons.outcome import Outcome
from unrolled.lessons.places import find
from unrolled.lessons.stops import Card, Stop
from unrolled.report import Code, Definitions, Section, Sentence, page
from unrolled.report.markup import Markup, tag


def text(stop: Stop, outcome: Outcome, broken: bool) -> str:
    """The page: why, pictures and figures of this run, equations with the lines that compute them, and the cards."""
    lead = f"Broken on purpose: {stop.look_for}" if broken else stop.why
    sections: list[Section] = [Sentence(stop.why, title="Why")] if broken else []
    sections += outcome.sections
    sections += [
        Definitions([(f.what, str(f)) for f in outcome.figures], title="Measured in this run"),
        Sentence(f"Trained here: {outcome.trained}."),
    ]
    for number, equation in enumerate(stop.equations):
        place = find(equation.code)
        title = "" if number else "The equation, and the line that computes it"
        sections.append(Code(f"{equation.text}\n\n{place}\n    {place.text}", title=title))
    sections.append(Code(stop.breaking, title="Break it on purpose", caption=stop.look_for))
    sections.append(Definitions([(w.word, w.meaning) for w in stop.words], title="Three words"))
    whole = page(f"{stop.title}{' (broken)' if broken else ''}", lead, sections)
    return _before_the_end(whole, cards(stop.cards))


def cards(of: tuple[Card, ...]) -> Markup:
    """Questions that show their answers when they are opened."""
    folded = [
        tag("details", tag("summary", tag("strong", card.question)), tag("p", card.answer)) for card in of
    ]
    return tag(
        "section", tag("h2", "Flashcards", id="cards"), *folded, class_="block", aria_labelledby="cards"
    )


def _before_the_end(whole: str, more: Markup) -> str:
    """The page with one more section. All text in it is escaped, so its closing tag is there once."""
    head, end, tail = whole.rpartition("</main>")
    return head + more + end + tail
