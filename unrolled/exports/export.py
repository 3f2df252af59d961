"""The verb `export`: a run's model as files that work without this package, written only once they are proved."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unrolled import durable
from unrolled.datasets.media import MediaFile
from unrolled.errors import UserError, unknown
from unrolled.exports.browser import PAGE, RUNTIME
from unrolled.exports.encode import encoders
from unrolled.exports.metadata import attach, describe
from unrolled.exports.parity import Difference, summary
from unrolled.exports.proof import proved
from unrolled.exports.rounding import rounded
from unrolled.exports.runner import program
from unrolled.model import Seq2Seq
from unrolled.tasks import Forecast, Translate
from unrolled.training.evaluate import evaluate
from unrolled.training.example import record
from unrolled.training.progress import aloud
from unrolled.training.run import Run, load

if TYPE_CHECKING:
    from unrolled.model import Model

FORMS = ("onnx", "browser", "c")
WRITTEN = frozenset(
    ("model.json", "source.onnx", "step.onnx", "sequence.onnx", "encode.onnx", "run.py", "model.h", "model.c", "model.bin",
     "example.c",  *PAGE, *RUNTIME, "example", "__pycache__")
)  # what an export writes, and what comes of it by running it  # fmt: skip
FIELD = re.compile(r"encode-\d+\.onnx")  # of one column of several
Files = dict[str, bytes]


@dataclass(frozen=True)
class Exported:
    """`files`: what was written into the folder `path`, with their bytes. `parity`: the largest difference from the model,
    and where it was asked for. `quality`: the score on the test part before and after rounding, where weights were rounded.
    """

    path: str
    to: str
    files: dict[str, int]
    weights: str
    parity: dict[str, Any]
    quality: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    bench: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Rounded(Run):
    """A run whose model is another one: it is scored as the run's own would be."""

    held: Model | None = None

    def model(self, device: str = "cpu") -> Model:
        """The other model."""
        assert self.held is not None
        return self.held.to(device)


def export(
    run: Run | Model | str = "@last",
    *,
    to: Literal["onnx", "browser", "c"] = "onnx",
    out: str | None = None,
    weights: Literal["fp32", "bf16", "int8"] = "fp32",
    runs: str = "runs",
    bench: bool = False,
) -> Exported:
    """Writes a run's model, or a loaded one, as files: ONNX graphs with a Python program that runs them, a page for the
    browser, or C. Into RUN/export/TO unless `out` names a folder, which must be new or an export's.

    weights: how they are kept; the loss of quality on the test part is measured. bench: also latency and memory of a
    step. Raises CheckFailed, and writes nothing, where a graph doesn't say what the model says; UserError for a model
    that can't be written so; MissingExtra without the packages of the extra `export`.
    """
    if to not in FORMS:
        raise unknown("form (to=)", to, FORMS)
    opened = _opened(run, runs)
    model = _copied(opened) if not isinstance(opened, Run) else opened.model()
    name = opened.name if isinstance(opened, Run) else "model"
    if isinstance(model.task, Forecast):
        raise UserError(
            f"{name} foretells series, and there is no exported form of that yet: use unrolled forecast, or unrolled serve."
        )
    if isinstance(model, Seq2Seq) and to != "onnx":
        raise UserError(
            f"to={to}: {name} reads a source before it writes, and only to=onnx has graphs for both. Export it with "
            "to=onnx, or serve it: unrolled serve."
        )
    folder = _folder(opened, to, out)
    kept = rounded(model, weights)
    told: dict[str, Any] = {"kept": weights}
    if weights != "fp32":
        told["quality"] = _quality(opened, kept)
    described = describe(kept, name, told)
    if to == "browser" and isinstance(opened, Run):
        described["example"] = _example(opened, model)
    files, found, notes = _maker(to)(kept, described, weights)
    if described.get("example"):
        notes.append(
            "the page shows an example from the data; where that is private, take it out of model.json"
        )
    measured = _bench(kept, files) if bench else None
    _write(folder, files)
    sizes = {each: len(content) for each, content in files.items()}
    return Exported(str(folder), to, sizes, weights, summary(found), told.get("quality"), notes, measured)


def _opened(run: Run | Model | str, runs: str) -> Run | Model:
    if not isinstance(run, str):
        return run
    return load(run, runs) if (Path(run) / "model.safetensors").is_file() else Run.open(run, runs)


