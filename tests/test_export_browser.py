"""The page of an export in headless Chromium: it says what `predict` says. Needs chromium and onnxruntime-web, which
`tests/browser/install.sh` installs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
from chromium import PROGRAM, chromium, served
from test_export import READERS, sounds
from test_export_columns import columns_model, some_rows, written
from tiny_models import TEXTS, model_of, task_of, writer_of

import unrolled as un
from unrolled.datasets.spectra import LogMel
from unrolled.exports import browser
from unrolled.exports.runner import words
from unrolled.model import answering, build
from unrolled.tasks import Classify

MODULES = Path(__file__).parent / "browser" / "node_modules"
needs = [
    pytest.mark.skipif(PROGRAM is None, reason="no chromium: run tests/browser/install.sh"),
    pytest.mark.skipif(not MODULES.is_dir(), reason="no onnxruntime-web: run tests/browser/install.sh"),
]


@pytest.fixture(autouse=True)
def modules(monkeypatch: Any) -> Iterator[None]:
    """The runtime from the tests' own folder; sizes unchecked, as in test_export.py."""
    monkeypatch.setenv(browser.PLACE, str(MODULES))
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def exported(model: Any, folder: Path) -> Path:
    """The page of a model."""
    made = un.export(model, to="browser", out=str(folder))
    assert set(made.files) >= {*browser.PAGE, *browser.RUNTIME, "model.json", "step.onnx"}
    return folder


def asked(page: Any, address: str, scripts: list[str]) -> list[Any]:
    """What the page's model says to each script."""
    page.open(address, "document.body && document.body.dataset.ready")
    return [page.run(script) for script in scripts]


