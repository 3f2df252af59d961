"""What a check of the law found: for each check its worst error, where it was, and what was allowed."""

from __future__ import annotations

from dataclasses import dataclass, field

from unrolled.errors import CheckFailed


@dataclass
class Finding:
    """One comparison: the largest error of a check, where it was (or what is wrong), and what was allowed."""

    check: str
    where: str
    error: float
    allowed: float

    @property
    def held(self) -> bool:
        return self.error <= self.allowed


@dataclass
class Report:
    """What `check` found: for each check its worst finding; and why others were not checked."""

    mixer: str
    findings: dict[str, Finding] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(finding.held for finding in self.findings.values())

    def __str__(self) -> str:
        lines = [f"the law for {self.mixer}: {'holds' if self.ok else 'BROKEN'}"]
        for f in self.findings.values():
            numbers = f"{f.check:<28} error {f.error:.1e}, allowed {f.allowed:.0e}"
            lines.append(f"  ok     {numbers}" if f.held else f"  BROKEN {numbers}  ({f.where})")
        lines += [f"  -      {check:<28} not checked: {why}" for check, why in self.unchecked.items()]
        return "\n".join(lines)

    def require(self) -> Report:
        """This report; raises CheckFailed with the whole table when something is broken."""
        if not self.ok:
            raise CheckFailed(str(self))
        return self
