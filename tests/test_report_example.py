"""A whole report from realistic data. To look at it: `python -m tests.test_report_example OUT.html`."""

from __future__ import annotations

import io
import math
import random
import re
import struct
import sys
import wave

from unrolled.report import (
    Code,
    Definitions,
    Heatmap,
    HiddenLines,
    IntervalChart,
    IntervalRow,
    LineChart,
    Sample,
    Section,
    Sentence,
    Series,
    Table,
    Tune,
    page,
    write,
)

# Irish dance tunes, samples/irish.abc: "Battering Ram", a jig; every bar is six eighths.
ABC = """X:4
T:Battering Ram
Z: id:dc-jig-153
M:6/8
L:1/8
K:G Major
B|dBG BAG|dBG G2B|dBG AGE|GED D2B|!
dBG BAG|BdB BAG|AGA BAB|GED D2:|!
B|deg aga|bge edB|deg aga|bge e2a|!
bag agf|ged ege|dBG AGE|GED D2:|!
"""
EIGHTH = 0.17
PITCHES = dict(zip("CDEFGABcdefgab", (60, 62, 64, 66, 67, 69, 71, 72, 74, 76, 78, 79, 81, 83), strict=True))
MODELS = {"lstm": 1.482, "gru": 1.471, "mingru": 1.531, "transformer": 1.702, "rnn": 1.688, "window": 1.817}


def roll() -> tuple[list[tuple[float, float, int]], list[float]]:
    """The tune by hand, its two parts played twice: notes and the times of the bar lines."""
    lines = [re.sub(r"[|!:]", "", line) for line in ABC.splitlines()[6:]]
    melody = "".join(lines[:2] * 2 + lines[2:] * 2)
    notes, at = [], 0.0
    for letter, count in re.findall(r"([A-Ga-g])(\d?)", melody):
        span = EIGHTH * int(count or 1)
        notes.append((at, span * 0.95, PITCHES[letter]))
        at += span
    return notes, [EIGHTH * (1 + 6 * bar) for bar in range(32)]


def recorded(notes: list[tuple[float, float, int]]) -> bytes:
    """A coarse WAV, 4 kHz: enough for an <audio> element to play."""
    samples = [0.0] * int(4000 * (max(s + d for s, d, _ in notes) + 0.1))
    for start, duration, midi in notes:
        step = 2 * math.pi * 440 * 2 ** ((midi - 69) / 12) / 4000
        for i in range(int(duration * 4000)):
            samples[int(start * 4000) + i] += 9000 * math.sin(step * i) * math.exp(-i / 900)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(4000)
        file.writeframes(b"".join(struct.pack("<h", int(s)) for s in samples))
    return out.getvalue()


def curves() -> list[Series]:
    """Held-out loss of six models, the mean of three seeds and their band, over time, steps and tokens."""
    chance, out = random.Random(0), []
    for rank, (name, final) in enumerate(MODELS.items()):
        seconds = [2.0 * 60 * i / 150 for i in range(1, 151)]
        speed = 1.0 + 0.35 * rank
        ys = [final + (3.1 + 0.2 * rank) * math.exp(-0.55 * math.sqrt(t * 2 / speed)) for t in seconds]
        ys = [y + chance.gauss(0, 0.008) for y in ys]
        wide = [0.02 + 0.12 * math.exp(-t / 15) for t in seconds]
        xs = {
            "seconds": seconds,
            "steps": [t * 14 / speed for t in seconds],
            "tokens": [t * 14 * 8192 / speed for t in seconds],
        }
        low, high = (
            [y - w for y, w in zip(ys, wide, strict=True)],
            [y + w for y, w in zip(ys, wide, strict=True)],
        )
        out.append(Series(name, xs, ys, low, high))
    return out


def comparison() -> tuple[Table, IntervalChart]:
    """Six models, three seeds, and the n-gram's line."""
    chance = random.Random(1)
    rows: list[list[str | float | int | None]] = []
    marks = []
    for name, final in MODELS.items():
        seeds = [final + chance.gauss(0, 0.012) for _ in range(3)]
        mean = sum(seeds) / 3
        low, high = mean - 0.021, mean + 0.023
        feeding = "windows" if name in ("transformer", "window") else "streams"
        speed = round(52_000 - 4_000 * len(rows) + chance.random() * 900)
        rows.append([name, mean, f"{low:.3f} – {high:.3f}", 312_576 + 411 * len(rows), speed, feeding])
        marks.append(IntervalRow(name, seeds, low, high))
    rows.append(["5-gram (Witten-Bell)", 2.031, None, None, None, "counts"])
    best = list(MODELS).index("gru")
    table = Table(
        ["model", "bits per character", "95 % interval", "parameters", "tokens / s", "feeding"],
        rows,
        "Held-out bits per character on 80 tunes, 2 minutes each on 2 CPU cores, mean of 3 seeds; less is better.",
        title="Who predicts the next character best",
        highlight=best,
        muted=(len(rows) - 1,),
        notes=(
            "Streams carry their state from batch to batch; windows start from nothing, with a context of 256 characters.",
            "Intervals: bootstrap over the 80 held-out tunes and the seeds. 3 near-duplicates were kept out.",
        ),
    )
    chart = IntervalChart(
        marks,
        "held-out bits per character (less is better)",
        caption="A dot for each seed, a bar for the 95 % interval; the dotted line is the best n-gram.",
        highlight=best,
        references=(("5-gram 2.031", 2.031),),
    )
    return table, chart


