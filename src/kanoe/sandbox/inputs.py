"""Data sources: from `--input`, an `input/` folder or a zip file to what stands below `/kaggle/input`.

Kaggle's layout of 2026 is nested (`competitions/SLUG`, `datasets/OWNER/SLUG`); most notebooks read the older flat one
(`/kaggle/input/SLUG`), and a third of the famous ones the oldest (`../input/train.csv`, one data source only). The nested form is
real; the flat one is a link, so that a walk over `/kaggle/input` lists each file once. The oldest form is links too, made only
where the notebook reads it.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
import shlex
import stat
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from kanoe.base.diagnostics import Diagnostic, error
from kanoe.base.errors import InputError
from kanoe.base.files import exclusive, leads_to_private, mark_used, remove_tree
from kanoe.base.hashing import hash_text
from kanoe.base.sizes import show_size
from kanoe.ir.source import KernelMetadata
from kanoe.sandbox.folder_size import free_bytes
from kanoe.sandbox.layout import INPUT, Link, Mount

_KINDS = ("competitions", "datasets", "notebooks", "models")
_LEAST_ON_DISK = 4096  # bytes of a file, however small
_KEPT_FREE = 512 << 20
# Files that describe data and are none: they do not make a folder of folders one data source.
_DESCRIPTIONS = ("readme*", "provenance*", "license*", "*.md", "dataset-metadata.json", ".*")


@dataclass(frozen=True, slots=True)
class DataSource:
    """One data source as it will be seen.

    Args:
        files: host files and folders by the name they have in the source; one entry named "" is a folder that is the source.
        place: the nested path below `/kaggle/input`: `competitions/titanic`, `datasets/alice/toy`.
        given: what brought it: the text of `--input`, or the folder it was found in.
    """

    files: tuple[tuple[str, Path], ...]
    place: str
    given: str

    @property
    def slug(self) -> str:
        """The name of the old flat form: the last part, or the model's name."""
        parts = self.place.split("/")
        return parts[2] if parts[0] == "models" and len(parts) > 2 else parts[-1]

    @property
    def entries(self) -> dict[str, Path]:
        """Top-level names of the source and the host paths behind them."""
        if len(self.files) == 1 and self.files[0][0] == "":
            folder = self.files[0][1]
            return {name: folder / name for name in sorted(os.listdir(folder))}
        return dict(self.files)


@dataclass(frozen=True, slots=True)
class _Found:
    """Data without a place yet: `slug` is what the user said, `name` what the file or folder is called."""

    files: tuple[tuple[str, Path], ...]
    name: str
    given: str
    slug: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the metadata and the code say about data sources: nested places by slug."""

    places: tuple[str, ...]
    slugs: tuple[str, ...]

    @classmethod
    def of(cls, metadata: KernelMetadata | None, paths: Iterable[str]) -> Known:
        """Collect from `kernel-metadata.json` and from the absolute paths that cells name."""
        places: dict[str, None] = {}
        slugs: dict[str, None] = {}
        if metadata is not None:
            places |= dict.fromkeys(f"competitions/{slug}" for slug in metadata.competition_sources)
            places |= dict.fromkeys(_owned("datasets", metadata.dataset_sources))
            places |= dict.fromkeys(_owned("notebooks", metadata.kernel_sources))
            places |= dict.fromkeys(f"models/{source}" for source in metadata.model_sources)
        for path in paths:
            parts = _below_input(path)
            if not parts or any(wild in parts[0] for wild in "*?["):
                continue
            depth = {"competitions": 2, "datasets": 3, "notebooks": 3, "models": 6}.get(parts[0])
            if depth is not None:
                if len(parts) >= depth:
                    places["/".join(parts[:depth])] = None
            elif len(parts) > 1 or not PurePosixPath(parts[0]).suffix:
                slugs[parts[0]] = None
        return cls(tuple(places), tuple(slugs))

    def place_of(self, slug: str) -> str:
        """Return the nested place of a slug; an unknown one is taken for a competition's."""
        for place in self.places:
            parts = place.split("/")
            if slug == (parts[2] if parts[0] == "models" and len(parts) > 2 else parts[-1]):
                return place
        return f"competitions/{slug}"

    def all_slugs(self) -> tuple[str, ...]:
        """Every slug that is named, in the order found."""
        named = [DataSource((), place, "").slug for place in self.places]
        return tuple(dict.fromkeys([*named, *self.slugs]))


