"""What holds for every mixer: packing, padding, causality and reach."""

from __future__ import annotations

import torch
from torch import Tensor

from unrolled.errors import UserError
from unrolled.law.checker import Checker, real
from unrolled.layout import Layout
from unrolled.state import detach


def packed_documents(c: Checker) -> None:
    """Documents packed in one row answer as documents one by one."""
    with torch.no_grad():
        lengths = [1, 4, 2, 5, 3]
        documents = [c.draw(n, 1) for n in lengths]
        valid = torch.ones(1, sum(lengths), dtype=torch.bool, device=c.device)
        start = torch.zeros_like(valid)
        start[0, [0, 1, 5, 7, 12]] = True
        if not c.conditioned:
            packed, _ = c.run(torch.cat(documents, 1), None, Layout(valid, start))
            alone = torch.cat([c.run(document, None, None)[0] for document in documents], 1)
            c.compare("packed = one by one", packed, alone, f"documents of {lengths} tokens, without state")
        if c.streams:
            packed, _ = c.run(torch.cat(documents, 1), c.start(1), Layout(valid, start))
            alone = torch.cat([c.run(document, c.start(1), None)[0] for document in documents], 1)
            c.compare("packed = one by one", packed, alone, f"documents of {lengths} tokens, with state")


def ragged_rows(c: Checker) -> None:
    """A row in a padded rectangle answers as the row alone."""
    layout, x = c.layout(), c.draw()
    layout = Layout(layout.valid, torch.zeros_like(layout.start))
    with torch.no_grad():
        together, _ = c.run(x, c.begin(), layout)
        for row, length in enumerate(layout.lengths.tolist()):
            alone, _ = c.run(x[row : row + 1, :length], c.begin(1, row), None)
            c.compare("ragged = alone", together[row : row + 1, :length], alone, f"a row of {length} tokens")


def padding(c: Checker) -> None:
    """What stands in padding reaches no output, no state and no gradient."""
    layout, x = c.layout(), c.draw()
    if not x.is_floating_point():
        return c.unchecked("padding changes nothing", "the inputs aren't floating numbers")
    where = f"padding of {c.poison}"
    poisoned = torch.where(layout.valid[..., None], x, c.poison)
    clean = torch.where(layout.valid[..., None], x, 0.0)
    results, ends = [], []
    for raw in (clean, poisoned):
        raw = raw.clone().requires_grad_()
        y, end = c.run(raw, c.start() if c.streams else None, layout)
        ends.append(detach(end))
        total = real(y, layout).square().sum()
        wanted = [raw, *(p for p in c.mixer.parameters() if p.requires_grad)]
        results.append((y, torch.autograd.grad(total, wanted, allow_unused=True)))
    (y_clean, g_clean), (y_poisoned, g_poisoned) = results
    if c.streams:
        with torch.no_grad():
            c.same_state("padding changes nothing", ends[1], ends[0], where)
    c.compare("padding changes nothing", real(y_poisoned, layout), real(y_clean, layout), where)
    c.same_gradients("padding: gradients", g_poisoned, g_clean, where)
    if g_poisoned[0] is not None:
        leak = g_poisoned[0][~layout.valid]
        c.holds("padding: gradients", not leak.any(), "a gradient into the padding")


def _jacobian(c: Checker, time: int) -> Tensor | None:
    """(T, T): the largest |d y_t / d x_s| over a row; None for raw inputs that aren't numbers."""
    x = c.draw(time, c.batch if c.conditioned else 16)
    if not x.is_floating_point():
        return None
    x.requires_grad_()
    y, _ = c.run(x, c.begin(), None)
    rows = []
    for t in range(time):
        (g,) = torch.autograd.grad(y[:, t].square().sum(), x, retain_graph=True, allow_unused=True)
        rows.append(x.new_zeros(time) if g is None else g.abs().amax((0, 2)))
    return torch.stack(rows)


def reach(c: Checker) -> None:
    """Nothing above the diagonal when causal; the gradient reaches exactly as far as declared."""
    past, future = c.mixer.reach  # type: ignore[misc]
    time = c.time if past == float("inf") else min(int(past) + 4, 200)
    jacobian = _jacobian(c, time)
    if jacobian is None:
        return c.unchecked("declared reach", "the inputs aren't floating numbers")
    if future == 0:
        c.found("causality", "gradient from the future", float(jacobian.triu(1).abs().max()), 0.0)
    if past < time - 1:
        beyond = float(jacobian.tril(-int(past) - 1).abs().max())
        c.found("declared reach", f"sees beyond its declared past of {past}", beyond, 0.0)
    furthest = time - 1 if past == float("inf") else min(int(past), time - 1)
    silent = float(jacobian[time - 1, time - 1 - furthest]) == 0.0
    complaint = f"d y[{time - 1}] / d x[{time - 1 - furthest}] is 0: declared {past}"
    c.holds("declared reach", not silent, complaint)


def cannot_stream(c: Checker) -> None:
    """What looks ahead refuses to start, in words."""
    try:
        c.start()
    except UserError:
        return
    c.holds("start of what can't stream", False, "start() gave a state; it must raise UserError")
