"""Exports: graphs that say what the model says, programs and pages that read what people have, and no file otherwise."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import ANSWERING, SERIES, STREAMING, TEXTS, model_of, task_of, writer_of

import unrolled as un
from unrolled.datasets.abc_tokens import AbcTokens
from unrolled.datasets.bpe import Bpe
from unrolled.datasets.characters import Bytes, Characters
from unrolled.datasets.items import Items
from unrolled.datasets.pixels import FrameVectors, Patches, Pixels, PixelSteps
from unrolled.datasets.sound import Sound
from unrolled.datasets.spectra import LogMel, Mfcc, Waveform
from unrolled.datasets.standard import Values
from unrolled.datasets.words import Words
from unrolled.errors import CheckFailed, RunFailed, UserError
from unrolled.exports import onnx as graphs
from unrolled.exports.bench import measured
from unrolled.exports.encode import encoding
from unrolled.exports.export import _write
from unrolled.exports.graph import Step, Whole, example
from unrolled.exports.metadata import _patterns, _start
from unrolled.exports.onnx import step_graph, whole_graph
from unrolled.exports.parity import SHAPES, at_once, chained, differences, require
from unrolled.exports.proof import proved
from unrolled.exports.rounding import compact, rounded
from unrolled.exports.runner import bpe, byte, characters, items, notation, reading, words
from unrolled.exports.runner.core import Runner, Stream
from unrolled.mixer import Mixer
from unrolled.model import build, paired

onnxruntime = pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parent.parent
TUNES = ["X:1\nT:A\nK:D\n|:c'2 _e/ (3abc|1 d4:|2 D2||\n" * 12, "X:2\nK:G\n[|G>A B<c:|\n" * 12]


def ran(folder: Path, *arguments: str) -> list[str]:
    """Lines that an export's program prints, in a Python that doesn't see this package."""
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "run.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module", autouse=True)
def unchecked() -> Iterator[None]:
    """What torch.export traces has symbols for sizes, which the checker of shapes refuses."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def answering(tmp_path_factory: Any) -> tuple[Any, Path, Any]:
    """A model that classifies texts, its export and what the export said."""
    model = model_of(task_of("classify"), "gru")
    folder = tmp_path_factory.mktemp("answering") / "out"
    return model, folder, un.export(model, out=str(folder))


@pytest.fixture(scope="module")
def writing(tmp_path_factory: Any) -> tuple[Any, Path]:
    """A Transformer that writes, of a context shorter than what it is made to write."""
    model = writer_of("transformer", context=12)
    folder = tmp_path_factory.mktemp("writing") / "out"
    un.export(model, out=str(folder))
    return model, folder