def _owned(kind: str, sources: Iterable[str]) -> Iterator[str]:
    for source in sources:
        yield f"{kind}/" + "/".join(source.split("/")[:2])


def _below_input(path: str) -> tuple[str, ...]:
    parts = PurePosixPath(path).parts
    return parts[3:] if parts[:3] == ("/", "kaggle", "input") else ()


def attach_inputs(given: Sequence[str], folder: Path, known: Known, cache: Path) -> tuple[DataSource, ...]:
    """Return the data sources of a run.

    Args:
        given: the texts of `--input`, each `PATH` or `PATH:SLUG`; a slug may be a full place, `datasets/alice/toy` or `alice/toy`.
        folder: the notebook's folder; without `given`, its `input/` or the one beside it (`../input`) is used.
        known: what the notebook says about its data.
        cache: where zip files are unpacked, once for each content.

    Raises:
        InputError: a path is missing or no data, a zip file is damaged, two inputs have one slug.
    """
    found = _merge_files([_read_given(text, cache) for text in given]) if given else _find_folder(folder, cache)
    sources = _place(found, known)
    taken = Counter(source.place for source in sources)
    for source in sources:
        if taken[source.place] > 1:
            twice = " and ".join(f"`{other.given}`" for other in sources if other.place == source.place)
            raise InputError(
                error(
                    "input-clash",
                    f"{twice} have the same slug `{source.slug}`",
                    place="--input",
                    hint="Give one of them another slug: `--input PATH:SLUG`",
                )
            )
    return sources


def _read_given(text: str, cache: Path) -> _Found:
    path, slug = Path(text).expanduser(), None
    if not path.exists() and ":" in text:
        before, slug = text.rsplit(":", 1)
        path = Path(before).expanduser()
    if not path.exists():
        raise InputError(_missing(text, path))
    if slug is not None and not _is_slug(slug):
        raise InputError(
            error(
                "input-kind",
                f"`{slug}` is no slug",
                place=f"--input {text}",
                hint="A slug is like `titanic` or `alice/toy`",
            )
        )
    return replace(_read_path(path.resolve(), text, cache), slug=slug)


def _is_slug(slug: str) -> bool:
    return bool(slug) and all(part and part not in (".", "..") for part in slug.split("/"))


def _missing(text: str, path: Path) -> Diagnostic:
    names = sorted(os.listdir(path.parent)) if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, 1)
    hint = (
        f"Did you mean `{path.parent / close[0]}`?" if close else "Give the path of a folder, a zip file or a data file"
    )
    return error("input-missing", f"There is nothing at `{path}`", place=f"--input {text}", hint=hint)


def _read_path(path: Path, given: str, cache: Path) -> _Found:
    """Return what a folder, a zip file or a data file holds."""
    if path.is_dir():
        return _Found((("", path),), path.name, given)
    if not path.is_file():
        raise InputError(
            error(
                "input-kind",
                f"`{path}` is neither a folder nor a file",
                place=f"--input {given}",
                hint="Give the path of a folder, a zip file or a data file",
            )
        )
    if path.suffix.lower() == ".zip":
        unpacked = _unpack(path, given, cache)
        single = path.name[: -len(".zip")]
        if PurePosixPath(single).suffix and sorted(os.listdir(unpacked)) == [single]:
            # One big file of a competition arrives as `train.csv.zip`.
            return _Found(((single, unpacked / single),), single, given)
        return _Found((("", unpacked),), single, given)
    return _Found(((path.name, path),), path.name, given)


def _merge_files(found: Sequence[_Found]) -> list[_Found]:
    """Join single files given without a slug into one data source, as `../input` holds them."""
    single = [item for item in found if item.slug is None and item.files[0][0]]
    if len(single) < 2:
        return list(found)
    names = Counter(item.files[0][0] for item in single)
    for item in single:
        if names[item.files[0][0]] > 1:
            raise InputError(
                error(
                    "input-clash",
                    f"two files named `{item.files[0][0]}` are given",
                    place=f"--input {item.given}",
                    hint="Give each its slug: `--input PATH:SLUG`",
                )
            )
    files = tuple(item.files[0] for item in single)
    merged = _Found(files, files[0][1].parent.name, " ".join(item.given for item in single))
    return [merged, *(item for item in found if item not in single)]


