"""`unrolled export`: a run's model as files that work without this package: ONNX, a page, C."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = (
    "unrolled export @best to=onnx",
    "unrolled export @last to=browser",
    "unrolled export @last to=c out=tiny",
    "unrolled export @last weights=int8 bench=true",
)
WORDS = ("run",)
SWITCHES = ()


@dataclass(frozen=True)
class Keys:
    """The keys of `unrolled export`: those of `un.export`."""

    run: str = field(default="@last", metadata={"help": "@last, @best, a name or its beginning, or a folder"})
    to: Literal["onnx", "browser", "c"] = field(
        default="onnx",
        metadata={"help": "graphs with a Python program, a page for the browser, or C without dependencies"},
    )
    out: str | None = field(
        default=None, metadata={"help": "the folder to write; RUN/export/TO unless given"}
    )
    weights: Literal["fp32", "bf16", "int8"] = field(
        default="fp32", metadata={"help": "how they are kept; what rounding costs is measured"}
    )
    runs: str = field(default="runs", metadata={"help": "the folder that holds the run folders"})
    bench: bool = field(default=False, metadata={"help": "also measure latency and memory of a step"})


def keys() -> type | None:
    """The verb's keys."""
    return Keys


def run(arguments: Arguments) -> Any:
    """Writes the files."""
    from dataclasses import asdict
    from pathlib import Path

    chosen = arguments.resolve(Keys, WORDS).value
    from unrolled.exports.export import export

    if (Path(chosen.run) / "model.safetensors").is_file():
        return export(**asdict(chosen))
    return export(**arguments.with_run(chosen))


def show(result: Any) -> str:
    """The folder, its files, how near they are to the model, and what to type next."""
    lines = [result.path, *(f"  {name:<16}{size:>12,} bytes" for name, size in result.files.items())]
    sizes = len(result.parity["at"])
    lines.append(f"parity    {result.parity['worst']:.1e} at most, at {sizes} sizes never used to make it")
    if result.quality:
        unit = result.quality.get("unit", "")
        lines.append(
            f"quality   {result.quality['before']:.4f} before, {result.quality['after']:.4f} after rounding to "
            f"{result.weights} ({unit}, test)"
        )
    lines += [f"note      {note}" for note in result.notes]
    for row in result.bench or ():
        lines.append(
            f"step      {row['engine']:<14}{row['median']:>9.1f} us median{row['p95']:>9.1f} us p95"
            f"{row['megabytes']:>8.1f} MB"
        )
    if "run.py" in result.files:
        lines.append(f"next      python {result.path}/run.py --help")
    return "\n".join(lines)


def brief(result: Any) -> str:
    """The folder."""
    return str(result.path)
