"""From what the code imports and the author declared to the distributions that the environment must hold."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from kanoe.base.diagnostics import Diagnostic, cell_place, error, info, warning
from kanoe.base.errors import InputError
from kanoe.environments.as_of import first_wheels, image_day, infer_period, python_released
from kanoe.environments.declared import Declarations, parse_day, parse_python, read_declarations
from kanoe.environments.imports import Import, LocalModules, find_imports, find_run_files, find_written_modules
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.requirements import join_versions, parse_extra, parse_requirement
from kanoe.environments.sources import find_source, unreachable_hint
from kanoe.environments.tables import read_names, read_pairs
from kanoe.environments.versions import normalise
from kanoe.ir.code import CellCode, parse_cell
from kanoe.ir.source import Source

_GUESSABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*$")
_VERSIONS = re.compile(r"[<>=!~][^\s;]*")
_VERSION_SUFFIX = re.compile(r"[-_.]v\d+\w*$")
_ELSEWHERE = re.compile(r"\bsys\.path\b|\bgit clone\b|\bPYTHONPATH\b")
_OLD_KERNEL = (("ipykernel", "<5"), ("ipython", "<7"))
_BLANK_MAGIC = re.compile(r"\s*%[ \t]+[A-Za-z]")
_FIRST_YEAR = "2005"  # nothing on PyPI is older
_MOST_CELLS = 5  # named in a reason


@dataclass(frozen=True, slots=True)
class Provider:
    """What brings an imported module.

    Args:
        kind: `none` (the standard library, the kernel, Kaggle's own image), `nowhere` (no registry has it), `source` (a
            repository has it and no registry), `known` (a table says it) or `guessed` (a distribution may have the
            import's name).
        module: the module that the answer is for: `sklearn`, `google.cloud.bigquery`.
        distributions: those that bring it, the usual one first.
        specifier: the versions of the usual one that have the module, or empty for any.
        marker: a PEP 508 marker for it, or empty.
        source: for `source`, the direct reference that has it (`git+https://...`); for `nowhere`, `local`: the author's own file.
    """

    kind: Literal["none", "nowhere", "source", "known", "guessed"]
    module: str
    distributions: tuple[str, ...] = ()
    specifier: str = ""
    marker: str = ""
    source: str = ""


def find_provider(module: str) -> Provider:
    """Return what brings the module of that dotted name; the longest row of the tables that fits decides.

    A trailing part that is no module (`google.cloud.bigquery.Client`) does no harm.
    """
    parts = module.split(".")
    top = parts[0]
    if top in read_names("standard") or top.startswith("_"):
        return Provider("none", top)
    origin = find_source(top)
    if origin is not None:
        kind: Literal["nowhere", "source"] = "nowhere" if origin.kind == "clone" else "source"
        return Provider(kind, top, (origin.distribution,), source=origin.url)
    aliases, nowhere = read_pairs("aliases"), read_pairs("nowhere")
    for count in range(len(parts), 0, -1):
        prefix = ".".join(parts[:count])
        if prefix in aliases:
            row, _, marker = aliases[prefix].partition(";")
            names = tuple(normalise(name) for name in _VERSIONS.sub("", row).split())
            versions = _VERSIONS.search(row)
            return Provider("known", prefix, names, versions.group() if versions else "", marker.strip())
        if prefix in nowhere:
            return _explain_nowhere(parts, count, nowhere[prefix])
    name = normalise(top)
    return Provider("known" if name in _same_names() else "guessed", top, (name,))


def find_needs(
    source: Source,
    *,
    extra: Sequence[str] = (),
    python: str | None = None,
    as_of: str | None = None,
    cells: Sequence[CellCode] | None = None,
    today: datetime.date | None = None,
) -> Needs:
    """Return what a source asks of its environment, without the kernel's own plumbing.

    What is declared wins over what is inferred, and `extra` over all: the strongest place that says a version of a
    distribution decides, the others only add reasons. A requirement is `optional` when every import of it is caught or
    stands under a condition, or when only a habit of the code suggests it (`read_excel`); a direct reference is
    `guessed` when the link does not say which distribution it is.

    Args:
        source: what was read.
        extra: PEP 508 texts or links, as `--with` gives them.
        python: a version or a specifier, as `--python` gives it.
        as_of: a day or a time, as `--as-of` gives it, or `kaggle` for the day of the notebook's image.
        cells: the code of the source's code cells, where the caller has parsed it already.
        today: the day of the call, where a test settles it.

    Raises:
        InputError: a declaration file, or one of the options, cannot be understood.
    """
    codes = [parse_cell(cell.source) for cell in source.notebook.code_cells] if cells is None else cells
    chosen = [parse_extra(text) for text in extra]
    declarations = [Declarations(tuple(join_versions(chosen))), *read_declarations(source, codes)]
    named = _Merged()
    for place in declarations:
        named.add_place(place)
    inference = _Inference(source, codes, named, complete=any(place.complete for place in declarations))
    for need in inference.infer():
        named.add(need)
    today = today or datetime.datetime.now(datetime.UTC).date()
    period = _choose_period(source, codes, declarations, python=python, as_of=as_of, today=today)
    return Needs(
        requirements=tuple(_limit(need, period.limits) for need in named.finish()),
        python=period.python,
        python_why=period.python_why,
        as_of=period.as_of,
        as_of_why=period.as_of_why,
        inferred=period.python_inferred or period.as_of_inferred,
        python_inferred=period.python_inferred,
        as_of_inferred=period.as_of_inferred,
        evidence=period.evidence,
        local_modules=tuple(sorted(inference.local.used)),
        diagnostics=(*(remark for place in declarations for remark in place.diagnostics), *inference.remarks),
    )


def kernel_requirements(python_minor: tuple[int, int]) -> tuple[Requirement, ...]:
    """Return the distributions that run the cells under a Python version, such as `(3, 11)`.

    A later version than the tables know is taken for the newest they do.

    Raises:
        InputError: no kernel of Kanoe runs under that version.
    """
    rows = read_pairs("kernel")
    known = sorted(tuple(int(part) for part in version.split(".")) for version in rows)
    if python_minor < known[0]:
        version = ".".join(str(part) for part in python_minor)
        hint = "take a newer one with `--python 3.11`"
        raise InputError(
            error("python-version", f"Kanoe runs notebooks on Python 3.6 and later, not on {version}", hint=hint)
        )
    row = rows[".".join(str(part) for part in min(tuple(python_minor), known[-1]))]
    return tuple(
        sorted((parse_requirement(text, "runs the cells") for text in row.split()), key=lambda need: need.name)
    )


@functools.cache
def _same_names() -> frozenset[str]:
    return frozenset(name.lower().replace("_", "-").replace(".", "-") for name in read_names("same"))


def _explain_nowhere(parts: Sequence[str], count: int, kind: str) -> Provider:
    module = ".".join(parts[:count])
    if kind == "namespace" and len(parts) > count:
        full = _VERSION_SUFFIX.sub("", ".".join(parts[: count + 1]))
        return Provider("guessed", ".".join(parts[: count + 1]), (normalise(full),))
    if kind == "local":
        return Provider("nowhere", module, source=kind)
    return Provider("none", module)


def _choose_python(declarations: Sequence[Declarations], python: str | None) -> tuple[str | None, str | None]:
    if python is not None:
        # A path is for `choose_interpreter` to look at.
        is_path = "/" in python or python.startswith(("~", "."))
        return (python if is_path else parse_python(python, "--python")), "--python"
    chosen = next((place for place in declarations if place.python and place.python_why), None)
    if chosen is None:
        return None, None
    return parse_python(chosen.python or "", chosen.python_why or ""), chosen.python_why


def _choose_day(
    source: Source, declarations: Sequence[Declarations], as_of: str | None, today: datetime.date
) -> tuple[str | None, str | None]:
    if as_of is not None and as_of.strip().lower() == "kaggle":
        found = image_day(source.notebook, today)
        if found is None:
            message = f"`{source.path.name}` names no image of Kaggle, so its day is not known"
            hint = "leave `--as-of` out: Kanoe infers the day; or give it, as in `--as-of 2021-06-15`"
            raise InputError(error("date-broken", message, place="--as-of", hint=hint))
        return found[0], f"--as-of kaggle: {found[1]}"
    if as_of is not None:
        return parse_day(as_of, "--as-of"), "--as-of"
    return next(((place.as_of, place.as_of_why) for place in declarations if place.as_of), (None, None))


@dataclass(frozen=True, slots=True)
class _Settled:
    """The day and the Python, each with who says it."""

    python: str | None
    python_why: str | None
    as_of: str | None
    as_of_why: str | None
    python_inferred: bool = False
    as_of_inferred: bool = False
    evidence: tuple[str, ...] = ()
    limits: tuple[tuple[str, str], ...] = ()


def _choose_period(
    source: Source,
    codes: Sequence[CellCode],
    declarations: Sequence[Declarations],
    *,
    python: str | None,
    as_of: str | None,
    today: datetime.date,
) -> _Settled:
    """Return the day and the Python: what is given, else what is declared, else what the source's age asks for."""
    version, version_why = _choose_python(declarations, python)
    day, day_why = _choose_day(source, declarations, as_of, today)
    if day is not None:
        _check_day(day, day_why, version)
    if version is not None and day is not None:
        return _Settled(version, version_why, day, day_why)
    found = infer_period(source, codes, today=today, python=version, day=day)
    return _Settled(
        python=version or found.python,
        python_why=version_why or found.python_why,
        as_of=day or found.day,
        as_of_why=day_why or found.day_why,
        python_inferred=version is None and found.python is not None,
        as_of_inferred=day is None and found.day is not None,
        evidence=found.evidence,
        limits=found.limits,
    )


def _check_day(day: str, why: str | None, python: str | None) -> None:
    """Refuse a day on which there was nothing to install.

    Raises:
        InputError: `date-broken`: the day is before PyPI, or before the Python that goes with it.
    """
    if day[:4] < _FIRST_YEAR:
        message = f"{day} is before the first releases on PyPI, so nothing could be installed"
        hint = "give a later day, as in `--as-of 2018-04-01`"
        raise InputError(error("date-broken", message, place=why, hint=hint))
    released = python_released(python) if python else None
    if released is not None and day[:10] < released.isoformat():
        message = f"there was no Python {python} on {day[:10]}: it came out on {released}"
        hint = (
            f"take an older Python (`--python 3.6`), or a later day: `--as-of {first_wheels(python or '') or released}`"
        )
        raise InputError(error("date-broken", message, place=why, hint=hint))


def _limit(need: Requirement, limits: Sequence[tuple[str, str]]) -> Requirement:
    """Return a requirement with the version that the code asks for and the day does not settle."""
    specifier = dict(limits).get(need.name)
    return need if specifier is None or need.specifier or need.url else replace(need, specifier=specifier)


class _Merged:
    """One requirement per distribution and marker, added from the strongest place to the weakest."""

    def __init__(self) -> None:
        self._needs: dict[tuple[str, str], Requirement] = {}
        self._limits: dict[tuple[str, str], Requirement] = {}

    @property
    def names(self) -> frozenset[str]:
        """The distributions so far."""
        return frozenset(name for name, _ in self._needs)

    @property
    def links(self) -> dict[str, str]:
        """The direct references so far, by the name of their distribution."""
        return {need.name: need.url for need in self._needs.values() if need.url}

    def add_place(self, place: Declarations) -> None:
        """Add what one place declares; what a stronger one gave a version keeps it."""
        settled = {need.name for need in self._needs.values() if need.specifier or need.url}
        for need in place.requirements:
            if need.name not in settled and (need.name, need.marker) not in self._needs:
                self._needs[need.name, need.marker] = need
            else:
                self.add(need)
        for limit in place.constraints:
            self._limits.setdefault((limit.name, limit.marker), limit)

    def add(self, need: Requirement) -> None:
        """Add a weaker requirement: to those of its distribution, whatever their markers, else as a new one."""
        keys = [key for key in self._needs if key[0] == need.name]
        own = (need.name, need.marker)
        for key in [own] if own in self._needs else keys:
            self._needs[key] = _join_weaker(self._needs[key], need)
        if not keys:
            self._needs[own] = need

    def finish(self) -> tuple[Requirement, ...]:
        """Return the requirements, constraints applied, sorted by name."""
        limited = [
            replace(need, specifier=limit.specifier)
            if not need.specifier and not need.url and (limit := self._limits.get(key)) is not None
            else need
            for key, need in self._needs.items()
        ]
        return tuple(sorted(limited, key=lambda need: (need.name, need.marker)))


def _join_weaker(first: Requirement, need: Requirement) -> Requirement:
    """Return the first with the reasons of the second, and with its version where the first has none."""
    takes = bool(need.specifier or need.url) and not (first.specifier or first.url)
    linked = first if first.url else need if takes and need.url else None
    return replace(
        first,
        specifier=need.specifier if takes else first.specifier,
        url=need.url if takes else first.url,
        extras=tuple(sorted({*first.extras, *need.extras})),
        why=(*first.why, *(why for why in need.why if why not in first.why)),
        modules=tuple(sorted({*first.modules, *need.modules})),
        optional=first.optional and need.optional,
        guessed=linked.guessed if linked else first.guessed and need.guessed,
    )


@dataclass
class _Asked:
    """A distribution that imports ask for."""

    provider: Provider
    imports: list[Import] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)


