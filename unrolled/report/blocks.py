"""The sections of a page as HTML: prose, tables, samples, definitions and the figures around charts."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from unrolled.report.draw import TELEPHONE, WIDE, draw
from unrolled.report.kinds import (
    Cards,
    Cell,
    Code,
    ColouredText,
    Definitions,
    Heatmap,
    HiddenLines,
    IntervalChart,
    LineChart,
    Sample,
    Scatter,
    Section,
    Sentence,
    Table,
    Tune,
)
from unrolled.report.lines import x_labels
from unrolled.report.markup import Markup, clean, isolated, join, tag
from unrolled.report.roll import length, playable
from unrolled.report.scale import finite, number


def paragraphs(text: str, class_: str | None = None) -> Markup:
    """Prose; a blank line begins a new paragraph. `dir=auto`: right-to-left prose reads as it should."""
    pieces = [piece.strip() for piece in clean(text).split("\n\n")]
    return join(*(tag("p", piece, class_=class_, dir="auto") for piece in pieces if piece))


def decimals(column: Sequence[Cell]) -> int:
    """Digits after the point that show four significant ones of the column's largest float, two at least."""
    largest = max((abs(v) for v in finite(v for v in column if isinstance(v, float))), default=0.0)
    return max(0, 4 - len(str(int(largest)))) if largest >= 1 else 4


def cell_text(cell: Cell, digits: int) -> str:
    """A cell as it is written."""
    if isinstance(cell, float) and finite([cell]) and (cell == 0 or 10**-digits <= abs(cell) < 1e15):
        return f"{cell:,.{digits}f}".replace(",", "\u202f").replace("-", "−")
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return number(float(cell), 16 if isinstance(cell, int) else 4)
    return "–" if cell is None or cell == "" else str(cell)


def numeric(column: Sequence[Cell]) -> bool:
    """Whether the column stands right: numbers, or texts that begin like one (1.52 [1.49, 1.55])."""
    known = [c for c in column if c is not None and c != ""]
    return bool(known) and all(
        isinstance(c, int | float) or str(c).lstrip("+-−~≈<>≤≥ ")[:1].isdigit() or str(c) in "–-"
        for c in known
    )


def table(section: Table) -> Markup:
    """The table in a frame that scrolls sideways on a telephone, its first column staying in sight."""
    count = max([len(section.columns), *(len(row) for row in section.rows)], default=0)
    rows = [[*row, *[None] * (count - len(row))] for row in section.rows]
    columns = [[row[i] for row in rows] for i in range(count)]
    right = [i > 0 and numeric(column) for i, column in enumerate(columns)]
    digits = [decimals(column) for column in columns]
    heads = [*section.columns, *[""] * (count - len(section.columns))]
    head = [
        tag("th", isolated(h), scope="col", class_="right" if right[i] else None) for i, h in enumerate(heads)
    ]
    body = []
    for place, row in enumerate(rows):
        best = place == section.highlight
        mark = (
            tag("span", section.highlight_label, class_="badge") if best and section.highlight_label else ""
        )
        cells = [tag("th", isolated(cell_text(row[0], digits[0])), mark, scope="row")] if row else []
        for i, cell in enumerate(row[1:], 1):
            cells.append(
                tag("td", isolated(cell_text(cell, digits[i])), class_="right" if right[i] else None)
            )
        body.append(tag("tr", *cells, class_="best" if best else "muted" if place in section.muted else None))
    if not rows:
        body.append(tag("tr", tag("td", "No rows.", colspan=max(count, 1))))
    whole = tag(
        "table",
        tag("caption", tag("span", section.caption, dir="auto") if section.caption else ""),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
    )
    frame = tag(
        "div",
        whole,
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=section.caption or section.title or "Table",
    )
    notes = (
        tag("ul", *(tag("li", note, dir="auto") for note in section.notes), class_="notes")
        if section.notes
        else ""
    )
    return join(frame, notes)


def sample(section: Sample) -> Markup:
    """What a model wrote, after what it was given."""
    given = tag("mark", section.prompt, title="the prompt") if section.prompt else ""
    text = tag("pre", given, section.text, class_="sample", dir="auto", tabindex=0)
    return tag("figure", text, _caption(section.caption))


def coloured(section: ColouredText) -> Markup:
    """The text, its pieces' grounds coloured; neighbours of one colour share an element, hover tells the number."""
    parts: list[Markup] = []
    run, held = "", 0
    for token, value in zip(section.tokens, section.values, strict=False):
        level = 0 if value is None or not finite([value]) else round(10 * max(-1.0, min(1.0, value)))
        if level != held and run:
            parts.append(_ground(run, held))
            run = ""
        run, held = run + clean(token), level
    parts += [_ground(run, held)] if run else [Markup("")]
    key = tag(
        "div",
        _ground(section.low, -8),
        Markup(" "),
        tag("span", "0", class_="soft"),
        Markup(" "),
        _ground(section.high, 8),
        class_="tint-key",
    )
    text = tag("pre", *parts, class_="sample tint", dir="auto", tabindex=0)
    return tag("figure", key, text, _caption(section.caption))


