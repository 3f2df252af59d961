"""The files: model.h, model.c, example.c and, for large models, model.bin."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unrolled.exports.c.arrays import C_TYPES, Array, Memory, numel
from unrolled.exports.c.operators import TABLE
from unrolled.exports.c.pointwise import cast, literal
from unrolled.exports.c.program import Program, traced, uniform
from unrolled.exports.c.support import needed
from unrolled.exports.c.texts import (
    EXAMPLE,
    HEADER,
    SOURCE,
    WEIGHTS_LOAD,
    WEIGHTS_TYPE,
    comment,
    filled,
    quoted,
    tidy,
)
from unrolled.exports.c.weights import Weights, written
from unrolled.exports.graph import Leaf, Step, example
from unrolled.model.weights import fingerprint

if TYPE_CHECKING:
    from unrolled.model import Model

# Stored numbers up to which they stand in model.c: gcc takes 5 microseconds and 300 bytes of memory for each, so 10 s and
# 600 MB at most.
INLINE = 2**21


@dataclass(frozen=True)
class Sources:
    """What is written. binary: the numbers of model.bin; None where they stand in `source`."""

    header: str
    source: str
    example: str
    binary: bytes | None
    inputs: int  # numbers a step: 1 where the input is a token
    tokens: bool
    answers: int
    state_bytes: int
    stored: int  # numbers of weights

    def files(self) -> dict[str, bytes]:
        """Name -> content."""
        texts = {"model.h": self.header, "model.c": self.source, "example.c": self.example}
        made = {name: text.encode() for name, text in texts.items()}
        return made if self.binary is None else made | {"model.bin": self.binary}


def compiled(model: Model, weights: str = "fp32", capacity: int = 0, inline: int = INLINE) -> Sources:
    """A model in eval mode as C. weights: "fp32", or "int8" or "bf16" for the matrices that these hold exactly (see
    `rounding.rounded`). capacity: steps that attention's Slots hold. inline: stored numbers that model.c may hold.

    Raises UserError for a model that can't stream and for an operation without a C form.
    """
    step = Step(model, capacity)
    raw = example(model.embedder, 1, None)
    exported = traced(step, raw, step.start(1, capacity))
    pool = Weights(weights, names={})
    program = Program(pool, TABLE)
    inputs: dict[str, Any] = {}
    stateful = iter(step.leaves)
    for spec in exported.graph_signature.input_specs:
        name = spec.arg.name
        if spec.target is not None:
            held = exported.constants if spec.target in exported.constants else exported.state_dict
            value = held[spec.target]
            inputs[name] = value.detach() if isinstance(value, torch.Tensor) else value
            pool.names[value.untyped_storage()._cdata] = c_name(spec.target.removeprefix("model."))
        elif name == "raw":
            inputs[name] = Array.of(raw.shape, raw.dtype, "input")
        else:
            leaf = next(stateful)
            inputs[name] = Array.of(leaf.start.shape, leaf.start.dtype, f"state->{c_name(leaf.before)}")
            program.leaves.append(name)
    answer, *after = program.walk(exported.graph, inputs)
    befores = [inputs[name] for name in program.leaves]
    finish(program, answer, list(zip(befores, after, strict=True)))
    return _texts(model, step, program, raw, numel(answer), capacity, inline)


def c_name(name: str) -> str:
    """`state_0_hidden` of state.0.hidden."""
    return re.sub(r"\W", "_", name)


def finish(program: Program, answer: Any, states: Sequence[tuple[Array, Any]]) -> None:
    """The answer and the next state, written once everything is computed: what is new may be made of any old leaf."""
    said = program.contiguous(cast(answer, torch.float32))
    changed = []
    for before, after in states:
        kept = isinstance(after, Array) and after.memory is before.memory
        if kept and after.place.stride() == before.place.stride() and after.shape == before.shape:
            continue
        made = program.contiguous(after)
        if made.memory.name is not None:  # another leaf, which is about to change
            copied = program.new(made.shape, made.dtype)
            program.store(copied, made)
            made = copied
        changed.append((before, made))
    for before, made in changed:
        program.line(f"memcpy({before.memory.token}, {made.pointer}, sizeof {before.memory.token});")
    program.line(f"memcpy(answer, {said.pointer}, sizeof(float) * {numel(said)});")


def named(program: Program) -> tuple[list[str], list[str]]:
    """(declarations, statements): temporaries whose lifetimes don't meet share an array."""
    lines = [line if isinstance(line, str) else line() for line in program.lines]
    last: dict[int, int] = {}
    for at, line in enumerate(lines):
        for number in re.findall(r"@(\d+)@", line):
            last[int(number)] = at
    memories = {memory.number: memory for memory in program.temporaries}
    free: list[tuple[Memory, str]] = []
    names: dict[int, str] = {}
    slots: dict[str, tuple[torch.dtype, int]] = {}
    busy: list[tuple[int, int]] = []  # (last line, memory)
    for at, line in enumerate(lines):
        for number in map(int, re.findall(r"@(\d+)@", line)):
            if number in names:
                continue
            wanted = memories[number]
            fits = [slot for slot in free if slot[0].dtype == wanted.dtype]
            best = min(fits, key=lambda slot: abs(slots[slot[1]][1] - wanted.size), default=None)
            if best is None:
                name = f"t{len(slots)}"
                slots[name] = wanted.dtype, wanted.size
            else:
                free.remove(best)
                name = best[1]
                slots[name] = wanted.dtype, max(wanted.size, slots[name][1])
            names[number] = name
            busy.append((last[number], number))
        for end, number in list(busy):
            if end <= at and not _inside(lines, at):
                busy.remove((end, number))
                free.append((memories[number], names[number]))
    declared = [f"{C_TYPES[dtype]} {name}[{size}];" for name, (dtype, size) in slots.items()]
    return declared, [re.sub(r"@(\d+)@", lambda m: names[int(m[1])], line) for line in lines]


