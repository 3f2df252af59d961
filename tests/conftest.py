"""One thread a worker, and skips that nobody can overlook."""

from __future__ import annotations

import os

import pytest

# Read by torch when it is first imported: two workers on two cores must not fight over them.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
# Settings in the caller's shell must not change what the tests see.
for name in [n for n in os.environ if n.startswith("UNROLLED_")]:
    del os.environ[name]

SKIPPED: list[str] = []


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
