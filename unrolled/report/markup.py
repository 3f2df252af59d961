"""HTML and SVG text that is safe by construction: whatever isn't `Markup` is escaped when it goes in."""

from __future__ import annotations

import html
import re
import unicodedata

# C0 controls (but tab, newline), DEL, lone surrogates and the two non-characters are illegal in XML or unwritable in UTF-8.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_VOID = frozenset({"meta", "input", "br", "hr"})


class Markup(str):
    """Text that is markup already. With a plain string added it is plain again, and escaped twice: ugly, never unsafe."""


def clean(value: object) -> str:
    """`value` as text with what XML or UTF-8 can't hold replaced by U+FFFD."""
    return _ILLEGAL.sub("\ufffd", str(value).replace("\r\n", "\n").replace("\r", "\n"))


def escape(value: object) -> Markup:
    """`value` as text for an element's content or a quoted attribute; `Markup` goes through as it is."""
    return value if isinstance(value, Markup) else Markup(html.escape(clean(value), quote=True))


def join(*parts: object) -> Markup:
    """The parts one after another, each escaped unless it is markup."""
    return Markup("".join(escape(part) for part in parts))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element. `class_` and `for_` lose their underscore, others become dashes; None and False are left out."""
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        written = key.rstrip("_").replace("_", "-")
        parts.append(f" {written}" if value is True else f' {written}="{escape(value)}"')
    if name in _VOID:
        return Markup("".join([*parts, ">"]))
    return Markup("".join([*parts, ">", join(*children), f"</{name}>"]))


def isolated(value: object) -> Markup:
    """A name from outside within a line of ours: right-to-left text and overrides stay inside it."""
    return value if isinstance(value, Markup) else tag("bdi", value)


def columns(text: str) -> float:
    """The width of `text` in average Latin letters: wide East Asian letters and emoji count two, combining marks none."""
    marks = sum(1 for c in text if unicodedata.combining(c) or unicodedata.category(c) == "Cf")
    wide = sum(1 for c in text if unicodedata.east_asian_width(c) in "WF")
    return len(text) + wide - marks


def shorten(text: str, limit: int) -> str:
    """At most `limit` letters' width of `text`, its end replaced by an ellipsis where it was longer."""
    text = " ".join(clean(text).split())
    if columns(text) <= limit:
        return text
    while text and columns(text) > limit - 1:
        text = text[:-1]
    return text + "…"
