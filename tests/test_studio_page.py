"""The page in Debian's Chromium: every view of real runs, one of each task, at two widths, in light and in dark; what it
must never do; and how fast it is. Needs chromium and axe-core, which `tests/browser/install.sh` installs. The screenshots
stay in build/studio.
"""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from chromium import PROGRAM, Page, chromium
from studio_runs import run_at, studio, until
from tiny_runs import TINY, Heard

from unrolled.music import parse, synth, unfold
from unrolled.page.static import static
from unrolled.training.train import train

ROOT = Path(__file__).parent.parent
AXE = Path(__file__).parent / "browser" / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = ROOT / "build" / "studio"
pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="no chromium: run tests/browser/install.sh"),
    pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: run tests/browser/install.sh"),
]
# Before anything of the page runs: what is never to happen leaves a trace.
WATCH = """
window.broken = [];
window.hacked = () => window.broken.push('a script ran');
addEventListener('securitypolicyviolation', (event) => window.broken.push(`policy: ${event.violatedDirective}`));
addEventListener('error', (event) => window.broken.push(`error: ${event.message}`));
addEventListener('unhandledrejection', (event) => window.broken.push(`rejected: ${event.reason}`));
for (const name of ['alert', 'prompt', 'confirm', 'open']) window[name] = () => window.broken.push(name);
window.firstRow = null;
new MutationObserver(() => {
  if (window.firstRow === null && document.querySelectorAll('tbody tr').length >= 500) window.firstRow = performance.now();
}).observe(document, { childList: true, subtree: true });
"""


class Seen:
    """A tab on one studio."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        page.ask("Page.navigate", url="about:blank")
        page.run("1")
        page.events.clear()
        for domain in ("Page", "Network", "Runtime"):
            page.ask(f"{domain}.enable")
        page.ask("Page.addScriptToEvaluateOnNewDocument", source=WATCH)

    def size(self, width: int, height: int = 900) -> None:
        self.page.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def scheme(self, name: str) -> None:
        self.page.ask(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}]
        )

    def open(self, place: str, ready: str) -> None:
        self.page.ask("Page.navigate", url="about:blank")
        self.page.ask("Page.navigate", url=f"{self.address}{place}")
        self.wait(ready)

    def run(self, script: str) -> Any:
        return self.page.run(script)

    def wait(self, script: str, seconds: float = 20) -> None:
        try:
            until(lambda: self.run(f"Boolean({script})"), seconds)
        except AssertionError:
            shown = self.run(
                "location.hash + '\\n' + document.body.innerText.slice(0, 3000) + window.broken.join('\\n')"
            )
            raise AssertionError(f"never came: {script}\n{shown}") from None

    def press(self, key: str) -> None:
        self.run(
            f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key: {json.dumps(key)}, bubbles: true }}))"
        )

    def shot(self, name: str, width: int) -> None:
        height = int(self.run("document.documentElement.scrollHeight"))
        self.size(width, max(700, min(height, 4000)))
        SHOTS.mkdir(parents=True, exist_ok=True)
        said = self.page.ask("Page.captureScreenshot", format="png")
        (SHOTS / f"{name}.png").write_bytes(base64.b64decode(said["data"]))
        self.size(width)

    def sound(self) -> None:
        """Nothing broke, nothing ran, nothing is wider than the screen."""
        assert self.run("window.broken") == []
        assert self.run("document.documentElement.scrollWidth <= innerWidth"), self.run(
            "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)"
            ".slice(0, 5).map((e) => e.outerHTML.slice(0, 120))"
        )

    def axe(self) -> None:
        """No serious finding of axe-core."""
        self.run(AXE.read_text("utf-8"))
        found = self.run(
            "axe.run(document, { resultTypes: ['violations'] }).then((said) => said.violations"
            ".filter((one) => one.impact === 'serious' || one.impact === 'critical')"
            ".map((one) => one.id + ': ' + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | ')))"
        )
        assert found == []

    def outside(self) -> list[str]:
        """Every address asked for that isn't this studio's."""
        own = self.address.split("/#")[0]
        asked = [
            e["params"]["request"]["url"]
            for e in self.page.events
            if e.get("method") == "Network.requestWillBeSent"
        ]
        assert any(url.startswith(own) for url in asked)
        return [url for url in asked if not url.startswith((own, "data:", "blob:", "about:"))]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


def table(path: Path, head: str, rows: list[str]) -> str:
    path.write_text("\n".join([head, *rows]) + "\n", "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def runs(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each task, and of each kind of mixer one that writes."""
    folder = tmp_path_factory.mktemp("studio")
    draw, keys = (
        random.Random(0),
        {
            "batch": 8,
            "budget": "6steps",
            "evaluate_every": 3,
            "log_every": 2,
            "device": "cpu",
            "dtype": "float32",
        },
    )
    words = ["good", "bad", "the", "film", "was", "long", "very"]
    some = [" ".join(draw.choices(words, k=6)) for _ in range(60)]
    data = {
        "classify": table(
            folder / "reviews.csv", "text,label", [f"{t},{'yes' if 'good' in t else 'no'}" for t in some]
        ),
        "tag": table(
            folder / "tagged.csv",
            "words,tags",
            [f"{t},{' '.join('AB'[len(w) > 3] for w in t.split())}" for t in some],
        ),
        "regress": table(
            folder / "sums.csv",
            "a0,a1,a2,a3,y",
            [f"{n},{n % 7},{n % 5},{n % 3},{n * 0.5 + n % 7}" for n in range(60)],
        ),
        "translate": table(folder / "pairs.csv", "english,upper", [f"{t},{t.upper()}" for t in some]),
    }
    out = folder / "runs"
    for kind in ("lstm", "transformer"):
        train(talk=Heard(), **{**TINY, "data": str(place / "tunes.abc"), "runs": str(out), "model": kind})
    more: dict[str, Any] = {
        "tag": {"model": "bilstm", "target": "tags"},
        "regress": {"model": "gru", "target": "y"},
        "classify": {"model": "conv"},
        "translate": {"model": "gru", "input": "english", "target": "upper"},
    }
    for task, path in data.items():
        train(talk=Heard(), data=path, runs=str(out), task=task, **{**keys, "model.width": 16, **more[task]})
    train(
        talk=Heard(),
        data="spoken_digits",
        task="transcribe",
        model="gru",
        runs=str(out),
        **{**keys, "budget": "2steps", "model.width": 16},
    )
    return out


