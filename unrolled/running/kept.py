"""A stream as a file: safetensors that hold the state by its names, and the digest of the weights it belongs to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from unrolled import durable
from unrolled.errors import UserError
from unrolled.model.weights import fingerprint
from unrolled.running.recent import Recent
from unrolled.state import State, filled, leaves

if TYPE_CHECKING:
    from unrolled.model import Model

FORMAT = "1"


@dataclass
class Kept:
    """What a stream is, but for the model."""

    state: State
    prediction: Tensor | None
    recent: Recent

    def write(self, path: Path, model: Model) -> None:
        """Writes the file, whole or not at all."""
        tensors = {f"state.{name}": leaf for name, leaf in leaves(self.state)}
        if self.prediction is not None:
            tensors["prediction"] = self.prediction
        if self.recent.steps is not None:
            tensors["recent"] = self.recent.steps
        header = {
            "unrolled.stream": FORMAT,
            "weights": fingerprint(model),
            "used": json.dumps(self.recent.used),
            "context": json.dumps(self.recent.context),
        }
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise UserError(f"{path}: expected a file in a folder that is there.")
        with durable.disk(path, "Free some space, or write elsewhere."):
            durable.replace(path, safetensors.torch.save(_on_cpu(tensors), header))

    @classmethod
    @torch.inference_mode()
    def read(cls, path: Path, model: Model) -> Kept:
        """What `write` wrote. Raises UserError for another file, and for the state of another model."""
        try:
            with safetensors.safe_open(path, "pt") as file:
                header = dict(file.metadata() or {})
            tensors = safetensors.torch.load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise UserError(f"{path}: can't be read as a stream ({error}).") from error
        if header.get("unrolled.stream") != FORMAT or not header.keys() >= {"weights", "used", "context"}:
            raise UserError(f"{path}: not a stream of this version. Expected a file that Stream.save wrote.")
        if header["weights"] != fingerprint(model):
            raise UserError(
                f"{path}: the state of another model, whose weights have another digest. Load it with the model that it "
                "was saved from."
            )
        device = model.core.anchor.device
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        recent = Recent(0, json.loads(header["context"]))
        recent.used = json.loads(header["used"])
        recent.rows, recent.steps = len(recent.used), tensors.get("recent")
        template = model.start(recent.rows)
        state = filled(template, {n.removeprefix("state."): t for n, t in tensors.items()})
        return cls(state, tensors.get("prediction"), recent)


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
