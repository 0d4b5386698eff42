"""Builds for a GPU and for a processor alone: which of the two a run needs, from one table (`tables/accelerators.toml`).

Without `--gpu` what is declared for CUDA is taken in its build for processors; with it the table is read the other way.
What the command line names (`--with`) is taken as it is.
"""

from __future__ import annotations

import functools
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from kanoe.base.diagnostics import Diagnostic, info, warning
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.requirements import join_versions
from kanoe.environments.tables import read_pairs
from kanoe.environments.versions import version_fits

_CHOICE = re.compile(
    r"(?P<name>[A-Za-z0-9-]+|=)(?:\[(?P<extra>[\w-]+)\])?(?P<versions>[<>=!~][^@]*)?(?:@(?P<days>\S+))?$"
)
_KEY = re.compile(r"(?P<name>[^\[]+)(?:\[(?P<extra>[^\]]+)\])?$")
_LABEL = re.compile(r"(==[^+,;\s]+)\+(?:cpu|cu(?:da)?\d[\w.]*|rocm[\d.]+|xpu)\b")
_LABELLED = frozenset({"torch", "torchvision", "torchaudio", "torchtext", "jaxlib"})
_CUDA_FILE = re.compile(
    r"(?P<folder>/cu(?:da)?\d+/)?(?:[^/-]+)-(?P<version>\d[^-/+]*)(?P<label>\+cu(?:da)?\d[^-/]*)?(?:-[^/-]+){3,4}\.whl(?:#.*)?$"
)
_GIVEN = "--with"
_NEVER = "9999-12-31"


def choose_builds(needs: Needs, *, gpu: bool) -> Needs:
    """Return the needs with the builds that a run takes; what was changed or left out is among the diagnostics.

    Args:
        needs: what a source asks for.
        gpu: whether the run uses a GPU.
    """
    kept: list[Requirement] = []
    changed: list[tuple[Requirement, Requirement | None]] = []
    alone: list[Requirement] = []
    for one in needs.requirements:
        chosen = _chosen(one, needs.as_of, gpu=gpu)
        if chosen is None and _word_of(one.name) == "gpu":
            alone.append(one)
        elif chosen != one and not gpu:
            changed.append((one, chosen))
        if chosen is not None:
            kept.append(chosen)
    found = [*_describe_changes(changed), *_describe_left_out(alone)]
    requirements = sorted(join_versions(kept), key=lambda one: (one.name, one.marker))
    return replace(needs, requirements=tuple(requirements), gpu=gpu, diagnostics=(*needs.diagnostics, *found))


def has_builds(name: str) -> bool:
    """Return whether a distribution is another one with a GPU, or brings other ones."""
    return _word_of(name) not in {"", "both"} or name in _targets()


def is_unopened(name: str, asker: str) -> bool:
    """Return whether a distribution asks for another one that it does not open without a GPU."""
    word, _, names = _rows().get(asker, "").partition(" ")
    return word == "unopened" and any(fnmatchcase(name, pattern) for pattern in names.split())


def is_gpu_library(name: str) -> bool:
    """Return whether a distribution is of no use without a GPU: NVIDIA's libraries, and what compiles for them."""
    return _row(name) == "cpu -"


def _chosen(one: Requirement, day: str | None, *, gpu: bool) -> Requirement | None:
    if any(why.startswith(_GIVEN) for why in one.why):
        return _without_label(one)
    if one.url:
        return one if gpu else _without_link(one)
    return _with_cuda(one, day) if gpu else _for_processor(one)


def _rows() -> Mapping[str, str]:
    return read_pairs("accelerators")


@functools.cache
def _extras() -> tuple[tuple[str, str, str], ...]:
    """Return the rows about extras: name, pattern of the extra, value."""
    found = ((_KEY.match(key), value) for key, value in _rows().items())
    return tuple((key["name"], key["extra"], value) for key, value in found if key and key["extra"])


@functools.cache
def _patterns() -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in _rows().items() if "*" in key and "[" not in key)


@functools.cache
def _targets() -> frozenset[str]:
    """Return the names that stand on the right."""
    words = (part for value in _rows().values() for part in value.split()[1:] if value.startswith(("cpu ", "cuda ")))
    return frozenset(match["name"] for word in words if (match := _CHOICE.match(word)) is not None) - {"=", "-"}


@functools.lru_cache(maxsize=4096)
def _row(name: str) -> str:
    """Return what the table says of a name, or an empty text."""
    exact = _rows().get(name)
    return exact or next((value for key, value in _patterns() if fnmatchcase(name, key)), "")


def _word_of(name: str) -> str:
    return _row(name).partition(" ")[0]


def _for_processor(one: Requirement) -> Requirement | None:
    """Return a requirement in its build for processors; `None` for what is of no use without a GPU."""
    for name, pattern, value in _extras():
        if one.name == name and any(fnmatchcase(extra, pattern) for extra in one.extras):
            rest = [extra for extra in one.extras if not fnmatchcase(extra, pattern)]
            target = _CHOICE.match(value.partition(" ")[2])
            rest += [target["extra"]] if target and target["extra"] else []
            one = replace(one, extras=tuple(sorted(rest)))
    word, _, target_name = _row(one.name).partition(" ")
    if word == "gpu":
        return None
    if word == "cpu" and target_name == "-":
        # What a cell imports it may use without a GPU: `import triton` under a condition.
        return one if one.modules else None
    if word == "cpu":
        return replace(one, name=target_name, guessed=False)
    return _without_label(one)


