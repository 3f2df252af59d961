"""`unrolled doctor`: what this machine has for the work, and what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.cli.arguments import Arguments

EXAMPLES = ("unrolled doctor", "unrolled doctor --json")
WORDS = ()
SWITCHES = ()
ROOM = 2.0  # GB that a few runs and their checkpoints like to have


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `advice` is empty where all is well."""

    name: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Doctor:
    """All findings; `missed` names those with an advice."""

    findings: list[Finding]
    missed: list[str]


def doctor() -> Doctor:
    """Looks at Python, torch, the processor, memory, disk and the optional packages."""
    findings = [_python(), _memory(), _disk(), _compiler(), *_torch(), *_extras()]
    return Doctor(findings, [finding.name for finding in findings if finding.advice])


def _python() -> Finding:
    inside = sys.prefix != sys.base_prefix
    advice = "" if inside else "not in a virtual environment: `make demo` makes one, or python3 -m venv .venv"
    return Finding(
        "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", advice
    )


def _memory() -> Finding:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):
        return Finding("memory", "unknown on this system")
    return Finding(
        "memory", f"{total:.1f} GB", "" if total > 3 else "under 3 GB: keep models and batches small"
    )


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    advice = "" if free >= ROOM else f"under {ROOM:.0f} GB here: write runs elsewhere with runs=FOLDER"
    return Finding("disk", f"{free:.1f} GB free here", advice)


def _compiler() -> Finding:
    found = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    advice = "" if found else "no C++ compiler: all works, only torch.compile does not (apt install g++)"
    return Finding("compiler", found or "none", advice)


def _torch() -> list[Finding]:
    try:
        import torch
    except ImportError as error:
        return [Finding("torch", f"does not import: {error}", "pip install -c constraints.txt torch")]
    old = tuple(int(n) for n in torch.__version__.split(".")[:2]) < (2, 10)
    settings = torch.__config__.show()
    blas = next(
        (p.split("=")[1] for p in settings.replace(",", " ").split() if p.startswith("BLAS_INFO=")), "unknown"
    )
    # Not every system tells which of its cores this process may use.
    allowed = getattr(os, "sched_getaffinity", None)
    threads, cores = torch.get_num_threads(), len(allowed(0)) if allowed else os.cpu_count() or 1
    more = f"more threads than the {cores} cores this process may use: set OMP_NUM_THREADS={cores}"
    fast_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    else:
        device = "mps" if torch.backends.mps.is_available() else "cpu only"
    return [
        Finding("torch", torch.__version__, "older than 2.10: pip install -U 'torch>=2.10'" if old else ""),
        Finding("device", device),
        Finding("threads", f"{threads} of {cores} cores", more if threads > cores else ""),
        Finding("blas", blas),
        Finding(
            "bfloat16", "fast on this processor" if fast_bf16 else "slow on this processor: float32 is used"
        ),
    ]


def _extras() -> list[Finding]:
    """The optional dependencies of the installed package, by extra."""
    try:
        wanted = metadata("unrolled").get_all("Requires-Dist") or []
    except PackageNotFoundError:
        return [
            Finding(
                "unrolled", "run from its folder, not installed", "pip install -c constraints.txt -e '.[all]'"
            )
        ]
    found: list[Finding] = []
    for line in wanted:
        requirement, _, marker = line.partition(";")
        extra = (
            marker.replace('"', "'").rpartition("extra == '")[2].split("'")[0] if "extra ==" in marker else ""
        )
        package = requirement.split("[")[0].split(">")[0].split("=")[0].strip()
        if extra and extra not in ("all", "dev", "docs"):
            found.append(_extra(extra, package))
    return found


def _extra(extra: str, package: str) -> Finding:
    try:
        return Finding(f"[{extra}]", f"{package} {version(package)}")
    except PackageNotFoundError:
        return Finding(f"[{extra}]", f"{package} is missing", f'optional: pip install "unrolled[{extra}]"')


def keys() -> type | None:
    """No keys."""
    return None


def run(arguments: Arguments) -> Doctor:
    """Runs the doctor."""
    from unrolled.cli.arguments import no_values

    no_values(arguments)
    return doctor()


def show(result: Any) -> str:
    """A line a finding, with what to do behind an arrow."""
    width = max(len(f.name) for f in result.findings)
    lines = [
        f"{'!' if f.advice else ' '} {f.name:<{width}}  {f.found}{'  -> ' + f.advice if f.advice else ''}"
        for f in result.findings
    ]
    said = f"{len(result.missed)} to look at: {', '.join(result.missed)}" if result.missed else "all well"
    return "\n".join([*lines, said])


def brief(result: Any) -> str:
    """What is missed, a name a line."""
    return "\n".join(result.missed)
