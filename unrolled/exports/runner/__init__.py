"""The stand-alone Python program of an export: put together from the pieces of this folder that a model needs.

The pieces are modules: they import one another, are checked and tested as the rest, and only need numpy and onnxruntime.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

CODECS = {
    "words": ("words",),
    "items": ("items",),
    "bytes": ("byte",),
    "characters": ("spelling", "characters"),
    "abc": ("spelling", "notation"),
    "bpe": ("bpe",),
    **dict.fromkeys(("log_mel", "mfcc", "waveform"), ("sound",)),
    **dict.fromkeys(("values", "pixels", "pixel_steps", "patches", "frame_vectors"), ("numbers",)),
}
OTHERS = ("steps",)  # of a codec that isn't there: the model's own steps

HEAD = '''"""Runs this model: needs numpy and onnxruntime, nothing else. Written by unrolled {version}.

python run.py --help; from Python: Runner(folder), Codec(runner), Stream(runner).push(step).
"""
'''
TAIL = """

if __name__ == "__main__":
    main(Codec, sys.argv[1:])
"""


def pieces(told: dict[str, Any]) -> list[str]:
    """The modules that a model's program is made of, in order."""
    ends = ("writing",) if told["task"]["kind"] == "generate" else ("reading", "answering")
    return ["core", *CODECS.get(told["codec"]["kind"], OTHERS), *ends]


def program(told: dict[str, Any]) -> str:
    """The program's text. `told`: the model's description, as `describe` makes it."""
    imports = {"import sys"}
    bodies = []
    for name in pieces(told):
        source = (Path(__file__).parent / f"{name}.py").read_text("utf-8")
        tree = ast.parse(source)
        body = []
        for node in tree.body[1:]:  # after the docstring
            lines = ast.get_source_segment(source, node) or ""
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imports.add(lines)
            else:
                body.append(lines)
        bodies.append("\n\n\n".join(body))
    kept = sorted(line for line in imports if "unrolled" not in line)
    kept.sort(key=lambda line: ("__future__" not in line, "numpy" in line or "onnxruntime" in line, line))
    return (
        HEAD.format(version=told["unrolled"])
        + "\n"
        + "\n".join(kept)
        + "\n\n\n"
        + "\n\n\n".join(bodies)
        + TAIL
    )