def _without_link(one: Requirement) -> Requirement:
    """Return a requirement that links to a file for GPUs as one of the same version: `.../whl/cu100/torch-1.0.0-cp36-….whl`."""
    file = _CUDA_FILE.search(urllib.parse.unquote(one.url or ""))
    if file is None or not (file["label"] or file["folder"]):
        return one
    return replace(one, specifier=f"=={file['version']}", url=None, guessed=False)


def _without_label(one: Requirement) -> Requirement:
    """Return a requirement without the label of a build: `torch==2.3.0+cu121` asks for 2.3.0."""
    if one.name not in _LABELLED or "+" not in one.specifier:
        return one
    return replace(one, specifier=_LABEL.sub(r"\1", one.specifier))


def _with_cuda(one: Requirement, day: str | None) -> Requirement:
    """Return a requirement in its build for GPUs, where it does not name one itself."""
    word, _, choices = _row(one.name).partition(" ")
    if word != "cuda" or any(_is_for_gpu(one.name, extra) for extra in one.extras):
        return _without_label(one)
    pinned = re.match(r"==\s*([^,*\s]+)$", one.specifier)
    for text in choices.split():
        choice = _CHOICE.match(text)
        if choice is None or not _holds(choice, pinned[1] if pinned else None, day):
            continue
        name = one.name if choice["name"] == "=" else choice["name"]
        extras = {*one.extras, choice["extra"]} if choice["extra"] else one.extras
        return replace(one, name=name, extras=tuple(sorted(extras)))
    return one


def _is_for_gpu(name: str, extra: str) -> bool:
    return any(name == own and fnmatchcase(extra, pattern) for own, pattern, _ in _extras())


def _holds(choice: re.Match[str], version: str | None, day: str | None) -> bool:
    if version is not None and choice["versions"]:
        return version_fits(version, choice["versions"])
    if version is not None or not choice["days"]:
        return True
    begin, _, until = choice["days"].partition("..")
    return bool(begin <= (day or _NEVER)[:10] < (until or "9999-99"))


def _describe_changes(pairs: Sequence[tuple[Requirement, Requirement | None]]) -> Iterator[Diagnostic]:
    if not pairs:
        return
    words = [f"{_plain(new)} for {_plain(old)}" for old, new in pairs if new is not None]
    dropped = [old.name for old, new in pairs if new is None]
    words += [f"no {_join(dropped)}"] if dropped else []
    yield info(
        "accelerator-build",
        f"without a GPU the builds for a processor are taken: {', '.join(words)}",
        place="; ".join(dict.fromkeys(why for old, _ in pairs for why in old.why)) or None,
        hint="For the builds that use a GPU: `--gpu`; to have one as it is named: `--with NAME`",
    )


def _describe_left_out(left: Sequence[Requirement]) -> Iterator[Diagnostic]:
    if not left:
        return
    names = _join([f"`{one.name}`" for one in left])
    yield warning(
        "accelerator-build",
        f"{names} {'needs' if len(left) == 1 else 'need'} an NVIDIA GPU, and the run has none: left out of the environment",
        place="; ".join(dict.fromkeys(f"{one.name}: {', '.join(one.why)}" for one in left)) or None,
        hint="Run it on a machine with one: `--gpu`; to have it all the same: `--with NAME`",
    )


def _plain(one: Requirement) -> str:
    return str(replace(one, marker=""))


def _join(names: list[str]) -> str:
    shown = names if len(names) <= 3 else [*names[:3], f"{len(names) - 3} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def without_unopened(
    needed_by: Mapping[str, Iterable[str]], asked: Iterable[str], processor: Iterable[str]
) -> set[str]:
    """Return the names of a set that nothing opens without a GPU, and what is there for these alone.

    Args:
        needed_by: each name of the set with those that ask for it.
        asked: the names that the source or the command line asks for.
        processor: those that are there in a build for processors, which opens none of NVIDIA's libraries.
    """
    own, built = set(asked), set(processor)
    dropped = {
        name
        for name in needed_by
        if name not in own
        and is_gpu_library(name)
        and all(root in built or is_unopened(name, root) for root in _roots(name, needed_by, own, set()))
    }
    while True:
        orphans = {
            name
            for name, askers in needed_by.items()
            if name not in own | dropped and (by := set(askers)) and by <= dropped
        }
        if not orphans:
            return dropped
        dropped |= orphans


def _roots(name: str, needed_by: Mapping[str, Iterable[str]], own: set[str], seen: set[str]) -> Iterator[str]:
    """Yield who asks for one of NVIDIA's libraries in the end: these ask for each other too."""
    for asker in needed_by.get(name, ()):
        if asker in seen:
            continue
        seen.add(asker)
        if is_gpu_library(asker) and asker not in own:
            yield from _roots(asker, needed_by, own, seen)
        else:
            yield asker