def _find_folder(folder: Path, cache: Path) -> list[_Found]:
    """Return the data of `input/` beside or above the notebook."""
    for candidate in (folder / "input", folder.parent / "input"):
        if candidate.is_dir():
            _refuse_private(candidate, candidate.parent)
            return _read_folder(candidate.resolve(), cache)
    return []


def _refuse_private(path: Path, folder: Path) -> None:
    """Refuse private data that nobody named and that a link brings: the link may have come with a stranger's notebook."""
    if leads_to_private(path, folder):
        message = f"`{path}` is a link to `{path.resolve()}`, which is not given away unasked"
        hint = f"If it is meant as data: `--input {shlex.quote(str(path.resolve()))}`"
        raise InputError(error("link-outside", message, place=str(path), hint=hint))


def _read_folder(folder: Path, cache: Path) -> list[_Found]:
    """Return the sources of an `input/` folder: nested or flat folders of sources, zip files, or one source's own files."""
    names = [
        name for name in sorted(os.listdir(folder)) if not any(fnmatch.fnmatch(name.lower(), p) for p in _DESCRIPTIONS)
    ]
    for name in names:
        _refuse_private(folder / name, folder.parent)
    plain = [name for name in names if (folder / name).is_file() and not name.lower().endswith(".zip")]
    zips = [name for name in names if (folder / name).is_file() and name.lower().endswith(".zip")]
    if plain:
        return [_Found((("", folder),), folder.parent.name, str(folder))]
    found = []
    for name in (name for name in names if (folder / name).is_dir()):
        if name in _KINDS:
            found += _read_kind(folder / name, name)
        else:
            found.append(_Found((("", folder / name),), name, str(folder / name)))
    folders = {item.name for item in found}
    unpacked = [_read_path(folder / name, str(folder / name), cache) for name in zips if name[:-4] not in folders]
    return found + _merge_files(unpacked)


def _read_kind(folder: Path, kind: str) -> list[_Found]:
    """Return the sources of `input/competitions`, `input/datasets/OWNER` and so on."""
    depth = {"competitions": 1, "datasets": 2, "notebooks": 2, "models": 5}[kind]
    folders = [folder]
    for _ in range(depth):
        folders = [child for parent in folders for child in sorted(parent.iterdir()) if child.is_dir()]
        for child in folders:
            _refuse_private(child, folder.parent.parent)
    return [
        _Found((("", child),), child.name, str(child), slug=f"{kind}/{child.relative_to(folder).as_posix()}")
        for child in folders
    ]


def _place(found: Sequence[_Found], known: Known) -> tuple[DataSource, ...]:
    """Give each its nested place; one unnamed source takes the one slug that the notebook names and nobody provides."""
    slugs = known.all_slugs()
    provided = {item.slug.rsplit("/", 1)[-1] if item.slug else item.name for item in found}
    free = [slug for slug in slugs if slug not in provided]
    unnamed = [item for item in found if item.slug is None and item.name not in slugs]
    sources = []
    for item in found:
        slug = item.slug or (free[0] if item in unnamed and len(unnamed) == len(free) == 1 else _slug_of(item.name))
        sources.append(DataSource(item.files, _full_place(slug, known), item.given))
    return tuple(sources)


def _full_place(slug: str, known: Known) -> str:
    if "/" not in slug:
        return known.place_of(slug)
    return slug if slug.split("/", maxsplit=1)[0] in _KINDS else f"datasets/{slug}"


def _slug_of(name: str) -> str:
    """Return a slug made from a file's or folder's name."""
    stem = name.split(".", maxsplit=1)[0] or name
    return "-".join(stem.split()) or "data"


