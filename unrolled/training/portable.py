"""The portable model folder: `config.json`, `model.safetensors`, `codec.json`, `README.md`. It loads anywhere, in
later versions too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch

from unrolled import __version__, durable
from unrolled.errors import UserError
from unrolled.model import build
from unrolled.model.weights import DIGEST, digest, load_weights, packed, weights_of
from unrolled.tasks import task_from_dict

if TYPE_CHECKING:
    from unrolled.model import Model

FORMAT = 1


def save_model(folder: Path, model: Model, card: str) -> None:
    """Writes or renews the folder. What changes between two calls (weights, card) is replaced file by file, so that the
    folder is a whole model at every moment.
    """
    task = model.task.to_dict()
    codec = task.pop("codec")
    config = {"format": FORMAT, "unrolled": __version__, "spec": model.spec, "task": task}
    with durable.disk(folder, "The run's checkpoints hold the weights."):
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in (("codec.json", codec), ("config.json", config)):
            content = json.dumps(value, indent=1).encode() + b"\n"
            if not (folder / name).is_file() or (folder / name).read_bytes() != content:
                durable.replace(folder / name, content)
        durable.replace(folder / "README.md", card.encode())
        durable.replace(folder / "model.safetensors", packed(weights_of(model)))


def load_model(folder: Path) -> Model:
    """The model with `task` attached, in eval mode, on the CPU. Raises UserError that names what can't be read."""
    config, codec = _read(folder / "config.json"), _read(folder / "codec.json")
    if config.get("format") != FORMAT:
        raise UserError(
            f"{folder / 'config.json'}: model format {config.get('format')}; this version ({__version__}) reads {FORMAT}. "
            "Install a version of unrolled that is at least as new as the one that wrote it."
        )
    model = build(config["spec"])
    path = folder / "model.safetensors"
    try:
        with safetensors.safe_open(path, "pt") as file:
            promised = (file.metadata() or {}).get(DIGEST)
        weights = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{path}: can't be read as weights ({error}).") from error
    if promised is not None and digest(weights) != promised:
        raise UserError(
            f"{path}: damaged: its SHA-256 isn't the one it was written with. Restore the file, or go on with the run, "
            "whose checkpoints hold the weights: unrolled train resume=RUN budget=+1steps"
        )
    load_weights(model, weights, str(path))
    model.task = task_from_dict({**config["task"], "codec": codec})
    return model.eval()


def read_codec(folder: Path) -> dict[str, Any]:
    """The codec of the model in `folder`, as plain data. Raises UserError that names what can't be read."""
    return _read(folder / "codec.json")


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a portable model ({error}). Expected a folder that `unrolled train` wrote."
        ) from error
