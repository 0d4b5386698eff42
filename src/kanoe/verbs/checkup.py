"""What `kanoe doctor` found, of a notebook or of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import Diagnostic, Severity
from kanoe.base.errors import ExitCode


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: of a notebook: `cells`, `environment`, `data`, `side data`, `programs`, `secrets`, `GPU`, `internet`; of the machine:
            what was looked at.
        text: what there is, in one line.
        diagnostics: what is wrong with it or worth knowing.
        known: whether it could be looked at.
    """

    name: str
    text: str
    diagnostics: tuple[Diagnostic, ...] = ()
    known: bool = True

    @property
    def state(self) -> str:
        """`ok`, `unknown`, or the strongest severity of its diagnostics that is more than a remark."""
        severities = {diagnostic.severity for diagnostic in self.diagnostics}
        for severity in (Severity.ERROR, Severity.WARNING):
            if severity in severities:
                return str(severity)
        return "ok" if self.known else "unknown"


@dataclass(frozen=True, slots=True)
class Checkup:
    """What `kanoe doctor` found.

    Args:
        source: the file; `None`: the machine was looked at.
        findings: in the order in which a run would meet them.
        exit_code: 0, or what a run would end with before it starts.
        groups: the headings of the findings: the position of the first below each.
    """

    source: Path | None
    findings: tuple[Finding, ...]
    exit_code: ExitCode = ExitCode.SUCCEEDED
    groups: tuple[tuple[int, str], ...] = ()

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything that is wrong or worth knowing."""
        return tuple(diagnostic for finding in self.findings for diagnostic in finding.diagnostics)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "source": str(self.source) if self.source is not None else None,
            "exit_code": int(self.exit_code),
            "findings": [
                {"name": finding.name, "state": finding.state, "text": finding.text} for finding in self.findings
            ],
            "diagnostics": [diagnostic.as_dict() for diagnostic in self.diagnostics],
        }
