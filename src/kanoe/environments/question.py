"""One question to uv, asked again with what is learnt from each answer until there is a set of versions.

Two clocks: the libraries are of the day, what runs the cells and builds is of a later one. What cannot be had on the day
moves alone to the first release that can, which the registry's list of files decides, never a trial.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import Diagnostic, error
from kanoe.base.errors import InputError, KanoeError, UnavailableError
from kanoe.base.files import replace_file
from kanoe.base.hashing import hash_text
from kanoe.base.processes import Completed, owner
from kanoe.base.stop import Stop
from kanoe.environments.answer import Version, named, read_versions
from kanoe.environments.as_of import LAG
from kanoe.environments.complaints import Complaint, read_complaint
from kanoe.environments.explanations import Explanations
from kanoe.environments.interpreters import Interpreter
from kanoe.environments.lock import NO_DAY, Moved, Skipped
from kanoe.environments.moments import date_of, day_after, is_later, moment_of, newest_of, uploaded_on
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.registry import File, Offer, Project, Registry, newest_before, offers
from kanoe.environments.rules import (
    Rule,
    bounds_of,
    build_settings,
    compiled_names,
    late_day,
    late_names,
    needs_before,
    needs_of,
    repaired_metadata,
)
from kanoe.environments.settings import index_addresses
from kanoe.environments.uv import run_uv
from kanoe.environments.versions import (
    is_requirement,
    normalise,
    repair_requirement,
    sort_key,
)

_MOST_UNKNOWN = 20  # names that are looked up one after the other
_MOST_ROUNDS = 40  # questions that end with a complaint
_MOST_PASSES = 5  # looks at a whole answer
_A_MONTH = timedelta(days=30)
_LONG_AGO = timedelta(days=400)
# Libraries use them too, so their day counts. Not typing-extensions: ipython needs newer ones than it says, and it only grows.
_SHARED = frozenset({"packaging", "python-dateutil", "six", "tzdata"})
_REJECTED = re.compile(r"Metadata for `([^`]+)` \(v([^)]+)\) could not be parsed")
_UNBUILT = re.compile(r"Wheels are required for `([^`]+)`")
_UNTIMED = re.compile(r"`([^`]+)` is missing an upload date")
_NO_TIMES = "the registry does not say when its files were uploaded"
_DEPENDS = re.compile(r"depends? on ([A-Za-z0-9][A-Za-z0-9._-]*)((?:[<>=!~]=?=?[A-Za-z0-9.*+!]+,?)+)")


@dataclass
class Question:
    """What is asked of uv; `asked`, `skipped` and `moved` say what became of it, `packages` holds the files by name.

    Args:
        needs: what the source asks for.
        interpreter: what will run it.
        asked: the requirements, with the kernel's own.
        kernel: the names of those.
        memory: the folder of what is remembered of registries.
        folder: whose settings of registries count.
        stop: ends it.
    """

    needs: Needs
    interpreter: Interpreter
    asked: Sequence[Requirement]
    kernel: frozenset[str]
    memory: Path
    folder: Path | None = None
    stop: Stop | None = None
    skipped: list[Skipped] = field(default_factory=list)
    moved: dict[str, Moved] = field(default_factory=dict)
    packages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    _day: str | None = None
    _looked: str | None = None
    _plumbing: tuple[str, ...] = ()
    _is_late: bool = False  # while the plumbing is being found
    _is_timeless: bool = False  # the registry tells no times at all
    _untimed: set[str] = field(default_factory=set)
    _strangers: dict[str, Version] = field(default_factory=dict)
    _unknown: list[Diagnostic] = field(default_factory=list)
    _bounds: dict[tuple[str, str], Rule] = field(default_factory=dict)
    _given_up: set[tuple[str, str]] = field(default_factory=set)
    _unbuilt: set[str] = field(default_factory=set)
    _repaired: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._registry = Registry(self.memory, self.folder)
        python, kernel = self.interpreter.version, self.kernel
        self._explanations = Explanations(python, kernel, self._project, self._day_that_holds)

    def solve(self) -> list[Version]:
        """Return the versions; what can be done without is dropped where it is in the way.

        Raises:
            InputError: an unknown distribution, requirements that contradict each other.
            UnavailableError: the registry does not answer, `uv` is missing, a distribution cannot be built.
            CancelledError: `stop` was requested.
        """
        self._drop(
            [one for one in self.asked if one.optional and one.guessed], "nothing proves which distribution has it"
        )
        self._day = self.needs.as_of
        self._settle_day()
        self._find_plumbing()
        self._find_strangers()
        versions = self._settle()
        if self._unknown:
            raise InputError(*self._unknown)
        if any([self._look_back(one) for one in versions]):
            versions = self._settle()
        versions = self._try_builds(versions)
        self.asked = [named(one, versions) for one in self.asked]
        return versions

    def _try_builds(self, versions: list[Version]) -> list[Version]:
        """Return the versions of which all that has no ready file builds; uv's cache keeps what is built for the install."""
        for _ in range(_MOST_ROUNDS):
            unready = [one for one in versions if self._needs_build(one)]
            if not unready:
                break
            done = self._build(unready)
            if done.returncode == 0:
                break
            complaint = read_complaint(done.stderr)
            if not self._move(complaint, done.stderr):
                self._narrow(complaint)
            versions = self._settle()
        return versions

    def _needs_build(self, version: Version) -> bool:
        package = self.packages.get(version.name, {})
        return version.url is None and "sdist" in package and not package.get("wheels")

    def _build(self, versions: Sequence[Version]) -> Completed:
        """Build and install into a folder that is gone afterwards, exactly as an environment would have it."""
        command = ["pip", "install", "-r", "-", "--python", str(self.interpreter.builder), "--no-deps"]
        text = "".join(f"{one.line}\n" for one in versions)
        own = build_settings(self.needs.as_of, self.interpreter.minor)
        with tempfile.TemporaryDirectory(prefix=f"kanoe-{owner()}-built-", ignore_cleanup_errors=True) as folder:
            command += ["--target", folder, "--no-python-downloads"]
            return run_uv(command, folder=self.folder, text=text, own=own, stop=self.stop)

    def _find_packages(self, versions: Sequence[Version]) -> Mapping[str, Mapping[str, Any]]:
        """Return the tables of a pylock file for these versions, by name."""
        if not versions:
            return {}
        content = tomllib.loads(self.ask_again(versions, "--format", "pylock.toml"))
        return {normalise(one["name"]): one for one in content["packages"]}

    def ask_again(self, versions: Sequence[Version], *options: str) -> str:
        """Return uv's answer for exactly these versions, in another form."""
        command = [*self._command(), "--no-deps", *options]
        text = "".join(f"{one.line}\n" for one in versions)
        done = run_uv(command, folder=self.folder, text=text, own=self._own_settings(), stop=self.stop)
        if done.returncode != 0:
            raise self._explanations.failure(read_complaint(done.stderr), ())
        return done.stdout

    # -- what is asked

    @property
    def _declared(self) -> frozenset[str]:
        """What the source gives a version or a link itself: no table says more."""
        return frozenset(one.name for one in self.needs.requirements if one.specifier or one.url)

    def _settle_day(self) -> None:
        """Take what tables say of the day: bounds, needs that libraries of that day do not declare."""
        self._bounds = {}
        self._untimed = set()
        if self._day is None:
            return
        for rule in bounds_of(self._day_of_use(self._day)):
            self._bound(rule)
        pinned = {one.name for one in self.needs.requirements if one.url or one.specifier.startswith("==")}
        self._unbuilt |= compiled_names() - pinned
        names = {one.name for one in self.asked if one.name not in self._declared}
        while True:  # what is added needs something in turn
            rules = list(needs_before(names, self._day))
            for rule in rules:
                self._take(rule)
            grown = names | {rule.name for rule in rules if not rule.specifier}
            if grown == names:
                return
            names = grown

    def _day_of_use(self, day: str) -> str:
        """Return the day on which the image was used: an inferred day of the libraries lies before that of the run."""
        return (date_of(day) + LAG).isoformat() if self.needs.as_of_inferred else day

    def _take(self, rule: Rule) -> bool:
        """Hold a rule; returns whether it is new."""
        if rule.specifier:
            return self._bound(rule)
        if any(one.name in {rule.name, *_INSTEAD.get(rule.name, ())} for one in self.asked):
            return False
        asker = next((one for one in self.asked if one.name == rule.asker), None)
        why = f"{rule.asker} needs it and does not say so"
        added = Requirement(rule.name, why=(why,), optional=asker is not None and asker.optional)
        self.asked = sorted([*self.asked, added], key=lambda one: (one.name, one.marker))
        return True

    def _bound(self, rule: Rule) -> bool:
        key = (rule.name, rule.specifier)
        if rule.name in self._declared or key in self._bounds or key in self._given_up:
            return False
        self._bounds[key] = rule
        return True

    def _command(self) -> list[str]:
        command = [*self._compile(), "--annotation-style", "split", *self._clock()]
        return command + [part for name in self._strangers for part in ("--only-binary", name)]

    def _compile(self) -> list[str]:
        python = str(self.interpreter.builder)
        return ["pip", "compile", "-", "--python", python, "--no-header", "--no-python-downloads"]

    def _clock(self) -> list[str]:
        """Return the options that hold back newer releases, but not of what runs the cells: an old kernel would not."""
        if self._day is None or self._is_timeless:
            return []
        times = dict.fromkeys(self._plumbing, self._late())
        times.update((name, one.day) for name, one in self.moved.items() if name)
        return ["--exclude-newer", moment_of(self._day), *self._exceptions(times)]

    def _exceptions(self, times: Mapping[str, str]) -> Iterator[str]:
        """Yield the options for what has a day of its own, or none."""
        free = self._untimed | {name for name, one in self.moved.items() if one.day == NO_DAY}
        for name, time in sorted({**times, **dict.fromkeys(free, "false")}.items()):
            yield from ("--exclude-newer-package", f"{name}={time}") if name else ()

    def _late(self) -> str:
        late = late_day(self.interpreter.short)
        return NO_DAY if late is None else max(moment_of(late), moment_of(self._day or late))

    def _own_settings(self) -> dict[str, Any]:
        """Return what uv is told in its file of settings."""
        known = {(one["name"], one["version"]): one for one in repaired_metadata()}
        return {
            **build_settings(self._day, self.interpreter.minor),
            "constraint-dependencies": [str(rule) for rule in self._bounds.values()],
            "dependency-metadata": list((known | self._repaired).values()),
            "no-build-package": sorted(self._unbuilt),
        }

    def _find_plumbing(self) -> None:
        """Learn everything that runs the cells, so that the day does not hold for it; nor for tools that build."""
        if self._day is None:
            return
        own = "".join(f"{one}\n" for one in self.asked if one.name in self.kernel and one.url is None)
        path = (
            self.memory
            / f"plumbing-{hash_text(own, self.interpreter.version, *index_addresses(self.folder))[:16]}.json"
        )
        names: set[str] = set()
        with contextlib.suppress(OSError, ValueError):
            names = set(json.loads(path.read_bytes()))
        if not names:
            self._is_late = True
            names = {one.name for one in self._versions_of(self._late_command, lambda: own)}
            self._is_late = False
            if self._untimed:  # what was held fast for a later day
                self._settle_day()
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(path, json.dumps(sorted(names)).encode())
        wanted = {one.name for one in self.needs.requirements} - self.kernel
        self._plumbing = tuple(sorted((names | late_names()) - wanted - _SHARED))

    def _late_command(self) -> list[str]:
        if self._is_timeless or late_day(self.interpreter.short) is None:
            return self._compile()
        return [*self._compile(), "--exclude-newer", self._late(), *self._exceptions({})]

    def _find_strangers(self) -> None:
        """Hold fast what the guesses bring, by ready files alone: to build a stranger's would run its code here."""

        def lines() -> str:
            return "".join(f"{one}\n" for one in self.asked if one.guessed and one.url is None)

        if not lines():
            return
        found = self._versions_of(lambda: [*self._compile(), *self._clock(), "--only-binary", ":all:"], lines)
        self._strangers = {one.name: one for one in found}

    # -- asking

    def _settle(self) -> list[Version]:
        """Return uv's answer, asked again where the set breaks a rule that no metadata says."""
        for _ in range(_MOST_PASSES):
            versions = self._versions_of(self._command, self._lines)
            held = {one.name: one.version for one in versions if one.version is not None}
            if not any([self._take(rule) for rule in needs_of(held)]):
                break
        self.packages = {} if self._unknown else self._find_packages(versions)
        return versions

    def _versions_of(self, command: Callable[[], list[str]], lines: Callable[[], str]) -> list[Version]:
        """Return uv's answer for the lines, which change while something has to be moved or left out."""
        complaint = Complaint("requirements-unsolvable", (), "no set of versions was found")
        for _ in range(_MOST_ROUNDS):
            done = run_uv(command(), folder=self.folder, text=lines(), own=self._own_settings(), stop=self.stop)
            if self._free_untimed(done.stderr):
                continue
            if done.returncode == 0:
                return list(read_versions(done.stdout))
            complaint = read_complaint(done.stderr)
            if not self._repair(done.stderr) and not self._move(complaint, done.stderr):
                self._narrow(complaint)
        raise self._explanations.failure(complaint, ())

    def _lines(self) -> str:
        return "".join(f"{self._line(one)}\n" for one in self.asked)

    def _line(self, requirement: Requirement) -> str:
        if not requirement.guessed:
            return str(requirement)
        # Where a link does not say whose it is, uv finds the name.
        return requirement.url or self._strangers[requirement.name].line

    # -- what is learnt from a complaint

    def _repair(self, said: str) -> bool:
        """Mend metadata that uv rejects; returns whether there was some."""
        rejected = [(normalise(name), version) for name, version in _REJECTED.findall(said)]
        found = False
        for name, version in rejected:
            if (name, version) in self._repaired:
                continue
            with contextlib.suppress(KanoeError):
                self._repaired[name, version] = self._mended(name, version)
                found = True
        return found

    def _free_untimed(self, said: str) -> bool:
        """Free what has no upload times from the day, and let the order of releases decide; returns whether that is new."""
        names = {_project_of(file) for file in _UNTIMED.findall(said)} - self._untimed - set(self.moved)
        if not self._may_move and not self._is_late:
            names &= set(self._plumbing)
        return any([self._free_one(name) for name in sorted(names)])

    def _free_one(self, name: str) -> bool:
        project = self._project(name)
        limit = self._limit_of(name)
        if project is None or self._is_timeless:
            return False
        if limit == NO_DAY:
            self._untimed.add(name)
            return True
        if any(file.uploaded for file in project.files):
            newest = newest_before(project, limit)
            if newest is None:
                return False
            self._untimed.add(name)
            self._bound(Rule(name, f"<={newest}"))
            return True
        others = (self._project(one.name) for one in self.asked if one.url is None and one.name not in self.kernel)
        if any(file.uploaded for one in others if one is not None for file in one.files):
            self.moved[name] = Moved(name, NO_DAY, _NO_TIMES)
            return True
        if self.needs.as_of_inferred:
            self._is_timeless = True
            self.moved = {"": Moved("", NO_DAY, _NO_TIMES)}
        return self._is_timeless

    def _mended(self, name: str, version: str) -> dict[str, Any]:
        project = self._registry.project(name)
        wheels = [one for one in offers(project, self.interpreter.version) if one.version == version] if project else []
        if not wheels or not wheels[0].file.is_wheel:
            raise InputError(error("requirements-unsolvable", f"`{name}` {version} has no file to read"))
        text = self._registry.metadata(wheels[0].file)
        return {
            "name": name,
            "version": version,
            "requires-dist": [mended for need in _needs_in(text) if (mended := repair_requirement(need)) is not None],
            "provides-extra": _fields(text, "provides-extra"),
        }

    def _move(self, complaint: Complaint, said: str) -> bool:
        """Move what cannot be had on the day to the first release that can; returns whether something moved."""
        if not self._may_move or complaint.code not in {"requirements-unsolvable", "build-failed"}:
            return False
        wanted = self._specifiers(said)
        moved = False
        # Where one cannot be had, more cannot: they are looked at together.
        others = [one.name for one in self.asked if one.name not in self.kernel and one.url is None]
        others = [] if self._looked == self._day else others
        self._looked = self._day
        unbuilt = [normalise(name) for name in _UNBUILT.findall(said)]
        for name in dict.fromkeys((*complaint.names, *unbuilt, *others)):
            project = self._project(name)
            if project is not None:
                failed = name in complaint.names and complaint.code == "build-failed"
                moved = any([self._move_one(project, spec, failed) for spec in wanted.get(name, ("",))]) or moved
        return moved

    @property
    def _may_move(self) -> bool:
        """Whether the day is a wish: where the source itself declares it, nothing later is taken."""
        return (
            not self._is_timeless
            and self._day is not None
            and (self.needs.as_of_inferred or (self.needs.as_of_why or "").startswith("--as-of"))
        )

    def _specifiers(self, said: str) -> dict[str, tuple[str, ...]]:
        """Return what the requirements and uv's message say of the versions of each name."""
        text = re.sub(r"\s+", " ", re.sub("[\u2500-\u257f\u25b6\u00d7]", " ", said))
        found: dict[str, dict[str, None]] = {}
        for name, specifier in _DEPENDS.findall(text):
            found.setdefault(normalise(name), {})[specifier.rstrip(",.")] = None
        own = [(one.name, one.specifier) for one in self.asked if one.url is None]
        for name, specifier in (*own, *self._bounds):
            found.setdefault(name, {})[specifier] = None
        return {name: tuple(specifiers) for name, specifiers in found.items()}

    def _project(self, name: str) -> Project | None:
        with contextlib.suppress(UnavailableError):
            return self._registry.project(name)
        return None

    def _move_one(self, project: Project, specifier: str, failed: bool) -> bool:
        if failed:
            self._unbuilt.add(project.name)
        found = offers(project, self.interpreter.version, specifier, build=project.name not in self._unbuilt)
        limit = self._limit_of(project.name)
        if not found:
            return self._forget_bound(project.name, specifier) or (not failed and self._allow_build(project, specifier))
        if not found[0].uploaded:
            return False
        if moment_of(found[0].uploaded[:10]) < limit:
            return failed
        self._move_to(project, found[0], specifier)
        return True

    def _forget_bound(self, name: str, specifier: str) -> bool:
        """Forget a bound of the tables that leaves no file for this Python; returns whether it was one."""
        if self._bounds.pop((name, specifier), None) is None:
            return False
        self._given_up.add((name, specifier))
        return True

    def _allow_build(self, project: Project, specifier: str) -> bool:
        """Let what has no ready file for this Python at all be built, as the last resort; returns whether that is new."""
        name = project.name
        if name not in self._unbuilt or shutil.which("cc") is None:
            return False
        if not offers(project, self.interpreter.version, specifier):
            return False
        self._unbuilt.discard(name)
        return True

    def _move_to(self, project: Project, first: Offer, specifier: str = "") -> None:
        name = project.name
        if self._was_removed(project) and self.needs.as_of_inferred and any(one.name == name for one in self.asked):
            self._move_all(name, first)
        else:
            reason = self._why_moved(project, first, specifier)
            self.moved[name] = Moved(name, moment_of(day_after(first.uploaded)), reason)

    def _look_back(self, held: Version) -> bool:
        """Look at a release that is much older than the day, for uv goes back silently; returns whether to ask again."""
        if not self._may_move or held.version is None or not self._is_free(held.name):
            return False
        uploaded = uploaded_on(self.packages.get(held.name, {}))
        if uploaded is None or uploaded > date_of(self._day or "") - _LONG_AGO:
            return False
        project = self._project(held.name)
        if project is None:
            return False
        newest = newest_of(project, self._day or "")
        if newest is None or sort_key(newest.version or "") <= sort_key(held.version):
            return False
        found = offers(project, self.interpreter.version, build=held.name not in self._unbuilt)
        between = [one for one in found if one.uploaded < (self._day or "") and is_later(one, held.version)]
        if between:
            latest = max(between, key=lambda one: sort_key(one.version))
            return self._mend_rejected(latest, held.name) or self._forget_bounds_of(project, uploaded)
        return self._go_forward(project, found, uploaded, date_of(newest.uploaded or ""))

    def _forget_bounds_of(self, project: Project, uploaded: date) -> bool:
        """Forget bounds below which uv went back years: what they mean has no file for this Python; returns whether any."""
        specifiers = [specifier for name, specifier in self._bounds if name == project.name]
        meant = newest_of(project, self._day or "", *specifiers)
        if meant is None or date_of(meant.uploaded or "") - uploaded <= _LONG_AGO:
            return False
        return any([self._forget_bound(project.name, specifier) for specifier in specifiers])

    def _is_free(self, name: str) -> bool:
        """Whether a release may be chosen: the source asks for the distribution and says nothing of its version."""
        asked = [one for one in self.asked if one.name == name]
        return bool(asked) and name not in self._declared | self.kernel | set(self.moved)

    def _mend_rejected(self, offer: Offer, name: str) -> bool:
        if not offer.file.is_wheel or (name, offer.version) in self._repaired:
            return False
        with contextlib.suppress(KanoeError):
            text = self._registry.metadata(offer.file)
            if any(not is_requirement(need) for need in _needs_in(text)):
                self._repaired[name, offer.version] = self._mended(name, offer.version)
                return True
        return False

    def _go_forward(self, project: Project, found: Sequence[Offer], uploaded: date, newest: date) -> bool:
        """Move to the next release with a file where it is nearer to that of the day than the one uv went back to."""
        later = [one for one in found if one.uploaded[:10] >= (self._day or "")[:10]]
        if not later or date_of(later[0].uploaded) - newest >= newest - uploaded:
            return False
        self._move_to(project, later[0])
        return True

    def _limit_of(self, name: str) -> str:
        if name in self.moved:
            return self.moved[name].day
        return self._late() if self._is_late or name in self._plumbing else moment_of(self._day or NO_DAY)

    def _day_that_holds(self, name: str) -> str | None:
        return None if name in self._plumbing or self._is_timeless else self._limit_of(name)

    def _was_removed(self, project: Project) -> bool:
        """Return whether no file of any kind is left, or was there, on the day."""
        return all(file.uploaded is not None and file.uploaded >= moment_of(self._day or "") for file in project.files)

    def _why_moved(self, project: Project, first: Offer, specifier: str) -> str:
        day = (self._day or "")[:10]
        if self._was_removed(project):
            return f"the registry has no release of it before {first.uploaded[:10]}"
        if specifier:
            return f"the set needs {project.name}{specifier}, and the first such release is {first.version}"
        return f"its first release with a file for Python {self.interpreter.short} is {first.version}, after {day}"

    def _move_all(self, name: str, first: Offer) -> None:
        """Move the whole set: libraries that are used together are of one age."""
        day = (date_of(first.uploaded) + _A_MONTH).isoformat()
        reason = f"the registry has no release of `{name}` before {first.uploaded[:10]}"
        self.moved = {"": Moved("", moment_of(day), reason)}
        self._day = day
        self._settle_day()

    def _narrow(self, complaint: Complaint) -> None:
        """Leave out what is at fault if that is allowed.

        Raises:
            KanoeError: it is not.
        """
        culprits = [one for one in self.asked if one.name in complaint.names]
        optional = [one for one in culprits if one.optional]
        if not complaint.available and complaint.code != "build-failed":
            raise UnavailableError(self._explanations.diagnostic(complaint, ()))
        if self._give_up_bounds(complaint):
            return
        if optional:
            self._drop(optional, complaint.message)
        elif complaint.code == "distribution-unknown" and culprits and len(self._unknown) < _MOST_UNKNOWN:
            self._unknown.append(self._explanations.unknown(complaint, culprits))
            self.asked = [one for one in self.asked if one not in culprits]
        elif any(one.optional for one in self.asked) and not self._unknown:
            others = [one for one in self.asked if one.optional]
            self._drop(others, "the requirements have no solution with it")
        elif self._unknown:
            raise InputError(*self._unknown)
        else:
            raise self._explanations.failure(complaint, culprits)

    def _give_up_bounds(self, complaint: Complaint) -> bool:
        """Forget the bounds of tables that stand in the way; returns whether there were any."""
        if complaint.code != "requirements-unsolvable":
            return False
        held = [key for key in self._bounds if key[0] in complaint.names]
        for key in held:
            del self._bounds[key]
        self._given_up.update(held)
        return bool(held)

    def _drop(self, requirements: Sequence[Requirement], reason: str) -> None:
        self.skipped += [Skipped(one.name, one.why, reason) for one in requirements]
        self.asked = [one for one in self.asked if one not in requirements]


# What brings the same modules under another name: one is enough.
_INSTEAD: Mapping[str, tuple[str, ...]] = {
    "tensorflow": ("tensorflow-cpu", "tensorflow-gpu", "tf-nightly", "theano", "jax", "torch"),
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python"),
}


def _fields(metadata: str, name: str) -> list[str]:
    lines = metadata.replace("\r\n", "\n").partition("\n\n")[0].split("\n")
    return [line.partition(":")[2].strip() for line in lines if line.lower().startswith(f"{name}:")]


def _needs_in(metadata: str) -> list[str]:
    return _fields(metadata, "requires-dist")


def _project_of(file: str) -> str:
    """Return the name of a file's project."""
    version = File(file, "").version
    return normalise(file.partition(f"-{version}")[0] if version else file)
