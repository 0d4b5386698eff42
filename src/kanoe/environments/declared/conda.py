"""What conda's `environment.yml` declares, under the names and in the versions of PyPI."""

from __future__ import annotations

import functools
import importlib
import re
from dataclasses import replace
from pathlib import Path

from kanoe.base.diagnostics import error, info
from kanoe.base.errors import InputError
from kanoe.environments.declared.lines import read_line
from kanoe.environments.declared.places import Declarations, Found, Line, Place, read_text
from kanoe.environments.requirements import parse_requirement, renamed
from kanoe.environments.tables import read_names, read_pairs
from kanoe.environments.versions import normalise

_CONDA_SPECIFICATION = re.compile(
    r"(?:[^:\s]+::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?:\[(?P<bracket>[^\]]*)\])?\s*(?P<version>[^\s\[]*(?:\s*,\s*\S+)*)(?:\s+(?P<build>\S+))?$"
)


def read_environment_file(path: Path) -> Declarations:
    """Read a conda `environment.yml`: its packages under their PyPI names, the version of Python, the `pip:` list.

    Packages that may not be on PyPI are optional.

    Raises:
        InputError: it is not YAML, not an environment, or a line cannot be understood.
    """
    text = read_text(path)
    yaml = importlib.import_module("yaml")  # most sources need none of it
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f"{path.name} line {mark.line + 1}" if mark else path.name
        message = f"the file is not YAML: {getattr(fault, 'problem', None) or fault}"
        raise InputError(error("requirement-broken", message, place=where, hint="correct the line")) from fault
    listed = content.get("dependencies") if isinstance(content, dict) else content
    if not isinstance(content, dict) or not isinstance(listed or [], list):
        message = "the file is not a conda environment: it has no list `dependencies`"
        raise InputError(error("requirement-broken", message, place=path.name, hint="see `conda env export`"))
    found, place = Found(), Place(path.name, text)
    python: str | None = None
    for item in listed or []:
        if isinstance(item, str):
            python = read_specification(item, found, place.why(item), place.of(item)) or python
        elif isinstance(item, dict) and isinstance(pip := item.get("pip"), list):
            for line in pip:
                read_line(str(line).strip(), found, Line(path.parent, place.why(str(line)), place.of(str(line)), set()))
    return found.finish(python=python, python_why=f"{path.name} python" if python else None)


def read_specification(text: str, found: Found, why: str, place: str) -> str | None:
    """Read one conda match specification; return the version of Python where it says that."""
    match = _CONDA_SPECIFICATION.match(text.strip())
    if match is None:
        found.errors.append(
            error("requirement-broken", f"`{text}` is not a conda package", place=place, hint="write `name=1.2`")
        )
        return None
    name, version = match["name"].lower(), (match["version"] or "").replace(" ", "")
    bracket = re.search(r"version\s*=\s*['\"]?([^'\"\]]+)", match["bracket"] or "")
    specifier = _conda_versions(bracket[1] if bracket else version, exact=text.strip()[len(match["name"]) :][:1] == " ")
    if name == "python":
        return _conda_python(specifier)
    known = read_pairs("conda")
    named = known.get(name, name)
    if not named or (
        name not in known and re.match(r"_|lib(?!rosa|pysal|clang|sass)|r-|spacy-model-|m2w64-|xorg-|font-", name)
    ):
        return None
    try:
        need = parse_requirement(f"{named}{specifier}", why)
    except ValueError:
        found.remarks.append(info("declaration-ignored", f"the version in `{text}` is not used", place=place))
        need = parse_requirement(named, why)
    found.requirements.append(replace(renamed(need), optional=renamed(need).name not in _known_names()))
    return None


def _conda_versions(version: str, *, exact: bool) -> str:
    """Return a conda version as PEP 440 specifiers: `=1.19` is `==1.19.*`, `=1.19=build` and ` 1.19` are `==1.19`."""
    version = version.strip()
    if version in {"", "*", "=", "=*"}:
        return ""
    if version[0] in "<>!~" or version.startswith("=="):
        return re.sub(r"(?<=\d)=[^=,<>]+$", "", version)
    number, _, build = version.removeprefix("=").partition("=")
    number = number.removesuffix("*").removesuffix(".")
    return (
        f"=={number}"
        if build or (exact and not version.startswith("=") and not version.endswith("*"))
        else f"=={number}.*"
    )


def _conda_python(specifier: str) -> str | None:
    pinned = re.match(r"==(\d+(?:\.\d+)?)", specifier)
    return pinned[1] if pinned else specifier or None


@functools.cache
def _known_names() -> frozenset[str]:
    """Return the distributions that PyPI is known to have."""
    aliases = (name for row in read_pairs("aliases").values() for name in row.partition(";")[0].split())
    return frozenset(normalise(name) for name in (*read_names("same"), *aliases))
