"""The page as one file: its script, its style, and the recorded answers to all that it asks. It needs no server."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unrolled import __version__
from unrolled.errors import UserError
from unrolled.page import files
from unrolled.page.answers import Studio
from unrolled.page.beside import MOST as ABREAST
from unrolled.page.recording import inlined, record
from unrolled.report import write

NAME = "studio.html"
STEPS = 128  # of a recorded passage
LARGEST = 5_000_000  # bytes of a file


def static(
    folder: Path,
    run: str | None,
    out: str | None = None,
    *,
    device: str = "cpu",
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Writes the page of one run, or of all runs of a folder side by side, as one file -> its path: `out`, else
    studio.html in the run's folder or in that of the runs.

    Raises UserError for a folder without runs or with more than 24, RunFailed where the file can't be written.
    """
    studio = Studio(folder, device, STEPS)
    names = [one.name for one, _ in studio.index.runs()] if run is None else [run]
    if not 1 <= len(names) <= ABREAST:
        raise UserError(
            f"{folder}: got {len(names)} runs; one file holds 1 to {ABREAST}. "
            "Name one of them: unrolled studio RUN --static"
        )
    kept = record(studio, names, say)
    alone = f"#/run/{quote(names[0], safe='')}" if len(names) == 1 else "#/"
    text = page(
        {"opens": alone, "at": datetime.now(UTC).isoformat(timespec="seconds"), "entries": kept.entries}
    )
    place = Path(out) if out else (folder / names[0] if run is not None else folder) / NAME
    return write(place / NAME if place.is_dir() else place, text)


def page(recorded: dict[str, Any]) -> str:
    """The whole document. Its policy lets this very script and style run and nothing be fetched from anywhere."""
    script, style = (files.content(name).decode("utf-8") for name in ("app.js", "app.css"))
    script = _unbroken(script)
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
    )
    text = re.sub(
        r"\s*<(script|link)[^>]*/app\.[^>]*>(</script>)?", "", files.content("index.html").decode("utf-8")
    )
    parts = {
        '<meta charset="utf-8" />': f'<meta http-equiv="Content-Security-Policy" content="{policy}" />',
        "<title>": f'<meta name="generator" content="Unrolled {__version__}" />',
        "</head>": f"<style>{style}</style>",
        "</body>": f'<script type="application/json" id="recorded">{inlined(recorded)}</script>'
        f'<script type="module">{script}</script>',
    }
    for mark, part in parts.items():
        before, found, after = text.partition(mark)
        text = before + (found + part if mark.startswith("<meta") else part + found) + after
    return text


def _unbroken(script: str) -> str:
    """The same script with nothing in it that ends or bends a script element: such only ever stands in its strings."""
    return re.sub(r"<(?=/script|script|!--)", r"\\x3c", script, flags=re.IGNORECASE)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