def pictures() -> list[Section]:
    """Gates, hidden units and attention over the first bars."""
    text = "dBG BAG|dBG G2B|dBG AGE|"
    gates = [
        [1 / (1 + math.exp(-3 * math.sin(0.4 * t * (1 + u / 9) + u))) for t in range(len(text))]
        for u in range(16)
    ]
    units = [
        [math.tanh(1.4 * math.sin(0.13 * t * (1 + u % 7) + u)) for t in range(len(text))] for u in range(40)
    ]
    attention = [
        [math.exp(-0.5 * ((q - k) % 8)) if k <= q else math.nan for k in range(24)] for q in range(24)
    ]
    return [
        Heatmap(
            gates,
            [f"unit {u}" for u in range(16)],
            list(text),
            title="What the gates do",
            caption="The forget gates of 16 units.",
            low=0,
            high=1,
        ),
        HiddenLines(
            units,
            list(text),
            {3: "bar line", 11: "beat"},
            title="What the units hold",
            caption="40 hidden units.",
        ),
        Heatmap(
            attention,
            list(text),
            list(text),
            title="Where attention looks",
            row_label="reads",
            column_label="looks at",
            caption="Grey: the future, which it can't see.",
        ),
    ]


def example() -> str:
    """The page."""
    notes, bars = roll()
    table, chart = comparison()
    learning = LineChart(
        curves(),
        "held-out bits per character",
        title="How they learned",
        y_range=(1.35, 2.8),
        references=(("5-gram", 2.031),),
        caption="Bands: three seeds. Every model had the same two minutes.",
    )
    tune = Tune(
        "Battering Ram",
        notes,
        ABC,
        recorded(notes),
        bars,
        caption="The likeliest of 16 tunes that the gru wrote; 9 of 16 parsed and every bar adds up.",
    )
    written = "dBG BAG|dBG G2B|dBG AGE|GED D2B|!\ndBG BAG|BdB BAG|AGA BAB|GED D2:|!\n"
    config = (
        ("model", "gru", "command line"),
        ("width", 256, "default"),
        ("layers", 1, "default"),
        ("learning rate", 0.002, "recipe irish"),
        ("batch", 32, "default"),
        ("length", 256, "default"),
        ("budget", "2m = 1 712 steps", "command line"),
        ("seeds", "0, 1, 2", "command line"),
        ("device", "cpu, 2 threads, float32"),
        ("torch", "2.13.0"),
        ("data", "irish: 804 tunes, sha256 1f9a…c2"),
        ("split", "699 / 24 / 81 tunes, seed 0"),
    )
    sections: list[Section] = [
        tune,
        table,
        chart,
        learning,
        Sample(written, "X:1\nT:The New House\nM:6/8\nL:1/8\nK:G Major\n", title="A tune as it was written"),
        *pictures(),
        Sentence(
            "One run is a glimpse. A fair race needs three seeds and ten minutes.\n\nRepeat this with the command below.",
            title="What to do next",
        ),
        Code("unrolled compare data=irish models=rnn,lstm,gru,mingru,transformer,window budget=10m seeds=3"),
        Definitions(config, title="Configuration"),
    ]
    lead = "After two minutes of 804 Irish tunes, a GRU writes jigs whose bars add up. Listen."
    return page("Unrolled · six models, one budget", lead, sections)


def test_the_whole_report_is_deterministic_and_of_a_sendable_size() -> None:
    first = example()
    assert first == example()
    assert 100_000 < len(first.encode()) < 1_500_000


def test_the_first_screen_is_one_sentence_one_picture_one_sound() -> None:
    header = example().split("</header>")[0].split("<header")[1]
    assert (
        header.count('class="lead"') == 1
        and header.count("<figure") == 1
        and header.count('class="play"') == 1
    )
    assert header.index("lead") < header.index("<figure") and header.count("<audio") == 1


if __name__ == "__main__":
    print(write(sys.argv[1], example()))