def test_an_export_holds_graphs_description_and_program(answering: Any) -> None:
    import onnx

    model, folder, made = answering
    assert set(made.files) == {"step.onnx", "sequence.onnx", "model.json", "run.py"}
    assert made.parity["worst"] <= 1e-5
    assert {(each["rows"], each["steps"]) for each in made.parity["at"]} >= {(1, 1), (6, 10)}
    told = json.loads((folder / "model.json").read_text("utf-8"))
    step = onnx.load(folder / "step.onnx")
    assert json.loads(step.metadata_props[0].value) == told
    assert [value.name for value in step.graph.input] == [
        "raw",
        "state.0.hidden",
        "state.1.hidden",
        "state.2.total",
        "state.2.steps",
    ]
    assert [value.name for value in step.graph.output][:2] == ["answer", "next.0.hidden"]
    sizes = [d.dim_param or d.dim_value for d in step.graph.output[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 3]
    onnx.checker.check_model(step, full_check=True)
    assert told["labels"] == ["bad", "good", "so"] and told["states"][0]["start"] == 0.0
    for file in folder.iterdir():
        assert str(ROOT).encode() not in file.read_bytes(), f"{file.name} names a place on this machine"


def test_the_program_answers_as_predict_does(answering: Any, tmp_path: Path) -> None:
    model, folder, _ = answering
    texts = [f"{a} {b}, it's naïve: {a}" for a in TEXTS for b in ("rat", "dog", "")]
    table = tmp_path / "rows.csv"
    table.write_text("text,n\n" + "".join(f'"{text}",{n}\n' for n, text in enumerate(texts)), "utf-8")
    said = [json.loads(line) for line in ran(folder, str(table))]
    wanted = un.predict(model, [{"text": text} for text in texts]).rows
    assert len(said) == len(wanted) == 9
    for mine, theirs in zip(said, wanted, strict=True):
        assert mine["y"] == theirs["y"]
        assert mine == pytest.approx({key: theirs[key] for key in mine}, abs=1e-5)
    assert json.loads(ran(folder, texts[0])[0]) == said[0]


def test_the_program_writes_as_the_model_does_past_its_context(writing: Any) -> None:
    model, folder = writing
    wanted = un.generate(model, "abc", length=40, temperature=0).texts[0]
    assert ran(folder, "abc", "--length", "40", "--temperature", "0") == wanted.removeprefix("abc").split(
        "\n"
    )
    runner = Runner(folder)
    mine, theirs = Stream(runner), un.Stream(model)
    for number in np.random.default_rng(0).integers(1, model.task.codec.size, 40).tolist():
        said = theirs.push(number).numpy()[0]
        np.testing.assert_allclose(mine.push(number), said, atol=1e-5)
    assert ran(folder, "abc", "--length", "9", "--seed", "1") == ran(
        folder, "abc", "--length", "9", "--seed", "1"
    )
    assert len(json.loads(ran(folder, "abc", "--next")[0])["next"]) == 10


def test_a_graph_that_says_something_else_is_never_written(tmp_path: Path, monkeypatch: Any) -> None:
    from onnx import numpy_helper

    tidied = graphs.tidied

    def corrupted(proto: Any, shapes: Any) -> Any:
        made = tidied(proto, shapes)
        for initializer in made.graph.initializer:
            array = numpy_helper.to_array(initializer).copy()
            if array.ndim == 2:
                array.flat[0] += 0.1
                initializer.CopyFrom(numpy_helper.from_array(array, initializer.name))
        return made

    monkeypatch.setattr(graphs, "tidied", corrupted)
    with pytest.raises(
        CheckFailed, match=r"step.onnx: at \d+ rows of \d+ steps it differs .* Nothing was written"
    ):
        un.export(model_of(task_of("regress", "series"), "rnn"), out=str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
    assert CheckFailed.exit_code == 5


def test_a_model_that_sees_ahead_has_a_whole_graph_only(tmp_path: Path) -> None:
    model = model_of(task_of("tag", "series"), "bigru")
    made = un.export(model, out=str(tmp_path / "out"))
    assert "step.onnx" not in made.files and "cannot stream" in made.notes[0]
    assert "to=onnx" not in made.notes[0]  # that is what was done
    said = json.loads(ran(tmp_path / "out", json.dumps(SERIES[0].tolist()))[0])
    wanted = un.predict(model, [{"series": SERIES[0]}]).rows[0]
    assert said["y"] == wanted["y"] and said["least sure"] == pytest.approx(wanted["least sure"], abs=1e-5)
    with pytest.raises(SystemExit, match="no steps"):
        Stream(Runner(tmp_path / "out"))
    with pytest.raises(UserError, match="cannot stream: its output at t needs inputs after t"):
        Step(model)


class Counted(Mixer):
    """Of a mixer from elsewhere whose loop over time is Python's."""

    def start(self, batch: int, capacity: int = 0, source: Any = None) -> Any:
        return self.zeros(batch, self.width) + torch.arange(self.width)

    def forward(self, x: Any, state: Any = None, layout: Any = None) -> Any:
        h = self.start(x.shape[0]) if state is None else state
        said = []
        for each in x.unbind(1):
            h = torch.tanh(0.5 * h + each)
            said.append(h)
        return torch.stack(said, 1), None if state is None else h.clone()


def test_a_mixer_that_freezes_time_exports_its_step(tmp_path: Path) -> None:
    model = writer_of("rnn")
    model.core.layers[0] = Counted(16)
    made = un.export(model, out=str(tmp_path / "out"))
    assert "sequence.onnx" not in made.files and "chain the step graph" in made.notes[0]
    stream = Stream(Runner(tmp_path / "out"))  # its start isn't one number
    np.testing.assert_array_equal(stream.state["state.0"][0], np.arange(16, dtype=np.float32))
    assert isinstance(_start(torch.arange(3.0)[None]), dict) and _start(torch.zeros(1, 0)) == 0


@pytest.mark.parametrize("kept", ["bf16", "int8"])
def test_small_weights_are_exactly_what_the_file_holds(kept: str) -> None:
    model = model_of(task_of("classify"), "conv", width=32)
    small = rounded(model, kept)
    proto = step_graph(small)
    before = len(proto.SerializeToString())
    assert compact(proto, kept) >= 3
    content = proto.SerializeToString()
    assert len(content) < 0.8 * before
    found = differences(small, "step.onnx", chained(small, content), [(1, 1), (4, 7)])
    require(found)
    assert not all(map(torch.equal, model.parameters(), small.parameters()))
    for old, new in zip(model.parameters(), small.parameters(), strict=True):
        limit = old.abs().amax(-1, keepdim=True) / 250  # half a step of either form
        assert bool(((old - new).abs() <= limit).all())


def test_what_cant_be_done_is_said(tmp_path: Path) -> None:
    model = writer_of("gru")
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(UserError, match="something else"):
        un.export(model, out=str(tmp_path))
    with pytest.raises(UserError, match="Did you mean 'onnx'"):
        un.export(model, to="onx", out="x")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="unknown weights"):
        un.export(model, weights="int4", out=str(tmp_path / "new"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="which folder"):
        un.export(model)
    (tmp_path / "model.json").write_text('{"format": "layers-model"}')  # another program's
    with pytest.raises(UserError, match="something else"):
        un.export(model, out=str(tmp_path))
    (tmp_path / "model.json").write_text('{"unrolled": "1"}')  # an export that somebody works in
    with pytest.raises(UserError, match="something else"):
        un.export(model, out=str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "model.json"}


def test_nan_is_no_parity() -> None:
    model = writer_of("gru")
    found = differences(model, "x", lambda raw, _: np.full((*raw.shape, model.task.codec.size), np.nan))
    with pytest.raises(CheckFailed, match="6 of 6"):
        require(found)


def sounds() -> list[Sound]:
    noise = np.random.default_rng(0)
    return [Sound(noise.normal(0, 0.1, n).astype(np.float32), 8000) for n in (1, 199, 200, 201, 281, 4000)]


def series() -> list[Any]:
    gaps = SERIES[0].copy()
    gaps[2, 1], gaps[3, 0] = np.nan, np.inf
    return [*SERIES, gaps]


IMAGES = [np.random.default_rng(seed).integers(0, 255, (13, 10, 3)).astype(np.uint8) for seed in range(4)]
FRAMES = [np.random.default_rng(seed).integers(0, 255, (3, 8, 7, 1)).astype(np.uint8) for seed in range(2)]


@pytest.mark.parametrize(
    ("codec", "values"),
    [
        *((codec, sounds()) for codec in (LogMel(), LogMel(scale="htk", loudness=True), Mfcc(), Waveform())),
        (Values(), series()),
        (Values(robust=True), series()),
        *((codec, IMAGES) for codec in (Pixels(), PixelSteps(), Patches())),
        (FrameVectors(), FRAMES),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_numbers_are_encoded_by_a_graph_as_by_the_codec(codec: Any, values: list[Any]) -> None:
    codec.fit(values)
    session = onnxruntime.InferenceSession(encoding(codec))
    for value in values:
        raw = np.asarray(value.samples if isinstance(value, Sound) else value, np.float64)
        np.testing.assert_allclose(session.run(None, {"value": raw})[0], codec.encode(value), atol=1e-6)
    assert encoding(Words()) is None


READERS: list[tuple[Any, Any]] = [
    (Words(1).fit([*TEXTS, "it's état-major naïve"]), words.Codec),
    (Characters().fit([*TEXTS, "é日"]), characters.Codec),
    (Bytes(), byte.Codec),
    (AbcTokens(3).fit(TUNES), notation.Codec),
    (Bpe(300).fit([*TEXTS, *TUNES]), bpe.Codec),
]


def reader(codec: Any, kind: Any) -> Any:
    saved = json.loads(json.dumps(codec.to_dict()))
    return kind(
        SimpleNamespace(told={"codec": saved, "patterns": _patterns(saved), "task": {"kind": "classify"}})
    )


@pytest.mark.parametrize(("codec", "kind"), READERS, ids=lambda value: getattr(value, "kind", ""))
@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=40) | st.text("acdehostK:XT|[]()<>_^='\" \n\t123é日\u0301\u00a0½Ⅷ", max_size=60))
def test_texts_are_encoded_by_the_program_as_by_the_codec(codec: Any, kind: Any, text: str) -> None:
    mine = reader(codec, kind)
    ids = codec.encode(text)
    np.testing.assert_array_equal(mine.encode(text), ids)
    if kind is not words.Codec:
        assert mine.decode(ids) == codec.decode(ids) == text


def test_items_are_encoded_by_the_program_as_by_the_codec() -> None:
    codec = Items().fit([["a", "b"], ["a", "c d"]])
    mine = reader(codec, items.Codec)
    for value in (["a", "x", "", "c d"], ["b"]):
        np.testing.assert_array_equal(mine.encode(value), codec.encode(value))
        np.testing.assert_array_equal(mine.encode(json.dumps(value)), codec.encode(value))


def test_a_wav_is_read_by_the_program_as_by_the_package(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    from unrolled.datasets.sound import read_sound
    from unrolled.exports.runner.sound import Codec

    samples = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32"):
        file = tmp_path / f"{kind}.wav"
        soundfile.write(file, samples, 8000, subtype=kind)
        mine, rate = Codec.read(file)
        theirs = read_sound(file)
        assert rate == theirs.rate
        np.testing.assert_allclose(mine, theirs.samples, atol=1e-7)


def test_numbered_columns_are_the_series_and_no_others() -> None:
    names = [f"x{n}" for n in (10, 2, 1, *range(3, 10))]
    row = {"id2": "99", **{name: name[1:] for name in names}, "week3": "7"}
    wanted = [float(n) for n in range(1, 11)]
    assert reading.of_row(row, {"task": {"inputs": ["series"]}}) == wanted
    assert reading.of_row(row, {"task": {"inputs": ["week"]}}) == [7.0]
    assert reading.of_row(row | {"text": "a"}, {"task": {"inputs": ["text", "x"]}}) == {
        "text": "a",
        "x": wanted,
    }
    with pytest.raises(SystemExit, match="no column 'age'"):
        reading.of_row(row | {"text": "a"}, {"task": {"inputs": ["text", "age"]}})
    if node := shutil.which("node"):
        script = (ROOT / "unrolled/exports/browser/rows.js").read_text("utf-8")
        asked = f"{script};console.log(valueOf({json.dumps(row)}, ['series']).join())"
        command = [node, "--input-type=module", "-e", asked]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert [float(n) for n in done.stdout.split(",")] == wanted


def test_steps_and_wholes_agree_before_any_export() -> None:
    for kind in STREAMING:
        model = model_of(task_of("classify", "series"), kind)
        step, raw = Step(model, 8), example(model.embedder, 2, 5)
        after = step.start(2, 8)
        with torch.no_grad():
            for t in range(5):
                answer, *after = step(raw[:, t], *after)  # type: ignore[assignment]
            torch.testing.assert_close(answer, Whole(model)(raw)[:, -1])


def test_a_step_is_measured_beside_torch() -> None:
    model = writer_of("gru")
    rows = measured(model, {"step.onnx": step_graph(model).SerializeToString()})
    assert [row["engine"] for row in rows] == ["torch (Stream)", "onnxruntime"]
    assert all(0 < row["median"] <= row["p95"] for row in rows)
    held = [row["megabytes"] for row in rows]
    assert held[0] is None or held[1] < held[0]  # torch is the larger by far


def test_the_program_says_what_it_takes_and_refuses_what_it_cant(writing: Any, answering: Any) -> None:
    def told(folder: Path, *arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-I", str(folder / "run.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, said = told(writing[1], "--help")
    assert code == 0 and "--length" in said and "tokens at most" in said
    for option, value in (
        ("length", "-5"),
        ("length", "0"),
        ("temperature", "nan"),
        ("top_p", "2"),
        ("top_k", "-1"),
    ):
        code, said = told(writing[1], "abc", f"--{option}", value)
        assert code == 2 and f"--{option} {value}" in said and "expected" in said
    code, said = told(answering[1], "--help")
    assert code == 0 and "TEXT" in said and ".txt, .csv" in said
    assert told(answering[1])[0] == 2


def test_nothing_to_read_is_answered_with_nothing(answering: Any, tmp_path: Path) -> None:
    model, folder, _ = answering
    (tmp_path / "gaps.csv").write_text('text\na cat\n\n""\n  \na dog\n', "utf-8")
    lines = ('{"text": "a cat"}', '{"text": null}', '{"text": ""}', '{"text": "a dog"}')
    (tmp_path / "gaps.jsonl").write_text("\n".join(lines), "utf-8")
    for name in ("gaps.csv", "gaps.jsonl"):
        wanted = un.predict(model, str(tmp_path / name)).rows
        said = [json.loads(line) for line in ran(folder, str(tmp_path / name))]
        assert [each["y"] for each in said] == [row["y"] for row in wanted]
        assert [set(each) for each in said].count({"y"}) == len(said) - 2 >= 2


def test_what_is_exported_is_a_copy(tmp_path: Path) -> None:
    model = model_of(task_of("regress", "series"), "gru", dropout=0.5).train()
    weights = [weight.clone() for weight in model.parameters()]
    made = un.export(model, out=str(tmp_path / "out"))
    assert made.parity["worst"] <= 1e-5
    assert all(module.training for module in model.modules())
    assert all(map(torch.equal, model.parameters(), weights))
    if torch.cuda.is_available():
        assert un.export(model.cuda(), out=str(tmp_path / "moved")).parity["worst"] <= 1e-5
        assert all(weight.is_cuda for weight in model.parameters())


def test_what_killed_exports_left_goes_and_nothing_else(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    gone = [f".tmp-{int(dead.stdout)}-{part}-out" for part in ("new", "old")]
    kept = [
        f".tmp-{os.getppid()}-new-out",
        f".tmp-{int(dead.stdout)}-new-other",
        ".tmp-mine-new-out",
        ".tmp-7",
    ]
    for name in (*gone, *kept):
        (tmp_path / name).mkdir()
        (tmp_path / name / "step.onnx").write_text("half")
    _write(tmp_path / "out", {"model.json": b"{}"})
    assert {path.name for path in tmp_path.iterdir()} == {"out", *kept}


def test_a_place_that_cant_be_written_to_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(RunFailed, match=f"permission denied.*permissions of {tmp_path}") as told:
        _write(tmp_path / "out", {"model.json": b"{}"})
    assert "space" not in str(told.value)


WHOLE = ("bilstm", "bigru", "encoder")
EVERY = [(kind, task) for kind in STREAMING for task in ("generate", *ANSWERING)]
EVERY += [(kind, task) for kind in WHOLE for task in ANSWERING]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "asked"), EVERY)
def test_every_kind_of_every_task_is_equal(kind: str, asked: str) -> None:
    model = writer_of(kind) if asked == "generate" else model_of(task_of(asked), kind)
    found = differences(model, "sequence.onnx", at_once(whole_graph(model).SerializeToString()))
    if kind in STREAMING:
        found += differences(model, "step.onnx", chained(model, step_graph(model).SerializeToString()))
    require(found)


PAIRS = [
    ("gru", "dot", None),
    ("lstm", "none", "gru"),
    ("transformer", "scaled", None),
    ("gru", "recurrent", None),
]
MORE_PAIRS = [
    ("lstm", "additive", None), ("mingru", "general", "conv"), ("transformer", "scaled", "gru"),
    ("rnn", "scaled", "encoder"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "attention", "reader"),
    [*PAIRS, *(pytest.param(*each, marks=pytest.mark.slow) for each in MORE_PAIRS)],
)
def test_a_model_that_reads_a_source_is_two_graphs(kind: str, attention: str, reader: str | None) -> None:
    torch.manual_seed(0)
    spec = paired(
        kind, {"kind": "tokens", "vocabulary": 9}, 9, attention=attention, reader=reader, width=16, layers=2
    )
    contents, found, _ = proved(build(spec).eval(), "fp32")
    assert sorted(contents) == ["source.onnx", "step.onnx"]
    assert len(found) == len(SHAPES) and max(each.error for each in found) < 1e-5
