"""The documentation's Python runs as written, with a toy budget, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import unrolled
from unrolled.comparison.board import Board
from unrolled.datasets import readers, samples
from unrolled.training import session as sessions
from unrolled.training import text
from unrolled.training.budget import Budget
from unrolled.training.progress import Talk

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
# Runs as it is, below: nothing in it trains.
LAW = ROOT / "docs" / "law.md"


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose):
        if not target.startswith(("https:", "http:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_stands_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the pages ask for, three steps of a small model on a few tunes; a key there is not still fails."""
    tunes = tmp_path / "tunes.abc"
    records = list(readers.records(samples.resolve("irish")))[:40]
    tunes.write_text("".join(record["text"] for record in records), encoding="utf-8")
    train, compare = unrolled.train, unrolled.compare

    def small(**keys: Any) -> Any:
        Budget.parse(keys.get("budget", "1m"))
        toy = {"budget": "3steps", "model.width": 8, "batch": 4}
        if keys["data"] == "irish":
            toy |= {"data": str(tunes), "length": 16}
        return train(talk=Talk(quiet=True), **(keys | toy))

    def short(**keys: Any) -> Any:
        Budget.parse(keys.get("budget", "1m"))
        toy = {"data": str(tunes), "budget": "1steps", "models": ["gru"], "parameters": 9000, "report": False}
        return compare(**(keys | toy | {"seeds": 1}), board=Board(quiet=True))

    monkeypatch.setattr(unrolled, "train", small)
    monkeypatch.setattr(unrolled, "compare", short)
    monkeypatch.setattr(text, "SAMPLE_TOKENS", 2)
    monkeypatch.setattr(sessions, "EVALUATIONS", 1)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != LAW and blocks(page)], ids=lambda page: page.name
)
@pytest.mark.usefixtures("toys")
def test_a_page_s_python_runs(page: Path) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page):
        exec(compile(block, page.name, "exec"), names)
    assert list(Path("runs").glob("*-1")), "it trained"


def test_the_law_page_runs_as_written() -> None:
    from unrolled.mixers import MIXERS

    names: dict = {}
    try:
        # The first block shows the signature.
        for block in blocks(LAW)[1:]:
            exec(compile(block, "law.md", "exec"), names)
        assert names["un"].law.check(names["Decay"](4).double()).ok
    finally:
        MIXERS.pop("decay", None)
