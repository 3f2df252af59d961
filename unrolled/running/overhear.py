"""What each mixer of a model names while it runs, told apart by the place it has in the model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from unrolled.mixer import Mixer, listen

OUTPUT = "y"  # a mixer's output, as the law calls it

Hear = Callable[[str, str, Tensor], "Tensor | None"]


@contextmanager
def overheard(module: nn.Module, hear: Hear) -> Iterator[None]:
    """Within the block `hear(path, name, value)` is told what each mixer inside `module` names, and its output as `y`, in
    the order in which it happens; a tensor that it returns for a `y` takes that one's place.

    path: of the innermost mixer that runs, as `named_modules` writes it, "" for `module` itself. An embedder's output is
    told too. Other threads that use the model meanwhile aren't heard, but take the slow way as well.
    """
    inside: list[str] = []
    mine = threading.get_ident()

    def named(name: str, value: Tensor) -> None:
        if inside and threading.get_ident() == mine:
            hear(inside[-1], name, value)

    def enter_as(path: str) -> Callable[..., None]:
        def enter(*_: object) -> None:
            if threading.get_ident() == mine:
                inside.append(path)

        return enter

    def leave(module: nn.Module, _: object, said: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | None:
        if threading.get_ident() != mine:
            return None
        path = inside.pop()
        changed = None if said is None else hear(path, OUTPUT, said[0])
        return None if said is None or changed is None else (changed, *said[1:])

    with ExitStack() as stack:
        for path, part in module.named_modules():
            if isinstance(part, Mixer) or path.split(".")[-1] == "embedder":
                stack.callback(part.register_forward_pre_hook(enter_as(path)).remove)
                stack.callback(part.register_forward_hook(leave, always_call=True).remove)
        stack.enter_context(listen(named))
        yield
