"""One self-contained HTML page from plain data: no network, nothing but its own script, the same bytes every time."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from unrolled.errors import RunFailed
from unrolled.report.blocks import render
from unrolled.report.frame import asset
from unrolled.report.kinds import Section, Tune
from unrolled.report.markup import Markup, clean, isolated, join, tag

STYLES = ("chart.css", "page.css", "blocks.css")
SCRIPTS = ("hover.js", "synth.js", "player.js")


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page: `title`, the sentence `lead`, then the sections in their order.

    The first Tune is lifted to the top, so the first screen is one sentence, one picture, one sound. Every text is escaped;
    a content policy in the page forbids any script but ours and any fetch. Raises nothing: what can't be drawn is said so.
    """
    hero = next((i for i, section in enumerate(sections) if isinstance(section, Tune)), None)
    rest = [(i, section) for i, section in enumerate(sections) if i != hero]
    first = render(sections[hero], hero) if hero is not None else Markup("")
    contents = [(i, section.title) for i, section in rest if section.title]
    header = tag(
        "header",
        tag("h1", isolated(title)),
        tag("p", lead, class_="lead", dir="auto"),
        first,
        _contents(contents),
        class_="hero" if hero is not None else "plain",
    )
    main = tag("main", *(_section(section, i) for i, section in rest), id="main")
    return _document(title, join(header, main))


def _contents(titles: Sequence[tuple[int, str]]) -> Markup:
    """Links to the sections that have a heading."""
    if len(titles) < 2:
        return Markup("")
    links = [tag("li", tag("a", isolated(title), href=f"#s{i}")) for i, title in titles]
    return tag("nav", tag("ul", *links), aria_label="Contents")


def _section(section: Section, index: int) -> Markup:
    """A section under its heading; without one it belongs to what stands above."""
    kind = type(section).__name__.lower()
    if not section.title:
        return tag("div", render(section, index), class_=f"block {kind}")
    heading = tag("h2", isolated(section.title), id=f"s{index}")
    return tag(
        "section", heading, render(section, index), class_=f"block {kind}", aria_labelledby=f"s{index}"
    )


def _document(title: str, body: Markup) -> str:
    """The whole file. Styles and script are ours and hold no text from outside, so they go in as they are."""
    style = "\n".join(asset(name) for name in STYLES)
    script = "\n" + "\n".join(asset(name) for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; media-src data:"
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=Markup(policy)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content="Unrolled"),
        tag("title", title),
        Markup(f"<style>\n{style}</style>"),
    )
    scripts = Markup(f"<script>{script}</script>")
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", body, scripts), lang="en") + "\n"


def write(path: str | Path, text: str) -> Path:
    """Writes `text` (a page, an SVG) as UTF-8 to `path`: all of it or nothing, an older file stays until then.

    Raises RunFailed where the folder can't be written or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".tmp-{os.getpid()}-", suffix=path.suffix)
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(clean(text))
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for the owner alone; a report is to be shown around.
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        todo = (
            "Free some space and try again."
            if error.errno == errno.ENOSPC
            else "Give another place with out=."
        )
        raise RunFailed(
            f"can't write {path}: {error.strerror or error}. Nothing was changed. {todo}"
        ) from error
    return path
