"""From what a source needs to a lock, by `uv pip compile`; a resolution is remembered.

uv is asked twice: for the versions with the reason of each, then for the files of exactly these versions, with hashes
and sizes. What the source can do without never makes a resolution fail.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import Diagnostic, Severity, error
from kanoe.base.errors import InputError, KanoeError, UnavailableError
from kanoe.base.files import replace_file
from kanoe.base.hashing import hash_text
from kanoe.base.stop import Stop
from kanoe.environments.complaints import Complaint, read_complaint
from kanoe.environments.interpreters import Interpreter
from kanoe.environments.lock import Distribution, Lock, Skipped, describe_needed_by, public_url, this_platform
from kanoe.environments.lock_file import dumps, loads
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.tables import read_names, read_pairs
from kanoe.environments.uv import Progress, index_settings, quiet, run_uv
from kanoe.environments.versions import normalise

_FORM = "resolution/2"  # to be raised when the same needs come to another lock
_MOST_UNKNOWN = 20  # names that are looked up one after the other
_PIP = Requirement("pip", why=("runs `!pip` lines",))
_NEEDED_BY = "needed by "
_NO_DAY = "2100-01-01T00:00:00Z"
_BUILD_TOOLS = frozenset({"setuptools", "wheel"})
# Libraries use them too, so their day counts. Not typing-extensions: ipython needs newer ones than it says, and it only grows.
_SHARED = frozenset({"packaging", "python-dateutil", "six", "tzdata"})


def resolve(
    needs: Needs,
    interpreter: Interpreter,
    *,
    kernel: Sequence[Requirement],
    cache: Path,
    upgrade: bool = False,
    folder: Path | None = None,
    progress: Progress = quiet,
    stop: Stop | None = None,
) -> Lock:
    """Return the lock for what a source needs.

    Args:
        needs: what the source asks for.
        interpreter: what will run it.
        kernel: what runs the cells (`kernel_requirements`); what the source declares itself wins over it.
        cache: the folder of remembered resolutions.
        upgrade: forget a remembered resolution, take the newest releases.
        folder: whose `uv.toml` or `pyproject.toml` may say which registries to use; `None`: the user's own only.
        progress: called with what is being done.
        stop: ends it.

    Raises:
        InputError: an unknown distribution, requirements that contradict each other.
        UnavailableError: the registry does not answer, `uv` is missing, a distribution cannot be built.
        CancelledError: `stop` was requested.
    """
    asked = _with_kernel(needs.requirements, (*kernel, _PIP))
    remembered = cache / f"{_key(asked, needs, interpreter)}.lock"
    if not upgrade:
        lock = _recall(remembered, asked)
        if lock is not None:
            return lock
    progress(None, f"resolving {len(asked)} requirements for Python {interpreter.short}")
    question = _Question(needs, interpreter, asked, frozenset(one.name for one in (*kernel, _PIP)), folder, stop)
    versions = question.solve()
    lock = Lock(
        python=interpreter.short,
        platform=this_platform(),
        requirements=tuple(sorted(question.asked, key=lambda one: (one.name, one.marker))),
        distributions=question.find_files(versions),
        as_of=needs.as_of,
        skipped=tuple(sorted(question.skipped, key=lambda one: one.name)),
    )
    if all(requirement.url is None or _is_lasting(requirement.url) for requirement in asked):
        with contextlib.suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            replace_file(remembered, dumps(lock).encode())
    return lock


def _is_lasting(url: str) -> bool:
    """Return whether a direct reference may be remembered: no file that changes, none whose password is cut out."""
    return not url.startswith("file:") and public_url(url) == url


def _with_kernel(requirements: Iterable[Requirement], kernel: Iterable[Requirement]) -> tuple[Requirement, ...]:
    """Return the requirements with the kernel's own; what the source says of their versions wins."""
    asked = list(requirements)
    for own in kernel:
        same = [position for position, one in enumerate(asked) if one.name == own.name]
        if not same:
            asked.append(own)
        for position in same:
            one = asked[position]
            specifier = own.specifier if not one.specifier and one.url is None else one.specifier
            asked[position] = replace(one, specifier=specifier, why=(*one.why, *own.why), optional=False, guessed=False)
    return tuple(sorted(asked, key=lambda one: (one.name, one.marker)))