class _Inference:
    """Infers requirements from the code of a source, given what is declared for it."""

    def __init__(self, source: Source, codes: Sequence[CellCode], named: _Merged, *, complete: bool) -> None:
        self.remarks: list[Diagnostic] = []
        self._source = source
        self._codes = codes
        self._complete = complete
        self._declared = named.names
        self._links = named.links
        self._text = "\n".join(code.source for code in codes)
        self._elsewhere = _ELSEWHERE.search(self._text) is not None
        self._written = find_written_modules(codes)
        self.local = LocalModules(source.folder, source.path.name, self._written)
        self._utilities = _utility_names(source)

    def infer(self) -> Iterator[Requirement]:
        """Yield what the code asks for; the order is that of its first use."""
        imports = self._follow_imports()
        asked: dict[tuple[str, str], _Asked] = {}
        for found in imports:
            for provider in _providers_of(found):
                self._ask(found, provider, asked)
        yield from (self._require(name, marker, entry) for (name, marker), entry in asked.items())
        yield from self._infer_magics()
        yield from self._infer_uses({found.top for found in imports})

    def _follow_imports(self) -> list[Import]:
        """Return the imports of the cells, of the modules beside the source that they reach, and programs they run."""
        pending = list(find_imports(self._codes))
        for position, code in self._written.values():
            pending += [replace(found, cell=position) for found in find_imports([code])]
        for _, path in find_run_files(self._codes):
            file = self._source.folder / path
            if ".." not in file.parts and file.is_file() and not path.startswith("/"):
                pending += self.local.read(file)
        kept: list[Import] = []
        for found in pending:  # grows while it is read
            if found.level or not found.module:
                continue
            known = found.top in read_pairs("aliases") or normalise(found.top) in _same_names()
            if self.local.holds(found.top, known=known):
                if known and found.cell is not None:
                    self._note_shadow(found)
                pending += self.local.follow(found)
            else:
                kept.append(found)
        return kept

    def _ask(self, found: Import, provider: Provider, asked: dict[tuple[str, str], _Asked]) -> None:
        if provider.kind == "none" or self._is_elsewhere(found, provider):
            return
        declared = self._declared_for(provider)
        if declared is None and provider.kind == "nowhere":
            self._note_nowhere(found, provider)
            return
        if provider.kind == "guessed" and declared is None and not self._may_guess(found, provider):
            return
        key = (declared or provider.distributions[0], "" if declared else provider.marker)
        entry = asked.setdefault(key, _Asked(provider if declared is None else replace(provider, kind="known")))
        entry.imports.append(found)
        entry.modules.add(provider.module)

    def _declared_for(self, provider: Provider) -> str | None:
        """Return the declared distribution that brings a module: one of the table's, or one with nearly its name."""
        name = normalise(provider.module)
        if provider.source == "local":
            return name if name in self._declared else None
        if provider.source:
            repository = provider.source.removeprefix("git+").lower()
            named = [one for one in (name, *provider.distributions) if one in self._declared]
            linked = (one for one, link in self._links.items() if repository in link.lower())
            return next(iter((*named, *linked)), None)
        likely = provider.distributions
        if provider.kind == "guessed":
            likely = (
                *likely,
                f"python-{name}",
                f"{name}-python",
                f"py{name}",
                f"py-{name}",
                f"{name}-py",
                name.removeprefix("py"),
            )
        return next((one for one in likely if one in self._declared), None)

    def _is_elsewhere(self, found: Import, provider: Provider) -> bool:
        """Return whether the notebook brings the module itself: an attached utility script, a file that it copies."""
        if provider.kind == "known":
            return False
        file = f"{found.top}.py"
        # The plain search spares most runs a regular expression for each import.
        return found.top in self._utilities or (
            file in self._text and re.search(rf"\b{re.escape(file)}\b", self._text) is not None
        )

    def _may_guess(self, found: Import, provider: Provider) -> bool:
        if not _GUESSABLE.match(found.top):
            self.remarks.append(self._remark(found, f"no distribution can have the name of the import `{found.top}`"))
            return False
        if self._complete:
            what = (
                f"`{provider.module}` is not in the PEP 723 block, which names everything; Kanoe guesses nothing for it"
            )
            self.remarks.append(self._remark(found, what))
            return False
        return True

    def _remark(self, found: Import, message: str) -> Diagnostic:
        return info("distribution-unproven", message, place=self._place(found), hint="name it with `--with NAME`")

    def _note_shadow(self, found: Import) -> None:
        message = f"`{found.top}` is the author's own file beside the {self._what}, not the distribution that brings it elsewhere"
        remark = info("module-shadowed", message, hint="if that is not meant, rename the file")
        if all(remark.message != earlier.message for earlier in self.remarks):
            self.remarks.append(replace(remark, place=self._place(found)))

    def _note_nowhere(self, found: Import, provider: Provider) -> None:
        if found.context in {"optional", "conditional"} or (provider.source == "local" and self._elsewhere):
            return
        if provider.source == "local":
            message = f"`{provider.module}` is a file of the author, and it does not stand beside the {self._what}"
            hint = f"put `{provider.module}.py` beside it, or name a distribution with `--with NAME`"
        else:
            origin = find_source(provider.module)
            assert origin is not None  # the provider is made from it
            message = f"no registry has `{provider.module}`; only {origin.address} has it, and an installer cannot take it from there"
            hint = unreachable_hint(origin)
        remark = warning("distribution-unknown", message, place=self._place(found), hint=hint)
        if all(remark.message != earlier.message for earlier in self.remarks):
            self.remarks.append(remark)

    def _require(self, name: str, marker: str, entry: _Asked) -> Requirement:
        guessed = entry.provider.kind == "guessed"
        caught = all(found.context in {"optional", "conditional"} for found in entry.imports)
        return Requirement(
            name=name,
            specifier=entry.provider.specifier if name in entry.provider.distributions[:1] else "",
            url=entry.provider.source if entry.provider.kind == "source" else None,
            marker=marker,
            why=(self._describe(entry.imports),),
            modules=tuple(sorted(entry.modules)),
            optional=caught or (entry.provider.kind in {"guessed", "source"} and self._elsewhere),
            guessed=guessed,
        )

    def _infer_magics(self) -> Iterator[Requirement]:
        """Yield what magics need: `%matplotlib`, `%pylab`, `%matplotlib widget`."""
        for position, code in enumerate(self._codes):
            for magic in code.magics:
                wanted = {"matplotlib": ["matplotlib"], "pylab": ["matplotlib", "numpy"]}.get(magic.name, [])
                if wanted and magic.arguments.strip() in {"widget", "ipympl"}:
                    wanted = [*wanted, "ipympl"]
                place = f"line {magic.line}" if self._source.kind == "script" else f"cell {position}"
                yield from (Requirement(name, why=(f"used by {place} (`%{magic.name}`)",)) for name in wanted)
                if _BLANK_MAGIC.match("".join(code.source.splitlines()[magic.line - 1 : magic.line])):
                    yield from _old_kernel(f"{place} writes `% {magic.name}`, which IPython 7 no longer knows")

    def _infer_uses(self, imported: Collection[str]) -> Iterator[Requirement]:
        """Yield what calls need that no import names: `read_excel`, `BeautifulSoup(page, "lxml")`."""
        codes = [code.python.replace('"', "'") for code in self._codes]
        for key, names in read_pairs("uses").items():
            module, _, text = key.partition(" ")
            if module not in imported:
                continue
            places = [position for position, code in enumerate(codes) if text in code]
            if places:
                reason = self._used(places, text.strip(".(") or module)
                yield from (Requirement(name, why=(reason,), optional=True) for name in names.split())

    def _used(self, positions: Sequence[int], text: str) -> str:
        where = "the script" if self._source.kind == "script" else _enumerate("cell", positions)
        return f"used by {where} (`{text}`)"

    def _describe(self, imports: Iterable[Import]) -> str:
        """Say who imports: `imported by cells 1 and 4`, `imported by line 3`, `imported by helpers.py`."""
        script = self._source.kind == "script"
        files = sorted({found.file for found in imports if found.file})
        places = sorted({found.line if script else found.cell for found in imports if not found.file})
        where = [_enumerate("line" if script else "cell", places)] if places else []
        return f"imported by {' and '.join([*where, *([_shorten(files)] if files else [])])}"

    def _place(self, found: Import) -> str:
        if found.file:
            return f"{found.file} line {found.line}"
        name = self._source.path.name
        return (
            f"{name} line {found.line}" if self._source.kind == "script" else cell_place(name, found.cell, found.line)
        )

    @property
    def _what(self) -> str:
        return "script" if self._source.kind == "script" else "notebook"


