"""Raw inputs -> vectors. An embedder may change the number of steps, so it returns the layout too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unrolled.errors import UserError, positive
from unrolled.kernels import Affine
from unrolled.layout import Layout, select
from unrolled.model.media_embedders import FrameEmbedder, PatchEmbedder
from unrolled.model.patches import SeriesPatchEmbedder
from unrolled.model.pictures import PictureEmbedder
from unrolled.state import State


class TokenEmbedder(nn.Module):
    """A table of vectors, one a token: raw (B, T) int64 -> (B, T, width).

    types: rows of a second table, of which the first is added to every token: BERT's segments, where a text stands alone
    (Devlin et al. 2019, arXiv:1810.04805, fig. 2).

    Raises UserError for an id outside the vocabulary (on a CPU; an accelerator answers with an error of its own).
    """

    sides: ClassVar[int] = 2  # of raw: (batch, time)

    def __init__(self, vocabulary: int, width: int, *, types: int = 0) -> None:
        super().__init__()
        positive("TokenEmbedder", vocabulary=vocabulary, width=width, types=types or 1)
        self.vocabulary, self.width = vocabulary, width
        self.table = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.table.weight, std=width**-0.5)
        self.types = nn.Embedding(types, width) if types else None

    def start(self, batch: int) -> State:
        return ()

    def accept(self, raw: Tensor) -> None:
        """Raises UserError unless `raw` is a rectangle of ids."""
        if not isinstance(raw, Tensor) or raw.ndim != 2 or raw.dtype not in (torch.int64, torch.int32):
            got = f"{raw.dtype} {tuple(raw.shape)}" if isinstance(raw, Tensor) else type(raw).__name__
            raise UserError(f"TokenEmbedder: got {got}; it takes token ids, int64 of shape (batch, time).")

    def forward(
        self, raw: Int[Tensor, "batch time"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State, Layout | None]:
        if layout is not None:
            raw = select(layout.valid, raw)
        if torch.compiler.is_compiling():
            return self._looked_up(raw), state, layout
        try:
            return self._looked_up(raw), state, layout
        except IndexError:
            self.within(raw)
            raise

    def _looked_up(self, raw: Tensor) -> Tensor:
        x: Tensor = self.table(raw)
        return x if self.types is None else x + self.types.weight[0]

    def within(self, raw: Int[Tensor, "batch time"]) -> None:
        """Raises UserError for an id outside the vocabulary."""
        wrong = raw[(raw < 0) | (raw >= self.vocabulary)]
        if wrong.numel():
            raise UserError(
                f"TokenEmbedder: got the id {int(wrong[0])}; its vocabulary has {self.vocabulary} tokens, 0 ... "
                f"{self.vocabulary - 1}. Encode with the codec it was trained with."
            )


class ValueEmbedder(nn.Module):
    """A linear map of each step's numbers: raw (B, T, inputs) float -> (B, T, width). NaN in padding stops here.

    The bias is drawn as large as what standardised inputs give: a norm above keeps directions only, and without it one
    number and its double would be the same.
    """

    sides: ClassVar[int] = 3  # of raw: (batch, time, numbers)

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        positive("ValueEmbedder", inputs=inputs, width=width)
        self.inputs, self.width = inputs, width
        self.map = Affine(inputs, width)
        nn.init.normal_(self.map.weight, std=0.5 * inputs**-0.5)
        nn.init.uniform_(self.map.bias, -0.5, 0.5)

    def start(self, batch: int) -> State:
        return ()

    def accept(self, raw: Tensor) -> None:
        """Raises UserError unless `raw` holds `inputs` numbers a step."""
        if (
            not isinstance(raw, Tensor)
            or raw.ndim != 3
            or raw.shape[2] != self.inputs
            or not raw.is_floating_point()
        ):
            got = f"{raw.dtype} {tuple(raw.shape)}" if isinstance(raw, Tensor) else type(raw).__name__
            raise UserError(
                f"ValueEmbedder: got {got}; it takes floating numbers of shape (batch, time, {self.inputs})."
            )

    def forward(
        self, raw: Float[Tensor, "batch time inputs"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State, Layout | None]:
        if layout is not None:
            raw = select(layout.valid, raw)
        return self.map(raw), state, layout

    def within(self, raw: Float[Tensor, "batch time inputs"]) -> None:
        """Raises UserError for what isn't a finite number."""
        _finite("ValueEmbedder", raw)