def _ground(text: str, level: int) -> Markup:
    """Text on a ground of one of 21 levels, -10 ... 10."""
    if not level:
        return tag("span", text)
    return tag(
        "span", text, class_=f"tint-{'n' if level < 0 else 'p'}{abs(level)}", title=f"{level / 10:.1f}"
    )


def code(section: Code) -> Markup:
    """Something to type, with a button that copies it (shown by page.js)."""
    button = tag(
        "button", "Copy", type="button", class_="copy", hidden=True, aria_label="Copy to the clipboard"
    )
    text = tag("pre", tag("code", section.text), class_="code", dir="ltr", tabindex=0)
    return tag("figure", tag("div", text, button, class_="copying"), _caption(section.caption))


def _plain(cell: Cell) -> str:
    """A setting as one would type it: 0.002, not 0.0020."""
    return f"{cell:.6g}" if isinstance(cell, float) else cell_text(cell, 0)


def definitions(section: Definitions) -> Markup:
    """Terms, values, and where a value came from."""
    parts = []
    for item in section.items:
        source = tag("span", isolated(item[2]), class_="source") if len(item) > 2 and item[2] else ""
        value = tag("span", isolated(_plain(item[1])), class_="value")
        parts.append(tag("div", tag("dt", isolated(item[0])), tag("dd", value, source)))
    return join(paragraphs(section.caption, "caption"), tag("dl", *parts))


def cards(section: Cards) -> Markup:
    """Each question with its answer folded away below it."""
    return join(
        *(
            tag("details", tag("summary", tag("strong", question)), tag("p", answer))
            for question, answer in section.items
        )
    )


def _caption(text: str) -> Markup:
    return tag("figcaption", text, dir="auto") if text else Markup("")


def _both(
    section: LineChart | IntervalChart | Tune | Heatmap | HiddenLines | Scatter, x: str | None = None
) -> Markup:
    """The wide and the telephone form; page.css shows one, and hides the other from screen readers too."""
    return join(draw(section, WIDE, x).inline("wide"), draw(section, TELEPHONE, x).inline("narrow"))


def figure(section: LineChart | IntervalChart | Heatmap | HiddenLines | Scatter, index: int) -> Markup:
    """A chart with its caption; radio buttons switch between x vectors without any script."""
    labels = x_labels(section) if isinstance(section, LineChart) else []
    if len(labels) < 2:
        return tag("figure", _both(section), _caption(section.caption))
    parts, views = [tag("legend", "Horizontal axis")], []
    for place, label in enumerate(labels):
        id_ = f"x{index}-{place}"
        parts.append(tag("input", type="radio", name=f"x{index}", id=id_, checked=place == 0))
        parts.append(tag("label", isolated(label), for_=id_))
        views.append(tag("div", _both(section, label), class_="view"))
    switch = tag("fieldset", *parts, tag("div", *views, class_="views"), class_="switch")
    return tag("figure", switch, _caption(section.caption))


def tune(section: Tune) -> Markup:
    """The roll with its button (shown and driven by synth.js), the WAV for who has no WebAudio, and the ABC text."""
    notes = playable(section)
    seconds = length(notes)
    clock = f"0:00 / {int(seconds) // 60}:{int(seconds) % 60:02d}"
    icon = tag("span", class_="icon", aria_hidden="true")
    button = tag(
        "button", icon, tag("span", "Play", class_="word"), type="button", class_="play", hidden=True
    )
    name = tag("span", isolated(section.name), class_="tune-name")
    head = tag(
        "div", button, name, tag("span", clock, class_="clock", aria_hidden="true"), class_="tune-head"
    )
    roll = tag("div", _both(section), class_="roll")
    parts = [head if notes else tag("div", name, class_="tune-head"), roll, _caption(section.caption)]
    extras = []
    if section.wav:
        uri = Markup("data:audio/wav;base64," + base64.b64encode(section.wav).decode("ascii"))
        player = tag("audio", controls=True, preload="none", src=uri, aria_label=f"{section.name}, recorded")
        extras.append(tag("details", tag("summary", "The recorded sound (WAV)"), player, class_="wav"))
    if section.abc:
        text = tag("pre", section.abc, class_="sample", dir="ltr", tabindex=0)
        extras.append(tag("details", tag("summary", "The notes as text (ABC)"), text))
    written = ";".join(f"{s:.4g},{d:.4g},{m}" for s, d, m in notes)
    return tag(
        "figure",
        *parts,
        tag("div", *extras, class_="extras") if extras else "",
        class_="tune",
        data_notes=written,
    )


def render(section: Section, index: int) -> Markup:
    """The section's content, without its heading; `index` keeps ids apart."""
    match section:
        case Sentence():
            return paragraphs(section.text)
        case Table():
            return table(section)
        case Sample():
            return sample(section)
        case ColouredText():
            return coloured(section)
        case Code():
            return code(section)
        case Definitions():
            return definitions(section)
        case Cards():
            return cards(section)
        case Tune():
            return tune(section)
        case _:
            return figure(section, index)
