"""torch.compile of a Transformer core: one graph to prefill, one to step, whatever the lengths and capacities."""

from __future__ import annotations

import torch

from unrolled.model import build, preset
from unrolled.state import leaves


def test_exactly_two_graphs() -> None:
    torch.manual_seed(0)
    core = build(preset("transformer", 40, width=32, layers=2)).eval().core
    graphs = []

    def counting(graph: torch.fx.GraphModule, example_inputs: list) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(core, backend=counting, fullgraph=True)
    with torch.no_grad():
        for capacity, prompt in ((64, 10), (128, 17), (32, 5), (300, 50)):
            states = [core.start(2, capacity), core.start(2, capacity)]
            x = torch.randn(2, prompt, 32)
            torch._dynamo.mark_dynamic(x, 1)
            for leaf in (leaf for state in states for _, leaf in leaves(state) if leaf.ndim > 1):
                torch._dynamo.mark_dynamic(leaf, 2)  # the slots
            (got, states[0]), (want, states[1]) = compiled(x, states[0]), core(x, states[1])
            torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
            for _ in range(3):
                token = torch.randn(2, 1, 32)
                (got, states[0]), (want, states[1]) = compiled(token, states[0]), core(token, states[1])
                torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    assert len(graphs) == 2
