"""The classic recurrent networks: RNN (Elman 1990), LSTM (Hochreiter & Schmidhuber 1997; forget gate Gers et al.
2000), GRU (Cho et al. 2014), in the semantics and under the parameter names of `torch.nn`.

Each cell's equation is written once, in `cell`. `forward` takes the fastest way to the same numbers:
`torch.lstm` and its sisters for whole sequences, for one step torch's fused cells or, where the weights are heavy, the
cell itself, whose products are then the faster ones. Where a layout says that rows are ragged, they are taken longest
first and leave as they end; where it says that they are packed, LSTM and GRU are steered by one or two more input columns
that open or shut their gates, in one call of constant shape; the plain RNN, which has no gates, takes all documents as
rows.

Initialisation: recurrent matrices orthogonal, a gate at a time (Saxe et al. 2014, arXiv:1312.6120), input
matrices Glorot uniform (Glorot & Bengio 2010), biases 0 but the LSTM's forget gate 1 (Gers et al. 2000, sec. 4;
Jozefowicz et al. 2015, sec. 2.2).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.errors import UserError
from unrolled.kernels import affine, quick
from unrolled.layout import Layout, select
from unrolled.mixer import Mixer, listening, note
from unrolled.mixers.ragged import by_length, shrink, stretch
from unrolled.mixers.scan import stepwise
from unrolled.state import Source, State

HEAVY = 2**20  # recurrent weights on a CPU from which `affine` gains more than the calls around it cost
SHUT = 1e4  # a gate's pre-activation at which a sigmoid is exactly 0 or 1 in every dtype


class RNNState(NamedTuple):
    """hidden (B, H)."""

    hidden: Tensor


class LSTMState(NamedTuple):
    """hidden (B, H) and cell (B, H)."""

    hidden: Tensor
    cell: Tensor


class Recurrent(Mixer):
    """What RNN, LSTM and GRU share: parameters, state and the choice of the engine.

    width: hidden size H. inputs: input size. weight_drop: probability with which recurrent weights are
    dropped, one mask a call, in training (Merity et al. 2018, arXiv:1708.02182, sec. 2).
    """

    gates: ClassVar[int]
    state_type: ClassVar[type[RNNState] | type[LSTMState]] = RNNState
    cudnn_mode: ClassVar[str]

    def __init__(self, width: int, *, inputs: int | None = None, weight_drop: float = 0.0) -> None:
        super().__init__(width, inputs=inputs)
        if not 0 <= weight_drop < 1:
            raise UserError(f"{type(self).__name__}: weight_drop is {weight_drop}; it must lie in [0, 1).")
        self.weight_drop = weight_drop
        rows = self.gates * width
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, self.inputs))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, width))
        self.bias_ih_l0 = nn.Parameter(torch.zeros(rows))
        self.bias_hh_l0 = nn.Parameter(torch.zeros(rows))
        for gate in self.weight_ih_l0.data.chunk(self.gates):
            nn.init.xavier_uniform_(gate)
        for gate in self.weight_hh_l0.data.chunk(self.gates):
            nn.init.orthogonal_(gate)

    def start(self, batch: int, capacity: int = 0, source: Source | None = None) -> State:
        return self.state_type(*(self.zeros(batch, self.width) for _ in self.state_type._fields))

    def forward(
        self, x: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        begin = self.start(x.shape[0]) if state is None else state
        weights = self._weights()
        if listening():
            y, end = recurrent_reference(self, x, begin, layout)
        elif x.shape[1] == 1:
            y, end = self._one_step(x, begin, layout, weights)
        elif layout is None:
            run = self._exported if torch.compiler.is_exporting() else self.engine
            y, end = run(x, begin, weights)
        else:
            begin = self.state_type(*(select(~layout.start[:, 0], leaf) for leaf in begin))
            y, end = self._ragged(x, begin, layout, weights)
            end = (layout.at_last(y, begin.hidden), *end[1:])
        if state is None:
            return y, None
        return y, self.state_type(*(new.to(old.dtype) for new, old in zip(end, state, strict=True)))

    def cell(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One step by the book: x (B, inputs), state -> the leaves of the next state. Names its gates for a probe."""
        raise NotImplementedError

    def fused_cell(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The same step in torch's fused form: one call instead of a dozen."""
        raise NotImplementedError

    def engine(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """A dense stretch: x (B, T, inputs), state -> y (B, T, H), the leaves of the state after it.

        Engines are told to train whenever a gradient may be asked for, in eval mode too: cuDNN has no backward else.
        """
        raise NotImplementedError

    def _exported(
        self, x: Tensor, state: Any, weights: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`engine` for a graph whose number of steps stays open: torch's engines make it a constant there."""

        def step(leaves: tuple[Tensor, ...], x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
            after = self.cell(x, self.state_type(*leaves), weights)
            return after, after[0].clone()  # a graph's outputs share no storage

        end, y = stepwise(step, tuple(state), x)
        return y, end

    def _weights(self) -> tuple[Tensor, ...]:
        recurrent: Tensor = self.weight_hh_l0
        if self.weight_drop and self.training:
            recurrent = F.dropout(recurrent, self.weight_drop)
        return self.weight_ih_l0, recurrent, self.bias_ih_l0, self.bias_hh_l0

    def _one_step(
        self, x: Tensor, state: Any, layout: Layout | None, weights: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        heavy = weights[1].numel() >= HEAVY and quick(x, weights[1])
        step = self.cell if heavy else self.fused_cell
        if layout is None:
            after = step(x.squeeze(1), state, weights)
            return after[0].unsqueeze(1), after
        before = self.state_type(*(select(~layout.start[:, 0], leaf) for leaf in state))
        after = step(select(layout.valid[:, 0], x[:, 0]), before, weights)
        kept = tuple(torch.where(layout.valid, new, old) for new, old in zip(after, before, strict=True))
        return after[0].unsqueeze(1), kept

    def _ragged(
        self, x: Tensor, state: Any, layout: Layout, weights: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Rows that end or restart within the call; the state after it may hold anything where h is concerned."""
        raise NotImplementedError

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        module = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.weight_ih_l0.is_cuda:  # one chunk of memory, or cuDNN warns and re-packs at every call
            mode = int(torch.backends.cudnn.rnn.get_cudnn_mode(self.cudnn_mode))  # type: ignore[no-untyped-call]
            own: list[Tensor] = [self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0]
            with torch.no_grad():
                torch._cudnn_rnn_flatten_weight(own, 4, self.inputs, mode, self.width, 0, 1, True, False)
        return module


class RNN(Recurrent):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu (Elman 1990; relu: Le et al. 2015, arXiv:1504.00941)."""

    gates = 1

    def __init__(
        self,
        width: int,
        *,
        inputs: int | None = None,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        weight_drop: float = 0.0,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise UserError(f"RNN: nonlinearity is {nonlinearity!r}; known: 'tanh', 'relu'.")
        self.nonlinearity = nonlinearity
        super().__init__(width, inputs=inputs, weight_drop=weight_drop)

    @property
    def cudnn_mode(self) -> str:  # type: ignore[override]
        return f"RNN_{self.nonlinearity.upper()}"

    def cell(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        W_ih, W_hh, b_ih, b_hh = weights
        a = affine(x, W_ih, b_ih) + affine(state.hidden, W_hh, b_hh)
        h = a.tanh() if self.nonlinearity == "tanh" else a.relu()
        note("hidden", h)
        return (h,)

    def fused_cell(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        step = torch.rnn_tanh_cell if self.nonlinearity == "tanh" else torch.rnn_relu_cell
        return (step(x, state.hidden, *weights),)

    def engine(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        run = torch.rnn_tanh if self.nonlinearity == "tanh" else torch.rnn_relu
        y, h = run(
            x, state.hidden[None].contiguous(), weights, True, 1, 0.0, torch.is_grad_enabled(), False, True
        )
        return y, (h[0],)

    def _ragged(
        self, x: Tensor, state: Any, layout: Layout, weights: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """A tanh cell has no input that makes it forget: all documents become rows."""
        return by_length(self, x, state, layout, weights)


class GRU(Recurrent):
    """r, z = sigmoid(W x + b + U h + c), n = tanh(W_n x + b_n + r (U_n h + c_n)), h' = (1 - z) n + z h.

    Cho et al. 2014, arXiv:1406.1078, eq. 5-8, with the reset gate after the matrix product as in torch and cuDNN.
    """

    gates = 3
    cudnn_mode = "GRU"

    def cell(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        W_ih, W_hh, b_ih, b_hh = weights
        h = state.hidden
        x_r, x_z, x_n = affine(x, W_ih, b_ih).chunk(3, 1)
        h_r, h_z, h_n = affine(h, W_hh, b_hh).chunk(3, 1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        h = (1 - z) * n + z * h
        for name, value in (("reset", r), ("update", z), ("candidate", n), ("hidden", h)):
            note(name, value)
        return (h,)

    def fused_cell(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (torch.gru_cell(x, state.hidden, *weights),)

    def engine(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        y, h = torch.gru(
            x, state.hidden[None].contiguous(), weights, True, 1, 0.0, torch.is_grad_enabled(), False, True
        )
        return y, (h[0],)

    def _ragged(
        self, x: Tensor, state: Any, layout: Layout, weights: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One more step before each start: there r = z = 0, and n = tanh(b_n - b_n) = 0 becomes the state."""
        if x.is_cpu and not layout.packed:
            return by_length(self, x, state, layout, weights)
        W_ih, W_hh, b_ih, b_hh = weights
        steps = layout.stretched
        forget = torch.cat([b_ih.new_full((2 * self.width,), -SHUT), -b_ih[2 * self.width :]])
        x = torch.cat([stretch(x, steps), steps.reset[..., None].to(x.dtype)], 2)
        y, end = self.engine(x, state, (torch.cat([W_ih, forget[:, None]], 1), W_hh, b_ih, b_hh))
        return shrink(y, steps, layout), end


class LSTM(Recurrent):
    """i, f, o = sigmoid(W x + b + U h + c), g = tanh(...), c' = f c + i g, h' = o tanh(c').

    Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000, eq. 2-9, without peepholes.
    """

    gates = 4
    state_type = LSTMState
    cudnn_mode = "LSTM"

    def __init__(self, width: int, *, inputs: int | None = None, weight_drop: float = 0.0) -> None:
        super().__init__(width, inputs=inputs, weight_drop=weight_drop)
        self.bias_ih_l0.data[width : 2 * width] = 1.0  # remember until taught otherwise

    def cell(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        W_ih, W_hh, b_ih, b_hh = weights
        i, f, g, o = (affine(x, W_ih, b_ih) + affine(state.hidden, W_hh, b_hh)).chunk(4, 1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * state.cell + i * g
        h = o * c.tanh()
        for name, value in (
            ("input", i),
            ("forget", f),
            ("candidate", g),
            ("output", o),
            ("cell", c),
            ("hidden", h),
        ):
            note(name, value)
        return h, c

    def fused_cell(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return torch.lstm_cell(x, (state.hidden, state.cell), *weights)

    def engine(self, x: Tensor, state: Any, weights: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        begin = (state.hidden[None].contiguous(), state.cell[None].contiguous())
        y, h, c = torch.lstm(x, begin, weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return y, (h[0], c[0])

    def _ragged(
        self, x: Tensor, state: Any, layout: Layout, weights: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One more step before each start, with i = f = o = 0: c and h become 0. Past a row's end f = 1 and i = 0: torch
        returns c at the last step only, and so it is the row's own.
        """
        W_ih, *others = weights
        column = W_ih.new_zeros(2, 4, self.width)  # (reset, hold) x (i, f, g, o)
        column[0, [0, 1, 3]] = column[1, 0] = -SHUT
        column[1, 1] = SHUT
        if x.is_cpu and not layout.packed:
            weights = (torch.cat([W_ih, column[1].flatten()[:, None]], 1), *others)
            y, (_, cell) = by_length(self, x, state, layout, weights, hold=True)
            rows = layout.rows
            return y, (
                y,
                state.cell.index_copy(
                    0, rows.source[: rows.documents], cell[: rows.documents].to(state.cell.dtype)
                ),
            )
        steps = layout.stretched
        flags = torch.stack([steps.reset, ~(steps.reset | steps.real)], 2)
        x = torch.cat([stretch(x, steps), flags.to(x.dtype)], 2)
        y, end = self.engine(x, state, (torch.cat([W_ih, column.flatten(1).T], 1), *others))
        return shrink(y, steps, layout), end


def recurrent_reference(
    mixer: Recurrent, x: Tensor, state: Any, layout: Layout | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The slow, obvious loop over time that every engine is held to, and that a probe listens to."""
    batch, time, _ = x.shape
    on = torch.ones(batch, time, dtype=torch.bool, device=x.device)
    valid, start = (on, ~on) if layout is None else (layout.valid, layout.start)
    weights, outputs = mixer._weights(), []
    for x_t, real, fresh in zip(x.unbind(1), valid.unbind(1), start.unbind(1), strict=True):
        before = mixer.state_type(*(select(~fresh, leaf) for leaf in state))
        after = mixer.cell(select(real, x_t), before, weights)
        outputs.append(after[0])
        state = mixer.state_type(
            *(torch.where(real[:, None], new, old) for new, old in zip(after, before, strict=True))
        )
    return torch.stack(outputs, 1) if outputs else x.new_zeros(batch, 0, mixer.width), tuple(state)