def _inside(lines: Sequence[str], at: int) -> bool:
    """Whether the statement goes on in the next line."""
    return at + 1 < len(lines) and lines[at + 1].startswith((" ", "}"))


def _texts(
    model: Model, step: Step, program: Program, raw: torch.Tensor, answers: int, capacity: int, inline: int
) -> Sources:
    declared, lines = named(program)
    pool = program.weights
    tokens = not raw.dtype.is_floating_point
    names = names_of(model, answers)
    words = set(re.findall(r"\w+", "\n".join(lines)))
    pieces = [piece for piece in pool.pieces() if piece[1] in words]  # some are known to be a single number
    stored = sum(len(numbers) for _, _, numbers, _ in pieces)
    apart = stored > inline
    fields = {
        "version": version("unrolled"),
        "sha256": fingerprint(model),
        "about": comment(about(model, tokens, names, answers)),
        "inputs": "1" if tokens else str(raw.numel()),
        "answers": str(answers),
        "vocabulary": f"#define UNROLLED_VOCABULARY {model.embedder.vocabulary}\n" if tokens else "",
        "capacity": f"#define UNROLLED_CAPACITY {capacity} /* steps until UNROLLED_FULL */\n"
        if any(leaf.grows for leaf in step.leaves)
        else "",
        "state": "\n".join(_field(leaf) for leaf in step.leaves)
        or "    char nothing; /* this model remembers nothing */",
        "input": "int64_t input" if tokens else "const float input[UNROLLED_INPUTS]",
        "names": f"extern const char *const unrolled_names[{answers}]; /* of each answer */\n"
        if names
        else "",
        "start": "\n".join("    " + line for leaf in step.leaves for line in _begun(leaf)),
        "guards": "\n".join("    " + line for line in _guards(step, tokens, capacity)),
        "declared": "\n".join("    " + line for line in declared),
        "lines": "\n".join("    " + part for line in lines for part in line.splitlines()),
        "support": needed("\n".join(lines)),
        "table": _table(names),
        "strings": "Token texts" if tokens else "Names",
    }
    fields |= _apart(pieces) if apart else _inline(pieces)
    fields |= {
        "weights_argument": "const unrolled_weights *weights, " if apart else "",
        "weights_given": "&weights, " if apart else "",
        "step_input": "int64_t input_id" if tokens else "const float input[UNROLLED_INPUTS]",
    }
    header, source, shown = (tidy(filled(text, fields)) for text in (HEADER, SOURCE, EXAMPLE[tokens, apart]))
    binary = (
        b"".join(np.ascontiguousarray(numbers).tobytes() for _, _, numbers, _ in pieces) if apart else None
    )
    held = sum(leaf.start.numel() * leaf.start.element_size() for leaf in step.leaves)
    return Sources(header, source, shown, binary, 1 if tokens else raw.numel(), tokens, answers, held, stored)


