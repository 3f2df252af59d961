"""A stop and what its run gave, as one self-contained page."""

from __future__ import annotations

from unrolled.lessons.outcome import Outcome
from unrolled.lessons.places import find
from unrolled.lessons.stops import Stop
from unrolled.report import Cards, Code, Section, Sentence, Table, page


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
    sections += [
        Sentence("\n\n".join(f"{word.word}: {word.meaning}" for word in stop.words), title="Three words"),
        Cards([(card.question, card.answer) for card in stop.cards], title="Flashcards"),
    ]
    return page(f"{stop.title}{' (broken)' if broken else ''}", lead, sections)