READY = {
    "glass": "document.querySelector('.inside canvas') && !document.querySelector('.problem')",
    "training": "document.querySelector('.plot canvas')",
    "looks": "document.querySelector('.found .card')",
    "data": "document.querySelector('article')",
    "settings": "document.querySelector('main dl div')",
}
ROWS = "document.querySelector('tbody tr')"


def test_every_view_of_every_task(runs: Path, browser: Page) -> None:
    with studio(runs) as (address, client):
        seen = Seen(browser, address)
        names = [row["name"] for row in client.get("/api/runs").json()["runs"]]
        assert len(names) == 7
        views = [
            ("runs", "/", ROWS),
            ("compare", f"/compare/{','.join(names[:4])}", "document.querySelector('.board li')"),
        ]
        views += [
            (f"{name}-{tab}", f"/run/{name}/{tab}", ready) for name in names for tab, ready in READY.items()
        ]
        for title, place, ready in views:
            for width, scheme in ((1280, "light"), (375, "dark")):
                seen.size(width)
                seen.scheme(scheme)
                seen.open(place, ready)
                time.sleep(0.25)  # what moves comes to rest
                seen.sound()
                if width == 1280 or title.startswith(
                    ("runs", "compare", "lstm")
                ):  # in dark once for each kind of view
                    seen.axe()
                seen.shot(f"{title}-{width}-{scheme}", width)
        assert seen.outside() == []


def test_a_text_is_written_token_by_token_by_keyboard_alone(runs: Path, browser: Page) -> None:
    with studio(runs) as (address, _):
        seen = Seen(browser, address)
        seen.size(1280)
        seen.open("/run/lstm-tunes-1", READY["glass"])
        step = "Number(/step (\\d+)/.exec(document.querySelector('.controls p').textContent)[1])"
        tokens = "document.querySelectorAll('.chips li').length"
        assert (
            seen.run("location.hash") == "#/run/lstm-tunes-1/glass"
            and seen.run("location.href").count("token") == 0
        )
        last = seen.run(tokens)
        assert seen.run(step) == last
        for _ in range(3):
            before = seen.run(tokens)
            seen.press("ArrowRight")
            seen.wait(
                f"{tokens} === {before + 1} || document.querySelector('.controls').textContent.includes('here it ends')"
            )
        seen.press("Home")
        seen.wait(f"{step} === 1")
        seen.press("ArrowRight")
        seen.wait(f"{step} === 2")
        likeliest = "document.querySelector('aside li .label').textContent"
        seen.wait(f"document.querySelector('aside li .label') && {likeliest}")
        seen.run(
            "const knob = document.querySelector('#temperature'); knob.value = 0; "
            "knob.dispatchEvent(new Event('input', { bubbles: true }))"
        )
        seen.wait("document.querySelector('aside').textContent.includes('1 of')")
        first = seen.run(likeliest)
        seen.press("1")
        seen.wait(f"{tokens} === 3 && {step} === 3")
        assert seen.run("document.querySelectorAll('.chips li')[2].textContent.trim()") == first
        seen.press("End")
        box = "document.querySelector('.source input')"
        seen.run(f"{box}.value = 'T:a reel'; {box}.dispatchEvent(new Event('input', {{ bubbles: true }}))")
        seen.wait(f"{tokens} === 9 && {step} === 9")
        seen.press("t")
        seen.wait(READY["training"])
        seen.press("Escape")
        seen.wait(ROWS)
        seen.press("?")
        seen.wait("document.querySelector('dialog[open]')")
        seen.axe()
        seen.sound()