def _key(asked: Iterable[Requirement], needs: Needs, interpreter: Interpreter) -> str:
    parts = [interpreter.version, this_platform(), needs.as_of or "", *index_settings(), "requirements"]
    for one in asked:
        parts += [str(one), ",".join(one.modules), f"{one.optional:d}{one.guessed:d}"]
    return hash_text(_FORM, *parts)


def _recall(remembered: Path, asked: Sequence[Requirement]) -> Lock | None:
    """Return a remembered lock with today's reasons (cells may have moved since); `None` if there is none."""
    try:
        lock = loads(remembered.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InputError):
        return None
    reasons = {(one.name, one.marker): one.why for one in asked}
    requirements = tuple(replace(one, why=reasons.get((one.name, one.marker), one.why)) for one in lock.requirements)
    direct = _reasons(requirements)
    return replace(
        lock,
        requirements=requirements,
        skipped=tuple(replace(one, why=reasons.get((one.name, ""), one.why)) for one in lock.skipped),
        distributions=tuple(
            replace(
                one, why=(*direct.get(one.name, ()), *(phrase for phrase in one.why if phrase.startswith(_NEEDED_BY)))
            )
            for one in lock.distributions
        ),
    )


def _reasons(requirements: Iterable[Requirement]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one in requirements:
        found[one.name] = tuple(dict.fromkeys((*found.get(one.name, ()), *one.why)))
    return found


@dataclass(frozen=True, slots=True)
class _Version:
    """A line of uv's answer: `numpy==2.1.0`, or `name @ url`, and the distributions that need it."""

    name: str
    version: str | None
    url: str | None
    needed_by: tuple[str, ...]

    @property
    def line(self) -> str:
        return f"{self.name}=={self.version}" if self.url is None else f"{self.name} @ {self.url}"


@dataclass
class _Question:
    """One question to uv, narrowed until it has an answer; `asked` and `skipped` say what became of it."""

    needs: Needs
    interpreter: Interpreter
    asked: Sequence[Requirement]
    kernel: frozenset[str]
    folder: Path | None
    stop: Stop | None
    plumbing: tuple[str, ...] = ()
    strangers: dict[str, _Version] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    unknown: list[Diagnostic] = field(default_factory=list)

    def solve(self) -> list[_Version]:
        """Return the versions; what can be done without is dropped where it is in the way."""
        self._drop(
            [one for one in self.asked if one.optional and one.guessed], "nothing proves which distribution has it"
        )
        self._find_plumbing()
        self._find_strangers()
        versions = self._versions_of(self._command(), self._lines)
        if self.unknown:
            raise InputError(*self.unknown)
        self.asked = [_named(one, versions) for one in self.asked]
        return versions

    def _command(self) -> list[str]:
        command = [*self._compile(), "--annotation-style", "split", *self._clock()]
        return command + [part for name in self.strangers for part in ("--only-binary", name)]

    def _compile(self) -> list[str]:
        return ["pip", "compile", "-", "--python", str(self.interpreter.path), "--no-header", "--no-python-downloads"]

    def _clock(self) -> list[str]:
        """Return the options that hold back newer releases, but not of what runs the cells: an old kernel would not."""
        if self.needs.as_of is None:
            return []
        day = self.needs.as_of if len(self.needs.as_of) > 10 else f"{self.needs.as_of}T00:00:00Z"
        free = [part for name in self.plumbing for part in ("--exclude-newer-package", f"{name}={_NO_DAY}")]
        return ["--exclude-newer", day, *free]

    def _find_plumbing(self) -> None:
        """Learn everything that runs the cells, so that the day does not hold for it; nor for tools that build."""
        if self.needs.as_of is None:
            return
        own = "".join(f"{one}\n" for one in self.asked if one.name in self.kernel and one.url is None)
        names = {one.name for one in self._versions_of(self._compile(), lambda: own)}
        wanted = {one.name for one in self.needs.requirements}
        self.plumbing = tuple(sorted((names | _BUILD_TOOLS) - wanted - _SHARED))

    def _find_strangers(self) -> None:
        """Hold fast what the guesses bring, by ready files alone: to build a stranger's would run its code here."""

        def lines() -> str:
            return "".join(f"{one}\n" for one in self.asked if one.guessed and one.url is None)

        if not lines():
            return
        found = self._versions_of([*self._compile(), *self._clock(), "--only-binary", ":all:"], lines)
        self.strangers = {one.name: one for one in found}

    def _versions_of(self, command: list[str], lines: Callable[[], str]) -> list[_Version]:
        """Return uv's answer for the lines, which become fewer while something has to be left out."""
        while True:
            done = run_uv(command, folder=self.folder, text=lines(), stop=self.stop)
            if done.returncode == 0:
                return list(_read_versions(done.stdout))
            self._narrow(read_complaint(done.stderr))

    def _lines(self) -> str:
        return "".join(f"{self._line(one)}\n" for one in self.asked)

    def _line(self, requirement: Requirement) -> str:
        if not requirement.guessed:
            return str(requirement)
        # Where a link does not say whose it is, uv finds the name.
        return requirement.url or self.strangers[requirement.name].line

    def _drop(self, requirements: Sequence[Requirement], reason: str) -> None:
        self.skipped += [Skipped(one.name, one.why, reason) for one in requirements]
        self.asked = [one for one in self.asked if one not in requirements]

    def _narrow(self, complaint: Complaint) -> None:
        """Leave out what is at fault if that is allowed.

        Raises:
            KanoeError: it is not.
        """
        culprits = [one for one in self.asked if one.name in complaint.names]
        optional = [one for one in culprits if one.optional]
        if not complaint.available and complaint.code != "build-failed":
            raise UnavailableError(self._diagnostic(complaint, ()))
        if optional:
            self._drop(optional, complaint.message)
        elif complaint.code == "distribution-unknown" and culprits and len(self.unknown) < _MOST_UNKNOWN:
            self._note_unknown(complaint, culprits)
        elif any(one.optional for one in self.asked) and not self.unknown:
            others = [one for one in self.asked if one.optional]
            self._drop(others, "the requirements have no solution with it")
        elif self.unknown:
            raise InputError(*self.unknown)
        else:
            raise self._failure(complaint, culprits)

    def _note_unknown(self, complaint: Complaint, culprits: Sequence[Requirement]) -> None:
        name = complaint.names[0]
        if name in self.kernel:
            message = f"the package registry does not have `{name}`, which every environment needs"
            hint = "Check which registry is used (`UV_DEFAULT_INDEX`, `uv.toml`, `pip.conf`)"
            raise UnavailableError(error("registry-unreachable", message, hint=hint))
        near = difflib.get_close_matches(name, _well_known(), 1, 0.75)
        meant = f"Did you mean `{near[0]}`? " if near else ""
        guess = f"`--with {near[0] if near else 'NAME'}`"
        if any(one.guessed for one in culprits):
            modules = " and ".join(f"`{module}`" for one in culprits for module in one.modules) or f"`{name}`"
            message = f"{complaint.message}, which is guessed from the import of {modules}"
            hint = f"{meant}Name the distribution that has it: {guess}"
        else:
            message = complaint.message
            hint = f"{meant}Correct the name where it is declared, or give the right one: {guess}"
        self.unknown.append(error(complaint.code, message, place=_places(culprits), hint=hint))
        self.asked = [one for one in self.asked if one not in culprits]

    def _failure(self, complaint: Complaint, culprits: Sequence[Requirement]) -> KanoeError:
        failure = InputError if complaint.available else UnavailableError
        return failure(self._diagnostic(complaint, culprits))

    def _diagnostic(self, complaint: Complaint, culprits: Sequence[Requirement]) -> Diagnostic:
        return Diagnostic(complaint.code, Severity.ERROR, complaint.message, _places(culprits), complaint.hint)

    def find_files(self, versions: Sequence[_Version]) -> tuple[Distribution, ...]:
        """Return the distributions of these versions with their files."""
        if not versions:
            return ()
        files = {
            normalise(one["name"]): one
            for one in tomllib.loads(self._ask_again(versions, "--format", "pylock.toml"))["packages"]
        }
        direct = _reasons(self.asked)
        found = [_distribution(one, files.get(one.name, {}), direct.get(one.name, ())) for one in versions]
        bare = [version for version, one in zip(versions, found, strict=True) if not one.hashes and one.url is None]
        if bare:
            # A registry without hashes: uv fetches the files and computes them.
            hashes = dict(_read_hashes(self._ask_again(bare, "--generate-hashes")))
            found = [replace(one, hashes=one.hashes or hashes.get(one.name, ())) for one in found]
        return tuple(sorted(found, key=lambda one: one.name))

    def _ask_again(self, versions: Sequence[_Version], *options: str) -> str:
        command = [*self._command(), "--no-deps", *options]
        text = "".join(f"{one.line}\n" for one in versions)
        done = run_uv(command, folder=self.folder, text=text, stop=self.stop)
        if done.returncode != 0:
            raise self._failure(read_complaint(done.stderr), ())
        return done.stdout


def _named(requirement: Requirement, versions: Sequence[_Version]) -> Requirement:
    """Return a requirement with its true name where only a link was known."""
    if not requirement.guessed or requirement.url is None:
        return requirement
    link = _without_revision(requirement.url)
    name = next((one.name for one in versions if one.url and _without_revision(one.url) == link), requirement.name)
    return replace(requirement, name=name, guessed=False)


def _without_revision(url: str) -> str:
    return re.sub(r"@[^/@]+$", "", url.partition("#")[0]).removesuffix("/")


def _places(requirements: Iterable[Requirement]) -> str | None:
    """Return who asks: `pandas: imported by cell 3; numpy: requirements.txt line 2`."""
    return "; ".join(f"{one.name}: {', '.join(one.why)}" for one in requirements if one.why) or None


def _well_known() -> list[str]:
    names = {normalise(name) for name in read_names("same")}
    names.update(normalise(name) for row in read_pairs("aliases").values() for name in row.partition(";")[0].split())
    return sorted(names)


_PINNED = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*(?:==\s*(?P<version>[^\s;\\]+)|@\s*(?P<url>\S+))"
)


