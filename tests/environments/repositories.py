"""Git repositories of our own, which git finds under the addresses that tables name."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest


class Repository:
    """A repository; `answers_at` lets git find it at an address."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self._git("init", "--quiet", "--initial-branch=main")

    def commit(self, day: str, files: Mapping[str, str]) -> str:
        """Make a commit that holds exactly these files, and return its name."""
        self._git("rm", "-r", "--quiet", "--force", "--ignore-unmatch", ".")
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", day, day=day)
        return self._git("rev-parse", "HEAD").strip()

    def branch(self, name: str) -> None:
        """Go to a new branch."""
        self._git("checkout", "--quiet", "-b", name)

    def _git(self, *arguments: str, day: str = "2020-01-01") -> str:
        variables = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        for role in ("AUTHOR", "COMMITTER"):
            variables |= {f"GIT_{role}_NAME": "n", f"GIT_{role}_EMAIL": "e@x", f"GIT_{role}_DATE": f"{day}T12:00:00Z"}
        command = ["git", "-C", str(self.path), *arguments]
        done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
        return done.stdout


def git_knows(folder: Path, monkeypatch: pytest.MonkeyPatch, addresses: Mapping[str, Path | None]) -> None:
    """Make git go to a folder instead of an address; `None`: to one that is not there."""
    lines = []
    for address, path in addresses.items():
        lines += [f'[url "file://{path or folder / "nowhere"}"]', f"    insteadOf = {address}"]
    lines += ["[uploadpack]", "    allowFilter = true", "    allowAnySHA1InWant = true"]
    file = folder / "gitconfig"
    file.write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
