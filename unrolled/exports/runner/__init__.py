"""The stand-alone Python program of an export: put together from the pieces of this folder that a model needs.

The pieces are modules: they import one another, are checked and tested as the rest, and only need numpy and onnxruntime
(and tokenizers, where a model came with its tokenizer).
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

CODECS = {
    "words": ("words",),
    "items": ("items",),
    "bytes": ("byte",),
    "characters": ("spelling", "characters"),
    "abc": ("spelling", "notation"),
    "bpe": ("bpe",),
    "symbols": ("symbols",),
    "tokenizer": ("imported",),
    **dict.fromkeys(("log_mel", "mfcc", "stacked_mel", "waveform"), ("sound",)),
    **dict.fromkeys(("values", "pixels", "pixel_steps", "patches", "frame_vectors"), ("numbers",)),
}

HEAD = '''"""Runs this model: needs {packages}, nothing else. Written by unrolled {version}.

python run.py --help; from Python: Runner(folder), Codec(runner), Stream(runner).push(step).
"""

'''
TAIL = """

if __name__ == "__main__":
    main({codecs}, sys.argv[1:])
"""
ENDS = {
    "generate": ("writing",),
    "translate": ("reading", "translating"),
}  # of other tasks: reading and answering


def pieces(told: dict[str, Any]) -> list[str]:
    """The modules that a model's program is made of, in order."""
    ends = ENDS.get(told["task"]["kind"], ("reading", "answering"))
    joins = ("together",) if told["codec"]["kind"] == "together" else ()
    needed = dict.fromkeys(name for kind in _kinds(told) for name in CODECS[kind])
    return ["core", *needed, *joins, *ends]


def _kinds(told: dict[str, Any]) -> list[str]:
    """The codecs: of several columns each one's, and the target's where one is written."""
    codec, written = told["codec"], told["task"]["kind"] == "translate"
    read = [field["codec"] for field in codec["fields"]] if codec["kind"] == "together" else [codec]
    return list(dict.fromkeys(each["kind"] for each in (*read, *([told["target"]] if written else []))))


def _joined(told: dict[str, Any]) -> str:
    """The class that reads several columns, of the classes of each, which are named after their modules."""
    kinds = ", ".join(f'"{kind}": {CODECS[kind][-1].title()}' for kind in _kinds(told))
    return f'class Codec(Together):\n    """The columns of this model."""\n\n    kinds = {{{kinds}}}'


def program(told: dict[str, Any]) -> str:
    """The program's text. `told`: the model's description, as `describe` makes it."""
    plain, names = {"sys"}, dict[str, set[str]]()
    several = told["codec"]["kind"] == "together" or len(_kinds(told)) > 1
    bodies = []
    for name in pieces(told):
        source = (Path(__file__).parent / f"{name}.py").read_text("utf-8")
        body = []
        for node in ast.parse(source).body[1:]:  # after the docstring
            if isinstance(node, ast.Import):
                plain |= {
                    alias.name + (f" as {alias.asname}" if alias.asname else "") for alias in node.names
                }
            elif isinstance(node, ast.ImportFrom):
                names.setdefault(node.module or "", set()).update(alias.name for alias in node.names)
            else:
                body.append(ast.get_source_segment(source, node) or "")
        text = "\n\n\n".join(body)
        bodies.append(text.replace("class Codec:", f"class {name.title()}:") if several else text)
        if name == "together":
            bodies.append(_joined(told))
    return (
        HEAD.format(version=told["unrolled"], packages=_packages(told))
        + _imports(plain, names)
        + "\n\n\n"
        + "\n\n\n".join(bodies)
        + TAIL.format(codecs=", ".join(_named(told, several)))
    )


def _packages(told: dict[str, Any]) -> str:
    """What the program's user must have."""
    return "numpy, onnxruntime and tokenizers" if "tokenizer" in _kinds(told) else "numpy and onnxruntime"


def _named(told: dict[str, Any], several: bool) -> list[str]:
    """The classes that read, and that write where a target is written."""
    if told["task"]["kind"] != "translate":
        return ["Codec"]
    return [CODECS[told[side]["kind"]][-1].title() if several else "Codec" for side in ("codec", "target")]


def _imports(plain: set[str], names: dict[str, set[str]]) -> str:
    """Import lines in three blocks: the future, Python's own, others'. Those of one piece from another fall away."""
    lines = [f"import {name}" for name in sorted(plain)]
    lines += [
        f"from {module} import {', '.join(sorted(names[module]))}"
        for module in sorted(names)
        if not module.startswith(("unrolled", "__future__"))
    ]
    own = [line for line in lines if line.split()[1].partition(".")[0] in sys.stdlib_module_names]
    others = [line for line in lines if line not in own]
    return "\n\n".join("\n".join(block) for block in (["from __future__ import annotations"], own, others))
