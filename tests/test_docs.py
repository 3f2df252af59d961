"""The documentation's Python runs as written, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose):
        if not target.startswith(("https:", "http:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_law_page_runs_as_written() -> None:
    from unrolled.mixers import MIXERS

    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "law.md").read_text(), re.S)
    names: dict = {}
    try:
        for block in blocks[1:]:  # the first shows the signature
            exec(compile(block, "law.md", "exec"), names)
        assert names["un"].law.check(names["Decay"](4).double()).ok
    finally:
        MIXERS.pop("decay", None)