def _copied(model: Model) -> Model:
    """The model on the CPU, as it answers. The caller's stays where it is, and in training if it was."""
    made = deepcopy(model).cpu().eval()
    made.task = model.task
    return made


def _folder(opened: Run | Model, to: str, out: str | None) -> Path:
    """Where the files go. Raises UserError for a folder that holds something else."""
    if out is not None:
        folder = Path(out)
    elif isinstance(opened, Run):
        folder = opened.path / "export" / to
    else:
        raise UserError("out=: say which folder to write to; a model alone has none of its own.")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not _ours(folder))):
        raise UserError(f"out={folder}: there is something else than an export. Name a new folder.")
    return folder


def _ours(folder: Path) -> bool:
    """Whether nothing but an export lies there: the folder is replaced as a whole."""
    try:
        told = json.loads((folder / "model.json").read_bytes())
    except (OSError, ValueError):
        return False
    ours = isinstance(told, dict) and "unrolled" in told
    return ours and all(file.name in WRITTEN or FIELD.fullmatch(file.name) for file in folder.iterdir())


def _example(run: Run, model: Model) -> dict[str, Any] | None:
    """A record of the run's data as JSON can hold it; None of sound and images, and where the data has gone."""
    if model.task is None or model.task.kind == "generate":
        return None
    row = record(model.task, run.recipe.data)
    return None if row is None or any(isinstance(value, MediaFile) for value in row.values()) else row


def _quality(opened: Run | Model, kept: Model) -> dict[str, Any] | None:
    """The score on the test part with the weights as they were trained, and rounded; None of a model without a run."""
    if not isinstance(opened, Run):
        aloud("the loss of quality isn't measured: a model without its run has no test data")
        return None
    known = {key: value for key, value in vars(opened).items() if key != "held"}
    before, after = evaluate(opened, "test"), evaluate(Rounded(**known, held=kept), "test")
    said = before.to_dict()
    unit: dict[str, Any] = {key: said[key] for key in ("unit", "better") if key in said}
    return {"split": "test", **unit, "before": before.value, "after": after.value}


def _maker(to: str) -> Callable[[Model, dict[str, Any], str], tuple[Files, list[Difference], list[str]]]:
    if to == "c":
        from unrolled.exports.c.write import made as in_c

        return in_c
    if to == "browser":
        from unrolled.exports.browser import made as as_page

        return as_page
    return in_onnx


def in_onnx(
    model: Model, described: Mapping[str, Any], weights: str
) -> tuple[Files, list[Difference], list[str]]:
    """step.onnx and sequence.onnx, what they are in model.json, and the program run.py."""
    contents, found, notes = proved(model, weights)
    whole = {**described, "parity": summary(found), "graphs": sorted(contents)}
    files = {name: attach(proto, whole) for name, proto in contents.items()}
    files["model.json"] = json.dumps(whole, ensure_ascii=False, indent=1).encode() + b"\n"
    if isinstance(model.task, Translate) and model.task.beam > 1:
        notes = [*notes, f"run.py takes the likeliest token each step, without the beam of {model.task.beam}"]
    if model.task is not None:
        files |= encoders(model.task.codec) | {"run.py": program(whole).encode()}
    return files, found, notes


def _bench(model: Model, files: Files) -> list[dict[str, Any]]:
    from unrolled.exports.bench import measured

    return measured(model, files)


def _write(folder: Path, files: Files) -> None:
    """All files or none: a folder beside it is filled, then renamed into its place."""
    new, old = (folder.with_name(f".tmp-{os.getpid()}-{part}-{folder.name}") for part in ("new", "old"))
    with durable.disk(folder, "Free some space, or write elsewhere with out=."):
        folder.parent.mkdir(parents=True, exist_ok=True)
        for part in ("new", "old"):  # what exports into this place left that were killed
            named = f".tmp-[0-9]*-{part}-{glob.escape(folder.name)}"
            durable.sweep(folder.parent, dead_only=True, named=named)
        shutil.rmtree(new, ignore_errors=True)  # of a killed one that had this process' number
        try:
            for name, content in files.items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                durable.write(new / name, content)
            if folder.exists():
                os.replace(folder, old)
            os.replace(new, folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
        durable.sync_folder(folder.parent)