def _field(leaf: Leaf) -> str:
    shape = ", ".join(map(str, leaf.start.shape[1:]))
    return f"    {C_TYPES[leaf.start.dtype]} {c_name(leaf.before)}[{max(1, leaf.start.numel())}]; /* ({shape}) */"


def _begun(leaf: Leaf) -> list[str]:
    """What differs from zero before the first step."""
    name, values = f"state->{c_name(leaf.before)}", leaf.start.reshape(-1)
    if not values.numel() or not values.any():
        return []
    if (number := uniform(values)) is not None:
        return [f"for (int i = 0; i < {values.numel()}; ++i) {name}[i] = {literal(number, values.dtype)};"]
    return [f"{name}[{at}] = {literal(v, values.dtype)};" for at, v in enumerate(values.tolist()) if v]


def _guards(step: Step, tokens: bool, capacity: int) -> list[str]:
    """What is refused before anything changes: inputs that are no numbers, steps beyond what attention's slots hold."""
    lines = ["const int64_t input[1] = {input_id};"] if tokens else []
    if not tokens:
        lines.append(
            "for (int i = 0; i < UNROLLED_INPUTS; ++i) if (!isfinite(input[i])) return UNROLLED_OUTSIDE;"
        )
    known = {leaf.name for leaf in step.leaves}
    counters = {leaf.name.rpartition(".")[0] + ".filled" for leaf in step.leaves if leaf.grows}
    for name in sorted(counters & known):
        lines.append(f"if (state->{c_name('state.' + name)}[0] >= UNROLLED_CAPACITY) return UNROLLED_FULL;")
    return lines


def _inline(pieces: Sequence[tuple[str, str, np.ndarray, str]]) -> dict[str, str]:
    made = [
        f"/* {text} */\nstatic const {kind} {name}[{len(numbers)}] = {{\n{written(kind, numbers)}}};"
        for kind, name, numbers, text in pieces
    ]
    return {"weights": "\n\n".join(made), "weights_type": "", "weights_load": "", "weights_names": ""}


def _apart(pieces: Sequence[tuple[str, str, np.ndarray, str]]) -> dict[str, str]:
    fields = "\n".join(
        f"    {kind} {name}[{len(numbers)}]; /* {text} */" for kind, name, numbers, text in pieces
    )
    reads = "\n".join(
        f"    whole = whole && fread(weights->{name}, sizeof weights->{name}, 1, file) == 1;"
        for _, name, _, _ in pieces
    )
    return {
        "weights": "",
        "weights_type": filled(WEIGHTS_TYPE, {"fields": fields}),
        "weights_load": filled(WEIGHTS_LOAD, {"reads": reads}),
        "weights_names": "\n".join(f"#define {name} (weights->{name})" for _, name, _, _ in pieces) + "\n",
    }


def names_of(model: Model, answers: int) -> list[str]:
    """What the answers are called, as far as the task says: tokens' texts, classes, columns. Empty: nothing."""
    task: Any = model.task
    if task is None:
        return []
    name: Callable[[int], str] | None = getattr(getattr(task, "codec", None), "token_text", None)
    if task.kind == "generate" and name is not None:
        return [name(number) for number in range(answers)]
    found: Any = getattr(getattr(task, "answers", None), "names", None) or getattr(task, "targets", ())
    return list(found) if len(found) == answers else []


def about(model: Model, tokens: bool, names: Sequence[str], answers: int) -> str:
    """What the model is, and what its answers are."""
    kinds = ", ".join(type(layer).__name__ for layer in model.core.layers)
    said = {"generate": "logits of the next token", "regress": "numbers in the target's unit"}
    kind: str = getattr(model.task, "kind", "")
    what = said.get(kind, "probabilities" if kind else "the head's outputs")
    read = "a token id" if tokens else "numbers"
    return f"{kinds}. Input of a step: {read}. Answers: {answers}, {what}."


def _table(names: Sequence[str]) -> str:
    if not names:
        return ""
    rows = ",\n".join(f"    {quoted(name)}" for name in names)
    return f"const char *const unrolled_names[{len(names)}] = {{\n{rows}}};\n"