def _read_versions(text: str) -> Iterator[_Version]:
    """Yield the versions of uv's answer in the form of a requirements file, with the comments below each."""
    match: re.Match[str] | None = None
    needed: list[str] = []
    for line in [*text.split("\n"), "end @ of-file"]:
        pinned = _PINNED.match(line)
        if pinned is None:
            by = re.match(r"\s+#\s+(?:via\s+)?([A-Za-z0-9][A-Za-z0-9._-]*)", line)
            needed += [normalise(by[1])] if by and by[1] != "via" else []
            continue
        if match is not None:
            yield _Version(normalise(match["name"]), match["version"], match["url"], tuple(sorted(set(needed))))
        match, needed = pinned, []


def _read_hashes(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for block in re.split(r"\n(?=\S)", text):
        pinned = _PINNED.match(block)
        if pinned is not None:
            yield normalise(pinned["name"]), tuple(sorted(re.findall(r"--hash=([a-z0-9]+:[0-9a-f]+)", block)))


def _distribution(version: _Version, package: Mapping[str, Any], why: tuple[str, ...]) -> Distribution:
    """Return a distribution from the table of a pylock file (https://packaging.python.org/en/latest/specifications/pylock-toml/)."""
    files = package.get("wheels") or [package[kind] for kind in ("sdist", "archive") if kind in package]
    # A wheel for this platform is preferred to one for any.
    chosen: Mapping[str, Any] = min(
        files, key=lambda one: one.get("url", one.get("path", "")).endswith("-any.whl"), default={}
    )
    needed = (describe_needed_by(version.needed_by),) if version.needed_by else ()
    return Distribution(
        name=version.name,
        version=version.version or package.get("version") or "0",
        why=(*why, *needed),
        hashes=tuple(
            sorted({f"{name}:{value}" for file in files for name, value in _strongest(file.get("hashes", {}))})
        ),
        url=version.url,
        size=chosen.get("size"),
    )


def _strongest(hashes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return one hash of a file, of those that uv knows."""
    return next(
        ([(name, hashes[name])] for name in ("sha256", "sha512", "sha384", "blake2b", "md5") if name in hashes), []
    )
