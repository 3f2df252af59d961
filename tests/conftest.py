"""One thread a worker, shapes checked at every call, and skips that nobody can overlook."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

# torch.compile can't see through the checker: these files run in a process of their own without it.
UNCHECKED = {"test_compile.py"}
CHECKED = [f"unrolled.{name}" for name in ("layout", "state", "mixer", "kernels", "mixers", "model")]
CHECKS = "UNROLLED_TESTS_UNCHECKED" not in os.environ
if CHECKS:
    jaxtyping.install_import_hook(CHECKED, "beartype.beartype")

# Read by torch when it is first imported: two workers on two cores must not fight over them.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
# A shell that runs us in the background lets Ctrl-C be ignored, by our children too; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)
BENCH = os.environ.get("UNROLLED_DATA", "")  # for slow tests of public sets only
# Settings in the caller's shell must not change what the tests see.
for name in [n for n in os.environ if n.startswith("UNROLLED_")]:
    del os.environ[name]

SKIPPED: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test of an UNCHECKED file in a fresh process, where the shapes of tensors aren't checked."""
    if not CHECKS or pyfuncitem.path.name not in UNCHECKED:
        return None
    environment = os.environ | {"UNROLLED_TESTS_UNCHECKED": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", pyfuncitem.nodeid]
    done = subprocess.run(
        command, cwd=pyfuncitem.config.rootpath, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(done.stdout[-8000:] + done.stderr[-2000:], pytrace=False)
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collects skips; with xdist the reports of all workers pass here."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        SKIPPED.append(f"{report.nodeid} ({reason.removeprefix('Skipped: ')})")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test may only be skipped for want of a GPU: anything else fails the run."""
    unexcused = [s for s in SKIPPED if "GPU" not in s]
    if os.environ.get("CI") and unexcused and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names what was skipped right above pytest's closing line."""
    if SKIPPED:
        terminalreporter.write_line(f"skipped {len(SKIPPED)}: " + "; ".join(sorted(SKIPPED)))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own, so that no test sees what this machine holds."""
    monkeypatch.delenv("UNROLLED_DATA", raising=False)
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sets"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """For slow tests: the folder of public sets that UNROLLED_DATA names."""
    if not BENCH:
        pytest.skip("UNROLLED_DATA names no folder of sets")
    monkeypatch.setenv("UNROLLED_DATA", BENCH)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a small data file, and samples that cost no time."""
    from unrolled.datasets import readers, samples
    from unrolled.training import text

    folder = tmp_path_factory.mktemp("tiny")
    records = list(readers.records(samples.resolve("irish")))[:40]
    (folder / "tunes.abc").write_text("".join(record["text"] for record in records), encoding="utf-8")
    tokens, text.SAMPLE_TOKENS = text.SAMPLE_TOKENS, 4
    yield folder
    text.SAMPLE_TOKENS = tokens
