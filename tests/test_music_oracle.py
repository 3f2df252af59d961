"""Our ABC reader and MIDI writer against music21, an independent implementation."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest
from music21 import converter, harmony, key, meter, stream, tempo

import unrolled.music
from unrolled.music import midi_bytes, parse, unfold
from unrolled.music.tune import Note

IRISH = Path(unrolled.music.__file__).parents[1] / "datasets" / "samples" / "irish.abc"
Heard = list[tuple[list[int], Fraction]]  # MIDI pitches from low to high, length in quarters


def irish() -> list[str]:
    return re.split(r"(?m)^(?=X:)", IRISH.read_text())[1:]


def tune(body: str, head: str = "M:4/4\nL:1/8\nK:D") -> str:
    return f"X:1\nT:test\n{head}\n{body}\n"


def ours(abc: str) -> Heard:
    notes = [item for item in parse(abc).body if isinstance(item, Note)]
    return [(sorted(p.midi for p in note.pitches), note.length * 4) for note in notes]


def theirs(abc: str) -> Heard:
    """Without `%abc-2.1` music21 takes the text for version 1.3, in which accidentals didn't last for the bar."""
    score = converter.parse("%abc-2.1\n" + abc, format="abc")
    assert isinstance(score, stream.Stream)
    notes = [
        n for n in score.flatten().notes if not n.duration.isGrace and not isinstance(n, harmony.ChordSymbol)
    ]
    return [(sorted(p.midi for p in n.pitches), Fraction(n.quarterLength)) for n in notes]


@pytest.mark.parametrize("index", range(0, 804, 27))
def test_irish_tunes_have_the_pitches_and_lengths_that_music21_reads(index: int) -> None:
    text = irish()[index]
    assert ours(text) == theirs(text)


KEYS = ["D Major", "Ador", "E Minor", "A Mixolydian", "Hp", "G", "Bb", "F#m", "Cm", "Eb", "Dmix", "Bphr", "F lyd",
        "Gdorian", "A aeolian", "C ionian", "none", "Ebm", "C#"]  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_keys(name: str) -> None:
    abc = tune("C D E F|G A B c|", f"M:4/4\nL:1/4\nK:{name}")
    assert ours(abc) == theirs(abc)


SAME = {
    "lengths": "A A2 A/ A// A/2 A3/2 A/4 A3/4 A4 A8|",
    "octaves": "C,, C, C c c' c'' =C,|",
    "double accidentals": "^^F __B ^F =F _E|",
    "an accidental lasts for the bar": "^GAGA gGg2|G8|",
    "a natural lasts for the bar": "=cdcd c'c=c^c|c8|",
    "ties": "A4-A4|d2-d2 (f2f2)|",
    "chords": "[CEG]2 [Ac][d^f]2 [CEG]4|",
    "chords with inner lengths": "[C2E2G2] [A/c/]2|",
    "triplets": "(3ABc (3d2e2f2 A2|",
    "duplets in compound time": "(2AB (3ABc (4ABcd|",
    "broken rhythm": "A>B c<d e>>f g<<a|A2>B2 z4|",
    "broken rhythm over a space": "A> B c <d|",
    "grace notes": "{g}A2 {gef}B2 c4|",
    "decorations": "!trill!A2 ~B2 .c2 uA2|",
    "slurs and spaces": "(AB) (c(de)f)|",
    "chord symbols": '"Am"A2 "D7"d2 "^segno"e4|',
    "repeats and endings": "|:A4 B4|1 c8:|2 d8||e8|]",
    "comments": "A2B2 % c2d2\nc2d2|",
    "continued lines": "A2B2\\\nc2d2|",
    "key field in the body": "c4 f4|\nK:C\nc4 f4|",
    "tuplets with all three numbers": "(3:2:2A4B2 (5:4:3ABc z2|",
    "a changed meter keeps the unit length": "A2 [M:2/4]A2|",
}  # fmt: skip


@pytest.mark.parametrize("feature", SAME)
def test_each_feature_of_the_notation(feature: str) -> None:
    abc = tune(SAME[feature], "M:6/8\nL:1/8\nK:D" if "compound" in feature else "M:4/4\nL:1/8\nK:D")
    assert ours(abc) == theirs(abc)
    assert ours(abc)


