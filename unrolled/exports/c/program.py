"""From a model's step to the statements of a C function: the graph that torch.export gives is walked once, what is known
is computed, views cost nothing, elementwise chains become one loop, and the table of operations writes the rest.
"""

from __future__ import annotations

import operator
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from unrolled.errors import UserError
from unrolled.exports.c.arrays import (
    Array,
    Memory,
    NotAView,
    Pointwise,
    Value,
    loops,
    nested,
    numel,
    place_of,
    viewed,
)
from unrolled.exports.c.pointwise import expression, literal
from unrolled.exports.c.weights import Weights

VIEWS = {
    "alias", "as_strided", "detach", "diagonal", "expand", "narrow", "permute", "select", "slice", "split",
    "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unsqueeze", "view", "_unsafe_view", "reshape",
}  # fmt: skip
SAME = {"clone", "contiguous", "lift_fresh_copy", "alias", "detach"}
LIKE = {"full_like", "zeros_like", "ones_like", "new_zeros", "new_ones", "new_full", "empty_like"}
Emitter = Callable[..., Any]


class Program:
    """One step of a model, compiled. `lines` are C statements in which temporaries are still called `@7@`.

    inputs: the arrays that the graph's inputs are (the raw step, then the state). table: operations that are more than an
    expression or a view. Raises UserError for an operation that is in none of the tables.
    """

    def __init__(self, weights: Weights, table: dict[str, Emitter]) -> None:
        self.weights, self.table = weights, table
        self.lines: list[str | Callable[[], str]] = []
        self.temporaries: list[Memory] = []
        self.node: fx.Node | None = None
        self.values: dict[fx.Node, Any] = {}
        self.leaves: list[str] = []  # the graph's names for the state's leaves, in order

    def walk(self, graph: fx.Graph, inputs: dict[str, Value]) -> list[Value]:
        """Compiles every node; returns the values of the graph's outputs, in order."""
        for node in graph.nodes:
            self.node = node
            if node.op == "placeholder":
                self.values[node] = inputs.get(node.name)
            elif node.op == "output":
                continue
            elif node.users:  # checks and leftovers have none
                self.values[node] = self._shared(node, self._value(node))
        returned: Any = graph.output_node().args[0]
        return [self.values[node] for node in returned]

    def _shared(self, node: fx.Node, value: Any) -> Any:
        """What several operations read is computed once."""
        readers = [user for user in node.users if user.users or user.op == "output"]
        return self.array(value) if isinstance(value, Pointwise) and len(readers) > 1 else value

    def _value(self, node: fx.Node) -> Any:
        arguments: Any = fx.node.map_arg((node.args, node.kwargs), lambda arg: self.values[arg])
        args, kwargs = arguments
        if node.target is operator.getitem:
            return args[0][args[1]]
        name = name_of(node)
        if name in LIKE:
            args = (torch.zeros(args[0].shape, dtype=args[0].dtype), *args[1:])
        if not any(isinstance(x, (Array, Pointwise)) for x in _flat((args, kwargs))):
            return node.target(*args, **kwargs)  # type: ignore[operator]
        if name in SAME:
            return args[0]
        if name in VIEWS:
            return self._view(node, args, kwargs)
        if name in self.table:
            return self.table[name](self, *args, **kwargs)
        known = node.meta["val"]
        made = expression(name, args, kwargs, tuple(known.shape), known.dtype)
        if made is None:
            raise self.unknown()
        return self._calm(made)

    def unknown(self, why: str = "") -> UserError:
        """The refusal of the operation that is being compiled."""
        assert self.node is not None
        where = list(self.node.meta.get("nn_module_stack", {}).values())
        layer = f", in {where[-1][0]}" if where else ""
        return UserError(
            f"to=c has no form for the operation {self.node.target}{why}{layer}. What is made of rnn, gru, lstm, mingru, "
            "conv, window, attention, ffn, positions and pool does export. Export with to=onnx instead."
        )

    def _view(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        base, rest = args[0], args[1:]
        if isinstance(base, Pointwise) and _widens(node, base):
            base = self.array(base)
        several = isinstance(node.meta["val"], (tuple, list))

        def change(at: int | None) -> Callable[[Tensor], Tensor]:
            def apply(tensor: Tensor) -> Tensor:
                out = node.target(tensor, *rest, **kwargs)  # type: ignore[operator]
                found: Tensor = out if at is None else out[at]
                return found

            return apply

        try:
            if several:
                return [viewed(base, change(at)) for at in range(len(node.meta["val"]))]
            return viewed(base, change(None))
        except NotAView:
            base = self.contiguous(base)
        return viewed(base, change(None))

    def _calm(self, made: Pointwise) -> Pointwise:
        """An operand that would be computed several times over is computed before."""
        operands = []
        for number, operand in enumerate(made.operands):
            again = made.template.count(f"{{{number}}}") > 1 or numel(operand) < numel(
                Pointwise("", (), made.shape, made.dtype)
            )
            operands.append(self.array(operand) if again and isinstance(operand, Pointwise) else operand)
        return Pointwise(made.template, tuple(operands), made.shape, made.dtype)

    # What the table's functions use

    def line(self, *lines: str) -> None:
        """Appends statements."""
        self.lines.extend(lines)

    def late(self, make: Callable[[], str]) -> None:
        """Appends a statement that can only be written once all matrices are known."""
        self.lines.append(make)

    def new(self, shape: Sequence[int], dtype: torch.dtype) -> Array:
        """A temporary."""
        made = Array.of(shape, dtype)
        self.temporaries.append(made.memory)
        return made

    def array(self, value: Value) -> Array:
        """A value in memory."""
        if isinstance(value, Array):
            return value
        if isinstance(value, Tensor):
            return self.weights.array(value)
        made = self.new(value.shape, value.dtype)
        self.store(made, value)
        return made

    def contiguous(self, value: Value) -> Array:
        """A value in memory, its numbers one after the other."""
        array = self.array(value)
        if array.place.is_contiguous():
            return array
        made = self.new(array.shape, array.dtype)
        self.store(made, array)
        return made

    def store(self, target: Array, value: Value) -> None:
        """target = value, which is broadcast."""
        if not numel(target):
            return
        places, leaves = [place_of(target)], []

        def name(leaf: Value) -> str:
            if isinstance(leaf, Pointwise):
                return leaf.template.format(
                    *(name(_wide(operand, target.shape)) for operand in leaf.operands)
                )
            if isinstance(leaf, Tensor) and (number := uniform(leaf)) is not None:
                return literal(number, leaf.dtype)
            array = self.array(leaf)
            leaves.append(array)
            places.append(place_of(array))
            return f"#{len(leaves)}#"

        text = name(_wide(value, target.shape))
        named, indices = loops(target.shape, places)
        text = re.sub(
            r"#(\d+)#", lambda m: f"{leaves[int(m[1]) - 1].memory.token}[{indices[int(m[1])]}]", text
        )
        text = text[1:-1] if text.startswith("(") and _closes_last(text) else text
        self.line(*nested(named, [f"{target.memory.token}[{indices[0]}] = {text};"]))


def traced(step: nn.Module, raw: Tensor, before: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """One row's step as a graph of aten operations, all sizes known."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, about how it copies a graph
        exported: Any = torch.export.export(step, (raw, *before), strict=False)
        made: torch.export.ExportedProgram = exported.run_decompositions()
        return made


def name_of(node: fx.Node) -> str:
    """`add` of aten.add.Tensor."""
    return str(node.target).removeprefix("aten.").split(".")[0]


def uniform(tensor: Tensor) -> float | int | bool | None:
    """The number a constant consists of, None where it has several."""
    first = tensor.reshape(-1)[0]
    return first.item() if tensor.numel() == 1 or bool((tensor == first).all()) else None


def _wide(value: Value, shape: tuple[int, ...]) -> Value:
    return value if tuple(value.shape) == shape else viewed(value, lambda tensor: tensor.expand(shape))


def _closes_last(text: str) -> bool:
    """Whether the first bracket is closed by the last one."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return at == len(text) - 1
    return False


def _widens(node: fx.Node, base: Pointwise) -> bool:
    known = node.meta["val"]
    return isinstance(known, Tensor) and known.numel() > numel(base)


def _flat(tree: Any) -> list[Any]:
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in _flat(part)]
    return [leaf for part in tree.values() for leaf in _flat(part)] if isinstance(tree, dict) else [tree]