@pytest.mark.usefixtures("modules")
class TestPage:
    pytestmark = needs

    def test_it_answers_texts_as_predict_does(self, tmp_path: Path) -> None:
        model = model_of(task_of("classify"), "gru")
        folder = exported(model, tmp_path / "page")
        texts = [f"{a} {b}, naïve: {a}" for a in TEXTS for b in ("rat", "it's", "日本 é")]
        with chromium(tmp_path / "profile") as page, served(folder) as address:
            said = asked(page, address, [f"unrolled.model.predict({json.dumps(text)})" for text in texts])
            page.run("document.getElementById('text').value = 'a cat'")
            page.run("document.getElementById('ask').click()")
            shown = ""
            for _ in range(100):
                shown = shown or page.run("document.querySelector('#answer strong')?.textContent ?? ''")
        wanted = un.predict(model, [{"text": text} for text in texts]).rows
        for mine, theirs in zip(said, wanted, strict=True):
            assert mine["y"] == theirs["y"]
            assert mine == pytest.approx({key: theirs[key] for key in mine}, abs=1e-5)
        assert shown == f"y: {un.predict(model, [{'text': 'a cat'}]).rows[0]['y']}"

    def test_it_hears_a_wav_as_predict_does(self, tmp_path: Path) -> None:
        soundfile = pytest.importorskip("soundfile")
        codec = LogMel(rate=8000).fit(sounds())
        task = Classify(codec=codec, answers=task_of("classify").answers, inputs=("sound",), targets=("y",))
        model = build(
            answering("conv", {"kind": "values", "inputs": codec.width}, task.head(), width=16)
        ).eval()
        model.task = task
        folder = exported(model, tmp_path / "page")
        scripts, files = [], []
        for number, sound in enumerate(sounds()):
            files.append(folder / f"{number}.wav")
            soundfile.write(files[-1], sound.samples, 8000, subtype="PCM_24")
            read = f"fetch('{number}.wav').then((said) => said.arrayBuffer())"
            scripts.append(f"{read}.then((wav) => unrolled.model.predict(unrolled.samplesOf(wav)))")
        with chromium(tmp_path / "profile") as page, served(folder) as address:
            said = asked(page, address, scripts)
        for mine, file in zip(said, files, strict=True):
            theirs = task.rows(task.predict(model, [codec.encode(file)]))[0]
            assert mine == pytest.approx(theirs, abs=1e-5) and mine["y"] == theirs["y"]

    def test_it_answers_rows_of_several_columns_as_predict_does(self, tmp_path: Path) -> None:
        model = columns_model()
        folder = exported(model, tmp_path / "page")
        whole = json.loads((folder / "model.json").read_text("utf-8"))
        told = whole | {"example": {"title": "the cat", "text": "sat", "age": 35, "country": "FR"}}
        (folder / "model.json").write_text(json.dumps(told), "utf-8")
        rows = some_rows(100)
        table = written(tmp_path / "rows.csv", rows)
        text = json.dumps(Path(table).read_text("utf-8"))
        lines = json.dumps("\n".join(json.dumps(row) for row in rows))
        ask = (
            "(async () => {{ const said = []; for (const row of unrolled.tableOf('{}', {})) "
            "said.push(await unrolled.model.predict(row)); return said; }})()"
        )
        fill = 'for (const [name, value] of Object.entries({})) document.querySelector(`[name="${{name}}"]`).value = value'
        with chromium(tmp_path / "profile") as page, served(folder) as address:
            page.ask(
                "Emulation.setDeviceMetricsOverride", width=400, height=900, deviceScaleFactor=1, mobile=False
            )
            said, again = asked(page, address, [ask.format("a.csv", text), ask.format("a.jsonl", lines)])
            assert page.run("document.documentElement.scrollWidth") == 400
            assert page.run("document.getElementById('state').innerText") == "ready"
            assert page.run("[...document.querySelectorAll('#fields [name]')].map((box) => box.value)") == [
                "the cat",
                "sat",
                "35",
                "FR",
            ]
            page.run("document.querySelector('[name=title]').value = ''")
            page.run(fill.format(json.dumps({"text": "a cat", "age": "30", "country": "New York"})))
            page.run("document.getElementById('ask').click()")
            shown = ""
            for _ in range(100):
                shown = shown or page.run("document.querySelector('#answer strong')?.textContent ?? ''")
        wanted = un.predict(model, table).rows
        for mine, other, theirs in zip(said, again, wanted, strict=True):
            assert mine == other and mine["y"] == theirs["y"]
            assert mine == pytest.approx({key: theirs[key] for key in mine}, abs=1e-5)
        typed = {"title": None, "text": "a cat", "age": "30", "country": "New York"}
        assert shown == f"y: {un.predict(model, [typed]).rows[0]['y']}"

    def test_it_writes_as_the_model_does_past_its_context(self, tmp_path: Path) -> None:
        model = writer_of("transformer", context=12)
        folder = exported(model, tmp_path / "page")
        write = (
            "(async () => { let said = ''; for await (const text of "
            "unrolled.model.write('abc', {length: 40, temperature: 0})) said = text; return said; })()"
        )
        with chromium(tmp_path / "profile") as page, served(folder) as address:
            said = asked(page, address, [write])[0]
        assert "abc" + said == un.generate(model, "abc", length=40, temperature=0).texts[0]

    def test_it_encodes_texts_as_the_codecs_do(self, tmp_path: Path) -> None:
        (tmp_path / "page").mkdir()
        for name in ("codecs.js",):
            (tmp_path / "page" / name).write_bytes((Path(browser.__file__).parent / name).read_bytes())
        (tmp_path / "page" / "index.html").write_text("<!doctype html><title>codecs</title>")
        texts = [
            "X:1\nT:Ünï €\nK:D\n|:c'2 _e/|\r\nX:2",
            "I'd say  it's  3\n\n\tnaïve ² Ⅷ 日本 \u00a0x ",
            " a",
            "x \n",
            "é",
        ]
        with chromium(tmp_path / "profile") as page, served(tmp_path / "page") as address:
            page.open(address, "document.title === 'codecs'")
            for codec, kind in READERS:
                told = json.dumps({"codec": codec.to_dict(), "task": {"kind": "classify"}})
                for text in texts:
                    script = (
                        f"import('/codecs.js').then((m) => m.textCodec({told}).encode({json.dumps(text)}))"
                    )
                    ids = page.run(script)
                    np.testing.assert_array_equal(ids, codec.encode(text), err_msg=f"{codec.kind}: {text!r}")
                    if kind is not words.Codec:
                        script = f"import('/codecs.js').then((m) => m.textCodec({told}).decode({ids}))"
                        assert page.run(script) == codec.decode(ids)


def test_without_the_package_of_npm_it_says_what_to_type(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(browser.PLACE, str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(browser.MissingPackage, match="npm install .* onnxruntime-web@1"):
        un.export(writer_of("gru"), to="browser", out=str(tmp_path / "page"))
    assert browser.MissingPackage.exit_code == 4 and list(tmp_path.iterdir()) == []
