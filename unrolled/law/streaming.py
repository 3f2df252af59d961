"""What holds for mixers that stream: cuts, single tokens, gradients through states, the rules of State."""

from __future__ import annotations

import torch

from unrolled.law.checker import Checker, real
from unrolled.layout import Layout
from unrolled.state import fork, leaves, pick, put


def random_cuts(c: Checker) -> None:
    """Any cuts of ragged and packed rows: the same outputs, and a state that goes on the same."""
    with torch.no_grad():
        for attempt in range(c.cuts):
            x, layout = c.draw(), c.layout() if attempt % 4 else None
            _, state = c.run(c.draw(3), c.start(), None)
            cuts = sorted(c.number(0 if c.guarded else 1, c.time) for _ in range(c.number(1, 4)))
            cuts = cuts if c.guarded else sorted(set(cuts))
            want, end = c.run(x, fork(state), layout)
            got, end_of_pieces = c.in_pieces(x, fork(state), layout, cuts)
            where = f"cut {attempt} at {cuts}, {'dense' if layout is None else 'ragged and packed'}"
            c.compare("random cuts", real(got, layout), real(want, layout), where)
            c.same_state("state after random cuts", end_of_pieces, end, where)


def token_by_token(c: Checker) -> None:
    """One token a call is the whole sequence; and a call without a state returns none."""
    with torch.no_grad():
        for layout in (None, c.layout(), c.layout()):
            x = c.draw()
            want, end = c.run(x, c.start(), layout)
            got, last = c.in_pieces(x, c.start(), layout, list(range(1, c.time)))
            c.compare("token by token", real(got, layout), real(want, layout), "one token a call")
            c.same_state("state token by token", last, end, "one token a call")
            alone, none = c.run(x, None, layout)
            c.compare("with state = without", real(alone, layout), real(want, layout), "from the start")
            c.found(
                "no state in, no state out",
                f"got {type(none).__name__}",
                float(none is not None and none != ()),
                0,
            )


def no_tokens(c: Checker) -> None:
    """A call without tokens, or of padding alone, leaves the state as it is."""
    if not c.guarded:
        return
    with torch.no_grad():
        _, state = c.run(c.draw(), c.start(), None)
        y, after = c.run(c.draw(0), fork(state), None)
        c.found("T = 0", f"output of shape {tuple(y.shape)}", float(y.shape[1] != 0), 0)
        c.same_state("T = 0", after, state, "a call without tokens")
        empty = torch.zeros(c.batch, c.time, dtype=torch.bool, device=c.device)
        _, after = c.run(c.draw(), fork(state), Layout(empty, empty))
        c.same_state("only padding", after, state, "a call of padding alone")


def gradients_across_cuts(c: Checker) -> None:
    """Backpropagation through the states of pieces: the gradients of the whole, parameters included."""
    for layout in (None, c.layout(), c.layout()):
        x = c.draw()
        weight = torch.randn(c.run(x, None, layout)[0].shape, generator=c.generator, dtype=torch.float64).to(
            x.device
        )
        gradients = []
        for cuts in ([], sorted({c.number(1, c.time), c.number(1, c.time)})):
            raw = x.clone().requires_grad_() if x.is_floating_point() else x
            y, _ = c.in_pieces(raw, c.start(), layout, cuts)
            wanted = [p for p in (raw, *c.mixer.parameters()) if p.requires_grad]
            total = (real(y, layout) * real(weight, layout).to(y.dtype)).sum()
            gradients.append(
                torch.autograd.grad(total, wanted, allow_unused=True) if total.requires_grad else ()
            )
        for want, got in zip(*gradients, strict=True):
            if want is not None and got is not None:
                c.compare("gradients across cuts", got, want, f"cut at {cuts}", gradient=True)
            else:
                c.found(
                    "gradients across cuts",
                    "a parameter without gradient",
                    float((want is None) != (got is None)),
                    0,
                )


def rules_of_state(c: Checker) -> None:
    """Structure, dtypes and strides as `start` gave them; no shared storage, no buffer; rows picked and put."""
    with torch.no_grad():
        begin = c.start()
        described = [(n, leaf.shape, leaf.dtype, leaf.stride()) for n, leaf in leaves(begin)]
        storages = [leaf.untyped_storage().data_ptr() for _, leaf in leaves(begin) if leaf.numel()]
        c.found("rules of State", "leaves share storage", float(len(set(storages)) != len(storages)), 0)
        owned = {
            p.untyped_storage().data_ptr()
            for p in (*c.mixer.state_dict().values(), *c.mixer.buffers())
            if p.numel()
        }
        c.found("rules of State", "the state is a parameter or buffer", float(bool(owned & set(storages))), 0)
        for layout in (None, c.layout()):
            _, end = c.run(c.draw(), c.start(), layout)
            for (name, shape, dtype, stride), (_, leaf) in zip(described, leaves(end), strict=True):
                stride = stride if leaf.numel() else leaf.stride()  # nothing is stored, nothing to step over
                same = (leaf.shape, leaf.dtype, leaf.stride()) == (shape, dtype, stride)
                got = f"{name}: {tuple(leaf.shape)} {leaf.dtype} strides {leaf.stride()}"
                got += f", start gave {tuple(shape)} {dtype} strides {stride}"
                c.found("rules of State", got if not same else "structure", float(not same), 0)
                c.found("rules of State", f"{name} isn't batch first", float(leaf.shape[0] != c.batch), 0)
        _, state = c.run(c.draw(), c.start(), None)
        rows = torch.tensor([2, 0, 1], device=c.device)
        x = c.draw(3)
        want, _ = c.run(x, fork(state), None)
        got_rows, _ = c.run(x[rows], pick(state, rows), None)
        c.compare("pick and put rows", got_rows, want[rows], "rows 2, 0, 1")
        swapped = put(c.start(), rows, pick(state, rows))
        c.compare("pick and put rows", c.run(x, swapped, None)[0], want, "rows put back")


def many_documents(c: Checker) -> None:
    """100 documents, one after the other, through a capacity of twice the longest."""
    with torch.no_grad():
        longest, state = 6, c.start(capacity=12)
        for number in range(100):
            x = c.draw(c.number(1, longest + 1))
            start = torch.zeros(c.batch, x.shape[1], dtype=torch.bool, device=c.device)
            start[:, 0] = True
            got, state = c.run(x, state, Layout(torch.ones_like(start), start))
            want, _ = c.run(x, c.start(), None)
            c.compare("100 documents, one state", got, want, f"document {number}")
