"""The texts that name a distribution: PEP 508, with the small liberties that pip and uv take, and bare links."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import replace

from kanoe.base.diagnostics import error
from kanoe.base.errors import InputError
from kanoe.environments.needs import Requirement
from kanoe.environments.tables import read_pairs
from kanoe.environments.versions import normalise

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"\d+(?:\.\d+)*"
_CLAUSE = rf"(?:(?:==|!=)\s*{_VERSION}(?:\.\*)?|(?:~=|<=|>=|<|>)\s*{_VERSION})"
_SIMPLE = re.compile(
    rf"(?P<name>{NAME})\s*(?:\[(?P<extras>[\w.,\s-]*)\])?\s*\(?\s*(?P<versions>{_CLAUSE}(?:\s*,\s*{_CLAUSE})*)?\s*\)?$"
)
_LOOSE_STAR = re.compile(rf"((?:~=|<=|>=|<|>)\s*{_VERSION})\.\*")
LINK = re.compile(r"(?:git|hg|svn|bzr)\+|(?:https?|ftp|file|ssh)://|git@")
_ARCHIVE_NAME = re.compile(rf"(?P<name>{NAME}?)-\d[^/]*\.(?:whl|zip|tar\.gz|tgz|tar\.bz2)$")
_FORGE_ARCHIVE = re.compile(r"//(?:codeload\.)?(?:github|gitlab)\.com/[^/]+/(?P<name>[^/]+)/")
_EGG = re.compile(r"[#&]egg=(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]&]*)\])?")


def parse_requirement(text: str, why: str) -> Requirement:
    """Return the requirement that a PEP 508 text says, with the small liberties that pip and uv take.

    Raises:
        ValueError: the text is not a requirement; the message says why, in one line.
    """
    text = text.strip()
    simple = _SIMPLE.match(text)
    if simple is not None:
        extras = sorted(normalise(extra) for extra in (simple["extras"] or "").replace(",", " ").split())
        return Requirement(
            normalise(simple["name"]), _sort_clauses(simple["versions"] or ""), tuple(extras), why=(why,)
        )
    # Most sources need none of packaging, yaml and tomllib; together they cost a warm run as much as all the rest.
    packaging = importlib.import_module("packaging.requirements")
    try:
        parsed = packaging.Requirement(_LOOSE_STAR.sub(r"\1", text))
    except packaging.InvalidRequirement as fault:
        raise ValueError(str(fault).splitlines()[0].rstrip(".")) from fault
    return Requirement(
        name=normalise(parsed.name),
        specifier=_sort_clauses(str(parsed.specifier)),
        extras=tuple(sorted(normalise(extra) for extra in parsed.extras)),
        url=parsed.url,
        marker=str(parsed.marker or ""),
        why=(why,),
    )


def parse_link(link: str, why: str) -> Requirement:
    """Return the requirement that a bare direct reference says: `git+https://...`, `https://.../name-1.0-py3-none-any.whl`.

    Where neither the link's `egg` nor an archive's name says which distribution it is, the repository's name is taken
    and the requirement is `guessed`.
    """
    link = link.strip()
    if link.startswith("git@"):
        link = "git+ssh://" + link.replace(":", "/", 1)
    link = link.replace("git+git://", "git+https://", 1)
    egg = _EGG.search(link)
    extras = (
        tuple(sorted(normalise(extra) for extra in (egg["extras"] or "").split(",") if extra.strip())) if egg else ()
    )
    url = re.sub(r"#$", "", re.sub(r"(#|&)egg=[^&]*&?", r"\1", link)).rstrip("&") if egg else link
    place = url.partition("#")[0]
    archive = _ARCHIVE_NAME.search(place.rpartition("/")[2]) if "/archive/" not in place else None
    if egg:
        name = egg["name"]
    elif archive:
        name = archive["name"]
    else:
        forge = _FORGE_ARCHIVE.search(place) if not link.startswith(("git+", "hg+", "svn+", "bzr+")) else None
        last = re.sub(r"@[^/]*$", "", place.rstrip("/")).rpartition("/")[2]
        name = forge["name"] if forge else re.sub(r"\.(?:git|zip|tar\.gz|whl)$", "", last)
    return Requirement(normalise(name), extras=extras, url=url, why=(why,), guessed=egg is None and archive is None)


def parse_extra(text: str) -> Requirement:
    """Return the requirement that an option `--with` gives.

    Raises:
        InputError: it is not a requirement.
    """
    try:
        return parse_link(text, "--with") if LINK.match(text) else renamed(parse_requirement(text, "--with"))
    except ValueError as fault:
        hint = "write it as pip does: `--with 'pandas>=1.5,<2'` or `--with 'name @ https://...'`"
        raise InputError(
            error("requirement-broken", f"`{text}` is not a requirement: {fault}", place="--with", hint=hint)
        ) from fault


def join_versions(requirements: Sequence[Requirement]) -> list[Requirement]:
    """Return one requirement per distribution and marker: all versions, extras and reasons together."""
    joined: dict[tuple[str, str], Requirement] = {}
    for need in requirements:
        key = (need.name, need.marker)
        first = joined.get(key)
        if first is None:
            joined[key] = need
            continue
        joined[key] = replace(
            first,
            specifier=join_specifiers(first.specifier, need.specifier),
            extras=tuple(sorted({*first.extras, *need.extras})),
            url=first.url or need.url,
            why=(*first.why, *(why for why in need.why if why not in first.why)),
            optional=first.optional and need.optional,
            guessed=first.guessed and need.guessed,
        )
    return list(joined.values())


def join_specifiers(first: str, second: str) -> str:
    """Return the versions that both of two specifiers allow; an empty one allows all."""
    return _sort_clauses(f"{first},{second}") if first and second else first or second


def renamed(need: Requirement) -> Requirement:
    """Return the requirement under the name that was meant: `pip install sklearn`."""
    meant = read_pairs("renamed").get(need.name, need.name) if need.url is None else need.name
    name, _, link = meant.partition(" @ ")
    return replace(need, name=name, url=link or need.url, specifier="" if link else need.specifier)


def _sort_clauses(versions: str) -> str:
    return ",".join(sorted({"".join(clause.split()) for clause in versions.split(",") if clause.strip()}))
