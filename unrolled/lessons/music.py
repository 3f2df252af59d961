"""Stop `music`: a recurrent network that has heard 700 tunes for under a minute composes sixteen, and one is played."""

from __future__ import annotations

from unrolled.lessons.corpora import tunes
from unrolled.lessons.outcome import Figure, Outcome
from unrolled.lessons.practice import practise
from unrolled.model import Model, build, preset
from unrolled.music import Tune, midi_bytes, parse, piano_roll, wav_bytes
from unrolled.report import Sample, Section, Table
from unrolled.report import Tune as Played
from unrolled.running.generate import Generated, generate

WIDTH, STEPS, COUNT, LENGTH = 192, 1000, 16, 400
TEMPERATURE, WILD = 0.7, 2.0


def run(size: float, broken: bool = False) -> Outcome:
    """Trains a GRU on tunes, composes and counts bars. `broken`: it draws at temperature 2."""
    corpus = tunes("abc")
    model = build(preset("gru", corpus.codec.size, width=WIDTH, embedding=64))
    model.task = corpus.task
    practice = practise(model, corpus.train, max(2, round(STEPS * size)), limit=55, batch=16)
    held_out = corpus.test[:TUNES_SCORED]
    score = model.task.score(model, held_out, *corpus.size_of(len(held_out)))
    temperature = WILD if broken else TEMPERATURE
    written = compose(model, temperature, LENGTH if size >= 0.5 else 40)
    report = written.report
    figures = [
        Figure(f"tunes of {COUNT} with every bar of the right length", report.bars_right),
        Figure(f"tunes of {COUNT} that can be read", report.parsed),
        Figure("temperature", temperature),
        Figure("held-out bits per character", score.bits_per_character),
    ]
    sections, files = played(written)
    sections.append(verdicts(written))
    trained = f"a GRU of {WIDTH} units on the ABC tokens of 'irish': {practice}"
    return Outcome(sections, figures, trained, files)


TUNES_SCORED = 40


def compose(model: Model, temperature: float, length: int) -> Generated:
    """Sixteen tunes, each begun as every tune of the collection begins."""
    return generate(model, prompt="X:", count=COUNT, length=length, temperature=temperature, seed=0)


def played(written: Generated) -> tuple[list[Section], dict[str, bytes]]:
    """The likeliest tune whose bars are all right, else the likeliest that can be read, as a roll that plays."""
    playable = set(written.report.playable)
    for number in sorted(written.ranked, key=lambda i: i not in playable):
        try:
            tune = parse(written.texts[number])
            roll = [(start, seconds, int(midi)) for start, seconds, midi in piano_roll(tune)]
            files = {
                ".wav": wav_bytes(tune),
                ".mid": midi_bytes(tune),
                ".abc": written.texts[number].encode(),
            }
        except ValueError:  # not a tune, or one that never ends
            continue
        if roll:
            return [section(tune, roll, written.texts[number], number in playable)], files
    text = Sample(
        written.texts[written.ranked[0]], title="None of the sixteen can be played; the likeliest text"
    )
    return [text], {}


def section(tune: Tune, roll: list[tuple[float, float, int]], text: str, right: bool) -> Played:
    """The tune on the page."""
    bars = "every bar has the right length" if right else "not every bar has the right length"
    return Played(
        tune.text("T") or "Untitled",
        roll,
        abc=text,
        caption=f"Composed in this very run: the likeliest of those whose bars add up, if any do; here {bars}.",
    )


def verdicts(written: Generated) -> Table:
    """What is wrong with each tune, if anything."""
    rows = [
        [str(number + 1), written.tokens[number], problem or "every bar is right"]
        for number, problem in enumerate(written.report.problems)
    ]
    return Table(
        ["tune", "tokens", "verdict"],
        rows,
        "Bars are counted by the parser: a bar holds as much as the metre says, but pick-ups and split bars are allowed.",
        title="Sixteen tunes, counted",
    )
