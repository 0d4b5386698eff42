"""What uv answers with: versions, each with what asks for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kanoe.environments.needs import Requirement
from kanoe.environments.versions import normalise

PINNED = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*(?:==\s*(?P<version>[^\s;\\]+)|@\s*(?P<url>\S+))"
)


@dataclass(frozen=True, slots=True)
class Version:
    """A line of uv's answer: `numpy==2.1.0`, or `name @ url`, and the distributions that need it."""

    name: str
    version: str | None
    url: str | None
    needed_by: tuple[str, ...]

    @property
    def line(self) -> str:
        """The form that uv reads."""
        return f"{self.name}=={self.version}" if self.url is None else f"{self.name} @ {self.url}"


def read_versions(text: str) -> Iterator[Version]:
    """Yield the versions of uv's answer in the form of a requirements file, with the comments below each."""
    match: re.Match[str] | None = None
    needed: list[str] = []
    for line in [*text.split("\n"), "end @ of-file"]:
        pinned = PINNED.match(line)
        if pinned is None:
            by = re.match(r"\s+#\s+(?:via\s+)?([A-Za-z0-9][A-Za-z0-9._-]*)", line)
            needed += [normalise(by[1])] if by and by[1] != "via" else []
            continue
        if match is not None:
            yield Version(normalise(match["name"]), match["version"], match["url"], tuple(sorted(set(needed))))
        match, needed = pinned, []


def named(requirement: Requirement, versions: Sequence[Version]) -> Requirement:
    """Return a requirement with its true name where only a link was known."""
    if not requirement.guessed or requirement.url is None:
        return requirement
    link = _without_revision(requirement.url)
    name = next((one.name for one in versions if one.url and _without_revision(one.url) == link), requirement.name)
    return replace(requirement, name=name, guessed=False)


def _without_revision(url: str) -> str:
    return re.sub(r"@[^/@]+$", "", url.partition("#")[0]).removesuffix("/")