class MixedEmbedder(nn.Module):
    """Ids and numbers of one step together: raw (B, T, K + N) float, K ids as numbers first -> (B, T, width), the sum of
    each id's vector from its own table and a linear map of the numbers. NaN in padding stops here.

    tables: the number of ids of each of the K fields. Raises UserError for an id outside its table.
    """

    sides: ClassVar[int] = 3  # of raw: (batch, time, numbers)

    def __init__(self, tables: Sequence[int], inputs: int, width: int) -> None:
        super().__init__()
        positive("MixedEmbedder", width=width, fields=len(tables) + inputs)
        self.sizes, self.inputs, self.width = tuple(tables), inputs, width
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size in tables)
        for table in self.tables:
            nn.init.normal_(table.weight, std=width**-0.5)  # type: ignore[arg-type]
        self.map = ValueEmbedder(inputs, width).map if inputs else None

    def start(self, batch: int) -> State:
        return ()

    def accept(self, raw: Tensor) -> None:
        """Raises UserError unless `raw` holds K + N numbers a step."""
        wanted = len(self.sizes) + self.inputs
        if (
            not isinstance(raw, Tensor)
            or raw.ndim != 3
            or raw.shape[2] != wanted
            or not raw.is_floating_point()
        ):
            got = f"{raw.dtype} {tuple(raw.shape)}" if isinstance(raw, Tensor) else type(raw).__name__
            raise UserError(
                f"MixedEmbedder: got {got}; it takes floating numbers of shape (batch, time, {wanted}): "
                f"{len(self.sizes)} ids, {self.inputs} numbers."
            )

    def forward(
        self, raw: Float[Tensor, "batch time fields"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State, Layout | None]:
        if layout is not None:
            raw = select(layout.valid, raw)
        ids, numbers = raw[..., : len(self.sizes)].long(), raw[..., len(self.sizes) :]
        if not torch.compiler.is_compiling():
            self._within(ids)
        parts = [table(ids[..., field]) for field, table in enumerate(self.tables)]
        if self.map is not None:
            parts.append(self.map(numbers))
        return torch.stack(parts).sum(0), state, layout

    def within(self, raw: Float[Tensor, "batch time fields"]) -> None:
        """Raises UserError for an id outside its table, and for what isn't a finite number."""
        _finite("MixedEmbedder", raw)
        self._within(raw[..., : len(self.sizes)].long())

    def _within(self, ids: Int[Tensor, "batch time fields"]) -> None:
        for field, size in enumerate(self.sizes):
            column = ids[..., field]
            if column.numel() and not 0 <= int(column.min()) <= int(column.max()) < size:
                raise UserError(
                    f"MixedEmbedder: field {field} holds ids from {int(column.min())} to {int(column.max())}; its table "
                    f"has {size}. Encode with the codec it was trained with."
                )


class VectorEmbedder(nn.Module):
    """Nothing of its own: raw (B, T, width) are vectors already, as another model's core made them."""

    sides: ClassVar[int] = 3  # of raw: (batch, time, numbers)

    def __init__(self, width: int) -> None:
        super().__init__()
        positive("VectorEmbedder", width=width)
        self.width = self.inputs = width

    def start(self, batch: int) -> State:
        return ()

    def accept(self, raw: Tensor) -> None:
        """Raises UserError unless `raw` holds one vector a step."""
        if not isinstance(raw, Tensor) or raw.ndim != 3 or raw.shape[2] != self.width:
            got = f"{raw.dtype} {tuple(raw.shape)}" if isinstance(raw, Tensor) else type(raw).__name__
            raise UserError(f"VectorEmbedder: got {got}; it takes vectors, (batch, time, {self.width}).")

    def forward(
        self, raw: Float[Tensor, "batch time width"], state: State = None, layout: Layout | None = None
    ) -> tuple[Float[Tensor, "batch time width"], State, Layout | None]:
        return raw if layout is None else select(layout.valid, raw), state, layout

    def within(self, raw: Float[Tensor, "batch time width"]) -> None:
        """Raises UserError for what isn't a finite number."""
        _finite("VectorEmbedder", raw)


def _finite(where: str, raw: Tensor) -> None:
    if not bool(raw.isfinite().all()):
        raise UserError(
            f"{where}: got numbers that are not finite (NaN or infinite). Expected the codec's steps, in which a missing "
            "value is marked."
        )


Embedder = (
    TokenEmbedder
    | ValueEmbedder
    | MixedEmbedder
    | VectorEmbedder
    | PatchEmbedder
    | SeriesPatchEmbedder
    | FrameEmbedder
    | PictureEmbedder
)
EMBEDDERS: dict[str, type[Embedder]] = {
    "tokens": TokenEmbedder, "values": ValueEmbedder, "mixed": MixedEmbedder, "vectors": VectorEmbedder,
    "patches": PatchEmbedder, "frames": FrameEmbedder, "pictures": PictureEmbedder,
    "series_patches": SeriesPatchEmbedder,
}  # fmt: skip