TUNE = "X:1\nT:</script><img src=x onerror=hacked()>\nM:6/8\nL:1/8\nK:D\nFED FED|ABA d2e|{/g}f2e ~d3|A/B/A/B/c d3|]\n"
# What the page would play is held.
LISTEN = """
window.sounds = [];
window.AudioBufferSourceNode = class extends window.AudioBufferSourceNode {
  constructor(context, options) {
    super(context, options);
    if (context instanceof AudioContext) window.sounds.push(options.buffer);
  }
};
"""


def test_the_page_in_one_file_needs_nobody_and_plays_the_wav(
    place: Path, tmp_path: Path, browser: Page
) -> None:
    keys = {**TINY, "data": str(place / "tunes.abc"), "runs": str(tmp_path), "codec": "abc"}
    run = train(talk=Heard(), **keys)
    other = train(talk=Heard(), **{**keys, "model": "transformer"})
    assert run is not None and other is not None
    (run.path / "samples" / "step-000099.txt").write_text(TUNE)
    music = {"music": "document.querySelector('.paper i')"}
    views = [(f"#/run/{run.name}/{tab}", ready) for tab, ready in (READY | music).items()] + [("#/", ROWS)]
    compare = (f"#/compare/{other.name},{run.name}", "document.querySelector('.board li')")
    for file in (static(tmp_path, run.name), static(tmp_path, None)):
        seen, alone = Seen(browser, file.as_uri()), file.parent == run.path
        seen.page.ask("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)
        seen.open("", "document.querySelector('h1')")
        assert seen.run("location.hash") == (f"#/run/{run.name}/glass" if alone else "#/")
        for width, scheme in ((1280, "light"), (375, "dark")):
            seen.size(width)
            seen.scheme(scheme)
            for there, ready in views if alone else [*views, compare]:
                seen.open(there, ready)
                time.sleep(0.25)
                seen.sound()
                if width == 1280:
                    seen.axe()
                seen.shot(f"file-{alone:d}-{there.rpartition('/')[2] or 'runs'}-{width}-{scheme}", width)
        asked = {
            event["params"]["request"]["url"].split("#")[0]
            for event in seen.page.events
            if event["method"] == "Network.requestWillBeSent"
        }
        assert {url for url in asked if not url.startswith(("data:", "about:"))} == {file.as_uri()}
    seen.open(f"#/run/{run.name}/music", music["music"])
    assert TUNE.splitlines()[1].removeprefix("T:") == seen.run("document.querySelector('h2').textContent")
    click = "document.querySelector('button.play').click()"
    seen.page.ask("Runtime.evaluate", expression=click, userGesture=True)
    seen.wait("window.sounds.length")
    played = np.asarray(seen.run("[...window.sounds[0].getChannelData(0)]"))
    wanted = synth.render(unfold(parse(TUNE)))
    assert len(played) == len(wanted) and np.abs(played - wanted).max() < 1e-3
    seen.wait("document.querySelector('button.play').textContent === 'Pause'")
    seen.press(" ")
    seen.wait("document.querySelector('button.play').textContent === 'Play'")
    assert seen.run("window.broken") == []


def test_without_the_token_it_asks_for_it(runs: Path, browser: Page) -> None:
    with studio(runs) as (address, _):
        seen = Seen(browser, address.split("/#")[0] + "/#")
        seen.open("/", "document.querySelector('form.token')")
        seen.axe()
        box = "document.querySelector('form.token input')"
        token = address.split("token=")[1]
        seen.run(
            f"{box}.value = '{token}'; {box}.dispatchEvent(new Event('input', {{ bubbles: true }})); "
            "document.querySelector('form.token button').click()"
        )
        seen.wait(ROWS)
        assert seen.run("window.broken") == []


def test_five_hundred_runs_and_a_million_points(tmp_path: Path, browser: Page) -> None:
    for number in range(500):
        run_at(tmp_path / f"lstm-tunes-{number}", lines=2)
    line = '{{"step": {0}, "loss": {1}, "norm": 1.0, "lr": 0.01, "seconds": {0}.5}}\n'
    with open(tmp_path / "lstm-tunes-7" / "metrics.jsonl", "w") as file:
        file.writelines(line.format(step, 1 + (step * 7919 % 1000) / 1000) for step in range(1, 333_340))
    with studio(tmp_path) as (address, _):
        seen = Seen(browser, address)
        seen.size(1280)
        times = []
        for _ in range(3):
            seen.open("/", "window.firstRow !== null")
            times.append(seen.run("window.firstRow"))
        assert min(times) <= 1000
        seen.open("/run/lstm-tunes-7/training", READY["training"])
        drawn = "Number(/drawn in (\\d+) ms/.exec(document.querySelector('.facts.num').textContent)[1])"
        found = []
        for number in range(6):
            seen.run(f"document.querySelectorAll('.seg button')[{number % 2}].click()")
            time.sleep(0.8)
            found.append(seen.run(drawn))
        assert "1.00 M" in seen.run("document.querySelector('.facts.num').textContent")
        assert min(found) <= 150
        print(f"500 runs in {min(times):.0f} ms, 1e6 points in {min(found)} ms")


def test_a_training_is_seen_and_stopped_from_the_page(place: Path, tmp_path: Path, browser: Page) -> None:
    with studio(tmp_path) as (address, _):
        seen = Seen(browser, address)
        seen.size(1280)
        seen.open("/", "document.querySelector('.empty')")
        keys = {
            **TINY,
            "data": place / "tunes.abc",
            "runs": tmp_path,
            "budget": "60000steps",
            "evaluate_every": 2000,
            "patience": 0,
        }
        made = subprocess.Popen(
            [sys.executable, "-m", "unrolled", "train", *(f"{key}={value}" for key, value in keys.items())],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        try:
            until(lambda: list(tmp_path.glob("*/result.json")), 60)
            begun = time.monotonic()
            seen.wait("document.querySelector('.state.running')", 10)
            appeared = time.monotonic() - begun
            seen.run("document.querySelector('tbody th a').click()")
            seen.wait("location.hash.endsWith('/training')")  # a run that trains opens as it trains
            seen.wait("document.querySelector('.facts.num b')")
            metrics = next(tmp_path.glob("*/metrics.jsonl"))
            lag = []
            for _ in range(3):
                step = json.loads(metrics.read_text().splitlines()[-2])["step"]
                begun = time.monotonic()
                seen.wait(f"Number(document.querySelector('.facts.num b').textContent) >= {step}", 10)
                lag.append(time.monotonic() - begun)
                time.sleep(0.7)
            assert appeared < 2 and max(lag) < 2
            seen.shot("live", 1280)
            seen.run("document.querySelector('button.danger').click()")
            _, said = made.communicate(timeout=60)
            assert made.returncode == 130 and "Traceback" not in said
            seen.wait(
                "[...document.querySelectorAll('button.main')].some((one) => one.textContent === 'Resume')"
            )
            seen.sound()
        finally:
            made.kill()
            made.communicate()


ATTACKS = [
    "<script>hacked()</script>", "<img src=x onerror=hacked()>", "<svg onload=hacked()>",
    "\"><script>hacked()</script>", "'><img src=x onerror=hacked()>", "</title><script>hacked()</script>",
    "</textarea><script>hacked()</script>", "<iframe srcdoc='<script>parent.hacked()</script>'>",
    "javascript:hacked()", "<a href=javascript:hacked()>x</a>", "<body onload=hacked()>",
    "<details open ontoggle=hacked()>", "<input autofocus onfocus=hacked()>", "<style>@import 'x'</style>",
    "<math><mtext><script>hacked()</script>", "${hacked()}", "{{constructor.constructor('hacked()')()}}",
    "{@html hacked()}", "`+hacked()+`", "';hacked();//", "\";hacked();//",
    "\\u003cscript\\u003ehacked()\\u003c/script\\u003e", "&lt;script&gt;hacked()&lt;/script&gt;",
    "&#60;img src=x onerror=hacked()&#62;", "<!--><script>hacked()</script>-->",
    "<![CDATA[<script>hacked()</script>]]>", "<template><script>hacked()</script></template>",
    "<object data=javascript:hacked()>", "<embed src=javascript:hacked()>",
    "<form><button formaction=javascript:hacked()>", "<link rel=stylesheet href=//evil.example>",
    "<base href=//evil.example>", "<meta http-equiv=refresh content=0;url=//evil.example>",
    "\u202e<script>hacked()</script>\u202c", "\u2066evil\u2069\u200f<b>x</b>",
    "\U0001f600<img src=x onerror=hacked()>\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "مرحبا <svg onload=hacked()>", "a\nb\t<script>hacked()</script>", "__proto__", "constructor",
    "%3Cscript%3Ehacked()%3C/script%3E", "#/run/x/../../api/runs,<b>",
]  # fmt: skip


def test_hostile_names_are_text_everywhere(tmp_path: Path, browser: Page) -> None:
    """Names of runs, data, kinds, measures, baselines; commands, settings, samples; labels and columns of a model."""
    assert len(ATTACKS) >= 40
    runs = tmp_path / "runs"
    for number, attack in enumerate(ATTACKS):
        folder = run_at(
            runs / f"{number:02d}{attack}".replace("/", "\u2215")[:80],
            data=attack,
            kind=attack,
            verdict=attack,
            extends=attack,
            baseline={"name": attack, "value": 2.2},
            test={"value": 2.0, "unit": attack, "better": attack, "interval": [1.9, 2.1]},
        )
        (folder / "command.txt").write_text(attack)
        (folder / "config.toml").write_text(
            f'task = "generate"  # {attack}\ndata = {json.dumps(attack)}  # {attack}\n'
        )
        (folder / "env.json").write_text(json.dumps({attack: attack}))
        (folder / "samples").mkdir()
        (folder / "samples" / "step-000001.txt").write_text(attack)
    plain = [attack.replace("\n", " ").replace("\t", " ") for attack in ATTACKS]
    labels = [plain[0], plain[1], plain[33]]
    lines = [json.dumps({plain[3]: f"{plain[n % 40]} word", plain[4]: labels[n % 3]}) for n in range(90)]
    data = table(tmp_path / "hostile.jsonl", lines[0], lines[1:])
    made = train(
        talk=Heard(),
        data=data,
        runs=str(runs),
        task="classify",
        model="gru",
        input=plain[3],
        target=plain[4],
        batch=8,
        budget="4steps",
        evaluate_every=2,
        device="cpu",
        **{"model.width": 8},
    )
    assert made is not None
    with studio(runs) as (address, client):
        seen = Seen(browser, address)
        seen.size(1280)
        names = [row["name"] for row in client.get("/api/runs").json()["runs"]]
        assert len(names) == len(ATTACKS) + 1
        seen.open("/", ROWS)
        shown = set(seen.run("[...document.querySelectorAll('tbody th bdi')].map((one) => one.textContent)"))
        assert shown == set(names)
        seen.sound()
        seen.shot("hostile-runs", 1280)
        places = [
            (
                "/compare/" + ",".join(quote(name, safe="") for name in names[:24]),
                "document.querySelector('.board, .card')",
            )
        ]
        places += [
            (f"/run/{quote(name, safe='')}/{tab}", READY[tab])
            for name in names[1::4]
            for tab in ("training", "settings")
        ]
        places += [
            (f"/run/{quote(made.name, safe='')}/{tab}", READY[tab])
            for tab in ("glass", "looks", "data", "settings")
        ]
        places += [
            (f"/run/{quote(attack, safe='')}/glass", "document.querySelector('.problem')")
            for attack in ATTACKS[::6]
        ]
        places += [
            (f"/{quote(attack, safe='')}/{attack}", "document.querySelector('h1, .problem')")
            for attack in ATTACKS[::8]
        ]
        for place, ready in places:
            seen.open(place, ready)
            time.sleep(0.1)
            assert seen.run("window.broken") == [], place
            alien = "img, iframe, script, object, embed, style, link, meta, base, details[open]"
            assert seen.run(f"document.querySelector('main').querySelectorAll('{alien}').length") == 0, place
        seen.open(f"/run/{quote(made.name, safe='')}/glass", READY["glass"])
        answers = seen.run("[...document.querySelectorAll('aside .label')].map((one) => one.textContent)")
        assert sorted(answers) == sorted(labels)
        seen.shot("hostile-glass", 1280)
        assert seen.outside() == []