def _old_kernel(why: str) -> Iterator[Requirement]:
    """Yield the last kernel that reads a magic with a blank after the `%`; Pythons after 3.7 do not run it."""
    marker = 'python_version < "3.8"'
    yield from (Requirement(name, below, marker=marker, why=(why,)) for name, below in _OLD_KERNEL)


def _providers_of(found: Import) -> list[Provider]:
    """Return what an import needs: several for `from google.cloud import bigquery, storage`."""
    full = [f"{found.module}.{name}" for name in found.names if name != "*"] or [found.module]
    unique: dict[tuple[str, ...], Provider] = {}
    for name in full:
        provider = find_provider(name)
        unique.setdefault((provider.module, *provider.distributions), provider)
    return list(unique.values())


def _utility_names(source: Source) -> frozenset[str]:
    """Return the module names of attached notebooks, which may be utility scripts: `me/my-helpers` is `my_helpers`."""
    attached = source.metadata.kernel_sources if source.metadata else ()
    return frozenset(part.replace("-", "_") for slug in attached for part in slug.split("/")[1:2])


def _enumerate(noun: str, numbers: Sequence[int]) -> str:
    words = _shorten([str(number) for number in numbers])
    return f"{noun}{'s' if len(numbers) > 1 else ''} {words}"


def _shorten(words: Sequence[str]) -> str:
    shown = (
        [*words] if len(words) <= _MOST_CELLS else [*words[: _MOST_CELLS - 1], f"{len(words) - _MOST_CELLS + 1} more"]
    )
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