@pytest.mark.parametrize(
    "length", ["M:2/4", "M:6/8", "M:C|", "M:3/4", "M:4/4", "M:2/4\nL:1/8", "M:4/4\nL:1/16"]
)
def test_the_meter_implies_the_unit_length(length: str) -> None:
    abc = tune("A2B2", f"{length}\nK:D")
    assert ours(abc) == theirs(abc)


# Where music21 and the ABC 2.1 standard differ; each entry is (body, MIDI pitches, quarters) as the standard has it.
OURS = {
    "a tie carries its accidental over the bar line (standard notation)": ("^g8-|g8|", [80, 80], [4, 4]),
    "an inline key counts from where it stands (3.2)": ("c4[K:C]c4|", [73, 72], [2, 2]),
    "a ! that is no decoration ends the line (old ABC, 10.2.1)": ("A4|!\nc8|!", [69, 73], [2, 4]),
    "a broken rhythm stays together around a grace note (4.12)": (
        "A>{g}B c6|",
        [69, 71, 73],
        ["3/4", "1/4", 3],
    ),
}


@pytest.mark.parametrize("rule", OURS)
def test_where_music21_differs_the_standard_wins(rule: str) -> None:
    body, pitches, quarters = OURS[rule]
    assert ours(tune(body)) == [([p], Fraction(q)) for p, q in zip(pitches, quarters, strict=True)]
    assert ours(tune(body)) != theirs(tune(body))  # once music21 agrees, the rule belongs to SAME


REPEATS = {
    "plain": "|:A4 B4|d8:|c8|e8|]",
    "both ends at once": "|:A8|B8::c8|d8:|",
    "endings": "|:A8|1B8:|2c8|]",
    "endings, then more": "|:A8|1B8:|2c8||d8|]",
    "two repeats with endings": "|:A8|1B8:|2c8|]|:d8|1e8:|2f8|]",
}


@pytest.mark.parametrize("form", REPEATS)
def test_repeats_are_played_as_music21_expands_them(form: str) -> None:
    abc = tune(REPEATS[form])
    score = converter.parse("%abc-2.1\n" + abc, format="abc").parts[0].expandRepeats()
    expected = [(Fraction(n.getOffsetInHierarchy(score)), n.pitch.midi) for n in score.flatten().notes]
    assert [(s.start, s.midi) for s in unfold(parse(abc)).sounds] == expected


def from_midi(abc: str, folder: Path) -> stream.Stream:
    path = folder / "tune.mid"
    path.write_bytes(midi_bytes(parse(abc)))
    score = converter.parse(path, forceSource=True)
    assert isinstance(score, stream.Stream)
    return score


@pytest.mark.parametrize("index", [0, 146, 300, 601])
def test_music21_reads_our_midi_back(index: int, tmp_path: Path) -> None:
    text = irish()[index]
    heard = [
        (float(n.offset), float(n.quarterLength), n.pitches[0].midi)
        for n in from_midi(text, tmp_path).flatten().notes
    ]
    played = [(float(s.start), float(s.length), s.midi) for s in unfold(parse(text)).sounds]
    assert heard == [(pytest.approx(a, abs=1e-3), pytest.approx(b, abs=1e-3), p) for a, b, p in played]


def test_midi_carries_tempo_meter_key_and_name(tmp_path: Path) -> None:
    score = from_midi(
        "X:1\nT:Caf\u00e9 Jig\nM:6/8\nL:1/8\nQ:3/8=110\nK:E minor\nEFG [K:D]ABc|[Q:1/4=90]def z3|", tmp_path
    )
    flat = score.flatten()
    assert [m.getQuarterBPM() for m in flat.getElementsByClass(tempo.MetronomeMark)] == pytest.approx(
        [165, 90], abs=1e-3
    )
    assert [m.ratioString for m in flat.getElementsByClass(meter.TimeSignature)] == ["6/8"]
    assert [(k.sharps, k.mode) for k in flat.getElementsByClass(key.Key)] == [(1, "minor"), (2, "major")]
    assert score.parts[0].partName == "Caf? Jig"


def test_midi_of_chords_ties_and_repeated_notes(tmp_path: Path) -> None:
    flat = from_midi(tune("[DFA]4 A2A2|B4-|B4 c4|"), tmp_path).flatten()
    heard = [([p.midi for p in n.pitches], float(n.quarterLength)) for n in flat.notes]
    assert heard[:3] == [([62, 66, 69], 2), ([69], 1), ([69], 1)]
    assert sum(length for pitches, length in heard if pitches == [71]) == 4
