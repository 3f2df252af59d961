"""Help: five examples, the table of verbs, and a verb's keys with their defaults."""

from __future__ import annotations

import textwrap

from unrolled.cli.table import EXAMPLES, GROUPS, OF_VERBS, SWITCHES, VERBS, VerbFile

WIDTH = 100


def examples() -> str:
    """What `unrolled` alone prints."""
    width = max(len(command) for command, _ in EXAMPLES)
    return "\n".join(f"  {command:<{width}}   # {why}" for command, why in EXAMPLES)


def overview() -> str:
    """What `unrolled --help` prints."""
    lines = ["Sequence models, unrolled.", "", "  unrolled VERB key=value ...", ""]
    for group in GROUPS:
        verbs = [(name, verb.summary) for name, verb in VERBS.items() if verb.group == group]
        if verbs:
            lines += [group, *(f"  {name:<11}{summary}" for name, summary in verbs), ""]
    lines += [
        "  --json  --check  --dry-run  --debug  -q  -c FILE      unrolled VERB --help shows its keys",
        "  exit codes: 0 ok, 1 failed, 2 usage or data, 4 missing package, 5 check not met, 6 not a number",
    ]
    return "\n".join(lines)


def of_verb(verb: str, file: VerbFile) -> str:
    """What `unrolled VERB --help` prints."""
    from unrolled.config import keys_of
    from unrolled.config.writing import show

    cls = file.keys()
    words = "".join(f" [{word.upper()}]" for word in file.WORDS)
    lines = [f"unrolled {verb}{words}{' key=value ...' if cls else ''}", "", f"  {VERBS[verb].summary}", ""]
    known = keys_of(cls) if cls else {}
    shown = [(k.name, "needed" if k.required else show(k.default), k.help) for k in known.values()]
    shown = [(name, "-" if default == "none" else default, text) for name, default, text in shown]
    name_width = max((len(name) for name, _, _ in shown), default=0)
    default_width = max((min(len(default), 12) for _, default, _ in shown), default=0)
    if shown:
        lines.append("keys and their defaults (-: chosen for you)")
    indent = " " * (name_width + default_width + 6)
    for name, default, text in shown:
        head = f"  {name:<{name_width}}  {default:<{default_width}}  "
        lines += textwrap.wrap(head + text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    own = [s for s in SWITCHES if s not in OF_VERBS or s in file.SWITCHES]
    lines += ["", "switches", *(f"  {'-q' if s == 'quiet' else '--' + s:<10} {SWITCHES[s]}" for s in own)]
    if cls:
        lines.append("  -c FILE    read keys from a TOML file")
    return "\n".join([*lines, "", "examples", *(f"  {example}" for example in file.EXAMPLES)])
