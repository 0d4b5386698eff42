"""How a machine is asked: programs with a time limit, findings with what mends them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from kanoe.base.diagnostics import Diagnostic, Severity
from kanoe.verbs.checkup import Finding

SECONDS = 4.0  # for one program


def said(command: Sequence[str], seconds: float = SECONDS) -> tuple[bool, str]:
    """Run a program; return whether it ended well in time, and what it said (on stderr where it did not)."""
    try:
        done = subprocess.run(
            list(command), capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {seconds:.0f} s"
    except OSError as problem:
        return False, problem.strerror or str(problem)
    text = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).decode(errors="replace").strip()
    return done.returncode == 0, text


def trouble(name: str, code: str, message: str, hint: str | None, severity: Severity = Severity.WARNING) -> Finding:
    """Return a finding that is one diagnostic: its message is the line, its hint the line below."""
    return Finding(name, message, (Diagnostic(code, severity, message, None, hint),))


def install_command(*packages: str) -> str:
    """Return the command that installs packages, by the names of Debian, with this system's own program."""
    for program, command in (
        ("apt-get", "sudo apt install"),
        ("dnf", "sudo dnf install"),
        ("pacman", "sudo pacman -S"),
        ("zypper", "sudo zypper install"),
        ("apk", "sudo apk add"),
    ):
        if shutil.which(program):
            return f"`{command} {' '.join(packages)}`"
    return f"Install {', '.join(packages)}"