def place_inputs(sources: Sequence[DataSource], paths: Iterable[str]) -> tuple[tuple[Mount, ...], tuple[Link, ...]]:
    """Return the mounts and links below `/kaggle/input`: nested, flat, and the oldest form where `paths` (read by cells) need it."""
    mounts: list[Mount] = []
    links: dict[str, str] = {}
    for source in sources:
        target = f"{INPUT}/{source.place}"
        mounts += [Mount(path, f"{target}/{name}" if name else target) for name, path in source.files]
        flat = source.slug
        if f"{INPUT}/{flat}" in links and source.place.startswith("datasets/"):
            flat = f"d/{source.place.removeprefix('datasets/')}"
        links.setdefault(f"{INPUT}/{flat}", f"{INPUT}/{source.place}")
    if len(sources) == 1 and _reads_oldest_form(sources[0], paths):
        for name in sources[0].entries:
            links.setdefault(f"{INPUT}/{name}", f"{INPUT}/{sources[0].place}/{name}")
    relative = [Link(target, os.path.relpath(to, str(PurePosixPath(target).parent))) for target, to in links.items()]
    return tuple(mounts), tuple(relative)


def _reads_oldest_form(source: DataSource, paths: Iterable[str]) -> bool:
    """Whether the notebook reads files of its one source straight below `../input`, or never names the source at all."""
    paths = list(paths)
    first = [parts[0] for parts in map(_below_input, paths) if parts]
    if any(fnmatch.filter(source.entries, pattern) for pattern in first):
        return True
    # A notebook that only walks over the folder must meet each file once.
    return not paths or (bool(first) and not any(name in _KINDS or name == source.slug for name in first))


def is_provided(path: str, sources: Sequence[DataSource]) -> bool:
    """Whether a path below `/kaggle/input` (it may hold wildcards) will be there."""
    parts = _below_input(path)
    if not parts:
        return True
    if len(sources) == 1 and _exists_below(sources[0], parts):
        return True
    for source in sources:
        place = tuple(source.place.split("/"))
        for prefix in (place, (source.slug,), ("d", *place[1:])):
            if parts[: len(prefix)] == prefix and _exists_below(source, parts[len(prefix) :]):
                return True
            if prefix[: len(parts)] == parts:
                return True
    return False


def _exists_below(source: DataSource, parts: Sequence[str]) -> bool:
    if not parts:
        return True
    entries = source.entries
    for name in fnmatch.filter(entries, parts[0]) if any(wild in parts[0] for wild in "*?[") else [parts[0]]:
        if name in entries:
            pattern = "/".join(parts[1:])
            if not pattern or (entries[name] / pattern).exists() or any(entries[name].glob(pattern)):
                return True
    return False


def _unpack(path: Path, given: str, cache: Path) -> Path:
    """Unpack a zip file once; a second use, also by another process, finds it there."""
    status = path.stat()
    target = cache / hash_text(
        "unpacked-zip", str(path), str(status.st_size), str(status.st_mtime_ns), str(status.st_ino)
    )
    if mark_used(target):
        return target
    with exclusive(target.with_name(f"{target.name}.lock")):
        if target.is_dir():
            return target
        temporary = Path(tempfile.mkdtemp(dir=cache, prefix="unpacking-"))
        try:
            with zipfile.ZipFile(path) as archive:
                members = _safe_members(archive)
                _check_room(path, members, given, cache)
                archive.extractall(temporary, members)
            temporary.chmod(0o755)
            temporary.rename(target)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as cause:
            remove_tree(temporary)
            raise InputError(
                error(
                    "input-kind",
                    f"`{path}` cannot be unpacked: {cause}",
                    place=f"--input {given}",
                    hint="Download it again",
                )
            ) from cause
        except BaseException:
            remove_tree(temporary)
            raise
    return target


def _check_room(path: Path, members: Sequence[zipfile.ZipInfo], given: str, cache: Path) -> None:
    """Refuse what would fill the disk: a few kilobytes can say that they are petabytes. No member gives more than it says."""
    wanted = sum(member.file_size + _LEAST_ON_DISK for member in members)
    room = free_bytes(cache) - _KEPT_FREE
    if wanted > room:
        message = f"`{path}` holds {show_size(wanted)}, and the disk has {show_size(max(0, room))} for it"
        hint = "Make room, or unpack what is needed of it and give that folder"
        raise InputError(error("input-kind", message, place=f"--input {given}", hint=hint))


def _safe_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the members without links and without names that leave the folder."""
    return [
        member
        for member in archive.infolist()
        if not stat.S_ISLNK(member.external_attr >> 16)
        and not PurePosixPath(member.filename).is_absolute()
        and ".." not in PurePosixPath(member.filename).parts
    ]
