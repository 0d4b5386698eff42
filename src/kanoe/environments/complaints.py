"""What `uv` complains of, in Kanoe's words: one table from its messages to diagnostics (uv 0.8 to 0.13)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from kanoe.environments.tables import read_pairs
from kanoe.environments.versions import normalise


@dataclass(frozen=True, slots=True)
class Complaint:
    """What uv says went wrong.

    Args:
        code: a diagnostic code.
        names: the distributions that it names as the cause, normalised; may be empty.
        message: what is wrong, in one sentence.
        hint: what to do next.
        available: whether everything that is needed was there, so that the user's input is at fault.
    """

    code: str
    names: tuple[str, ...]
    message: str
    hint: str | None = None
    available: bool = True


@dataclass(frozen=True, slots=True)
class _Said:
    """uv's message: as it came, and on one line."""

    raw: str
    text: str


def read_complaint(stderr: str) -> Complaint:
    """Return what uv's stderr means."""
    said = _Said(stderr, _plain(stderr))
    for pattern, read in _COMPLAINTS:
        match = re.search(pattern, said.text)
        if match is not None:
            return read(match, said)
    reason = _explanation(said.text) or "it gave no reason"
    return Complaint("build-failed", (), f"uv failed: {reason}", available=False)


def _plain(stderr: str) -> str:
    """Return uv's message on one line, without warnings, frames and wrapped lines."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", stderr)
    begin = re.search(r"^(?:error: |\s*\u00d7 )", text, re.MULTILINE)
    text = text[begin.start() :] if begin else text
    text = re.sub(r"^\s*[\u00d7╰├│─▶]+\s*", " ", text, flags=re.MULTILINE)
    return re.sub(r"\s+", " ", text).strip()


_LONGEST = 600
_SAID = r"(?:, )?we can conclude that (?:your requirements|the requirements) are unsatisfiable\.?"
_NAME = r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
_REQUIRED = (
    rf"you require {_NAME}|`{_NAME}` was filtered|all versions of {_NAME}|versions of {_NAME}|and {_NAME} depends on"
)


def _explanation(text: str) -> str:
    """Return the reason alone, shortened."""
    reason = re.sub(r"^(?:error:)?\s*No solution found when resolving dependencies:?\s*", "", text)
    reason = re.sub(r"^(?:error:|cause:)\s*", "", reason).partition(" hint: ")[0]
    reason = re.sub(r"\{[^{}]*\}", "", re.sub(r"^cause: ", "", re.sub(_SAID, "", reason)))
    reason = re.sub(r"^Because ", "because ", reason.strip().rstrip(".,"))
    return reason if len(reason) <= _LONGEST else reason[: _LONGEST - 4].rsplit(" ", 1)[0] + " ..."


def _named(text: str) -> tuple[str, ...]:
    found = (name for names in re.findall(_REQUIRED, text.partition(" hint: ")[0]) for name in names if name)
    return tuple(dict.fromkeys(normalise(name) for name in found))


def _disk_full(_: re.Match[str], __: _Said) -> Complaint:
    hint = "Free some space (`kanoe store size`, `uv cache prune`), or set `KANOE_HOME` to a larger disk"
    return Complaint(
        "store-unusable", (), "the disk is full: the environment could not be built", hint, available=False
    )


def _no_cache(match: re.Match[str], _: _Said) -> Complaint:
    message = f"uv's cache `{match[1]}` cannot be used: {match[2]}"
    hint = "Let uv keep its files in a folder that you can write: `export UV_CACHE_DIR=/a/folder`"
    return Complaint("store-unusable", (), message, hint, available=False)


def _hash_mismatch(match: re.Match[str], __: _Said) -> Complaint:
    name, version = match[1].split("==") if "==" in match[1] else (match[1], "")
    message = f"the registry's file of `{name}` {version} is not the one that the lock names (their hashes differ)"
    return Complaint(
        "build-failed", (normalise(name),), message, "If you trust the registry, make the lock anew: `kanoe env lock`"
    )


def _unreachable(_: re.Match[str], said: _Said) -> Complaint:
    place = re.search(r"(?:https?|ssh|git)://(?:[^/@\s'`]*@)?([^/\s'`)]+)", said.text)
    reason = _last_cause(said.text)
    server = f"the server `{place[1]}`" if place else "the package registry"
    hint = "Check the network, and the proxy or index settings (`UV_DEFAULT_INDEX`, `uv.toml`)"
    return Complaint("registry-unreachable", (), f"{server} does not answer: {reason}", hint, available=False)


def _last_cause(text: str) -> str:
    cause = text.partition(" hint: ")[0].rsplit("cause: ", 1)[-1].removeprefix("error: ").rpartition("fatal: ")[2]
    return cause if len(cause) < 160 else cause[:156] + " ..."


def _refused(match: re.Match[str], _: _Said) -> Complaint:
    message = f"the package registry refuses access ({match[1]})"
    return Complaint("registry-unreachable", (), message, "Check the index URL and its credentials", available=False)


def _offline(_: re.Match[str], __: _Said) -> Complaint:
    message = "the network is switched off (`UV_OFFLINE`), and uv's cache does not hold everything"
    return Complaint(
        "registry-unreachable", (), message, "Switch it on, or use a lock whose files are there", available=False
    )


def _unknown(match: re.Match[str], said: _Said) -> Complaint:
    name = normalise(match[1])
    if not re.search(rf"you require {re.escape(match[1])}\b", said.text):
        return _unsolvable(match, said)
    return Complaint("distribution-unknown", (name,), f"the registry has no distribution `{name}`")


def _no_upload_times(_: re.Match[str], said: _Said) -> Complaint:
    names = tuple(normalise(name) for name in re.findall(rf"`{_NAME}` was filtered by `exclude-newer`", said.text))
    message = "the registry does not say when files were uploaded, so that nothing is known to be old enough"
    return Complaint(
        "requirements-unsolvable", names, message, "Run without `--as-of`, or use a registry with upload times"
    )


def _too_new(match: re.Match[str], said: _Said) -> Complaint:
    names = tuple(normalise(name) for name in re.findall(rf"`{_NAME}` was filtered by `exclude-newer`", said.text))
    reason = "" if said.text.startswith("error: No solution") else f" ({_explanation(said.text)})"
    listed = " and ".join(f"`{name}`" for name in names)
    message = f"nothing of {listed} that fits was there before {match[1][:10]}{reason}"
    latest = re.search(
        r"latest version satisfying the requirement is v(\S+?), published at (\d{4}-\d\d-\d\d)", said.text
    )
    newer = f" ({names[0]} {latest[1]} is of {latest[2]})" if latest else ""
    return Complaint("requirements-unsolvable", names, message, f"Give a later day{newer}: `--as-of DATE`")


def _no_wheel(match: re.Match[str], said: _Said) -> Complaint:
    tags = re.search(
        r"we only found wheels for `[^`]*` \(v(\S+)\) with the following Python ABI tags?: ([^,;]*(?:, [^,;]*)*)",
        said.text,
    )
    name = normalise(match[1])
    versions = (
        sorted({f"{tag[0]}.{tag[1]}" for tag in re.findall(r"cp(3)(\d+)", tags[2])}, key=_by_number) if tags else []
    )
    message = f"no release of `{name}` that fits has a file for this Python" + (
        f"; there are files for Python {', '.join(versions)}" if versions else ""
    )
    hint = (
        f"Take a Python that it has files for: `--python {versions[-1]}`"
        if versions
        else "Try another Python: `--python X.Y`"
    )
    return Complaint("requirements-unsolvable", tuple(dict.fromkeys((name, *_named(said.text)))), message, hint)


def _by_number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _wrong_python(match: re.Match[str], said: _Said) -> Complaint:
    asker = re.search(rf"(?:and |Because ){_NAME}((?:[<>=!~]=?[^ ,]+,?)*) depends on Python", said.text)
    who = f"`{asker[1]}{asker[2]}`" if asker else "a distribution"
    message = f"{who} needs Python {match[2]}, and this is Python {match[1]}"
    lower = re.match(r">=(3\.\d+)", match[2])
    names = dict.fromkeys(((normalise(asker[1]),) if asker else ()) + _named(said.text))
    return Complaint(
        "requirements-unsolvable", tuple(names), message, f"Take another: `--python {lower[1] if lower else 'X.Y'}`"
    )


def _build(match: re.Match[str], said: _Said) -> Complaint:
    name, _, version = match[1].partition("==")
    name = normalise(name.partition(" @")[0])
    library = re.search(r"hint: (This (?:error|package)[^`]*`[^`]+`)", said.text)
    hint = _lacking(said.raw) or (
        library[1] if library else "Take another version (`--with 'NAME==VERSION'`) or another Python (`--python X.Y`)"
    )
    message = (
        f"`{name}`{f' {version}' if version else ''} has to be built here, and its build failed: {_build_reason(said)}"
    )
    return Complaint("build-failed", (name,), message, hint, available=False)


def _build_reason(said: _Said) -> str:
    """Return the line of a build's output that says most."""
    output = re.split(r"^\s*(?:hint: |help: )", said.raw.rpartition("[stderr]")[2], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line.strip() for line in output.split("\n") if line.strip()]
    first = [line for line in lines if re.search(r"fatal error: |: error: ", line)]
    last = [line for line in lines if re.match(r"(?:[\w.]*(?:Error|Exception)|error)\b", line)]
    reason = (first[:1] or last[-1:] or lines[-1:] or [_explanation(said.text)])[0]
    return reason if len(reason) < 240 else reason[:236] + " ..."


# A line of a build's output that tells of something missing; "command 'gcc' failed with exit code 1" tells of no compiler.
_LACKS = re.compile(
    r"error: |Error\b|No such file|[Nn]ot found|NOT find|[Cc]an'?not find|[Cc]an't find|[Cc]ould not (?:find|run)|[Uu]nable to"
    r"|required|must be installed|missing|could be found|Broken toolchain|no \S+ compiler"
)
_RAN = re.compile(r"failed with exit (?:code|status)")


def _lacking(output: str) -> str | None:
    """Return what to install of this system for a build to succeed, if its output names something that a table knows."""
    lines = [line for line in output.split("\n") if _LACKS.search(line) and not _RAN.search(line)]
    for line in sorted(lines, key=lambda one: "fatal error: " not in one):
        for mark, package in read_pairs("libraries").items():
            if re.search(rf"(?<![\w-]){re.escape(mark)}", line):
                thing = mark.strip("'").rstrip("/_")
                return (
                    f"The build needs `{thing}` of this system: `apt install {package}` (Debian, Ubuntu), and run again"
                )
    return None


def _gone(match: re.Match[str], _: _Said) -> Complaint:
    message = f"the registry has no `{normalise(match[1])}` {match[2]} (any more)"
    return Complaint("requirements-unsolvable", (normalise(match[1]),), message, "Ask for a version that it has")


def _settings_broken(match: re.Match[str], said: _Said) -> Complaint:
    reason = _explanation(said.text.rpartition("^ ")[2]) if "^ " in said.text else _explanation(said.text)
    message = f"uv's settings in `{match[1]}` cannot be understood: {reason}"
    return Complaint("requirement-broken", (), message, f"Correct `{match[1]}`")


def _unparsed(_: re.Match[str], said: _Said) -> Complaint:
    return Complaint("requirement-broken", (), f"a requirement cannot be understood: {_explanation(said.text)}")


def _unsolvable(_: re.Match[str], said: _Said) -> Complaint:
    message = f"no set of versions satisfies every requirement: {_explanation(said.text)}"
    return Complaint(
        "requirements-unsolvable", _named(said.text), message, "Loosen or remove one of the versions asked for"
    )


# In this order: what comes first explains what comes after.
_COMPLAINTS: tuple[tuple[str, Callable[[re.Match[str], _Said], Complaint]], ...] = (
    (r"No space left on device|os error 28", _disk_full),
    (r"Failed to initialize cache at `([^`]+)`.*?: ([A-Z][^:(]*?) \(os error \d+\)", _no_cache),
    (r"Hash mismatch for `([^`]+)`", _hash_mismatch),
    (r"(?:authentication credentials|returned a) \(?(40[13] \w+)", _refused),
    (r"network was disabled|network connectivity is disabled", _offline),
    (
        r"error sending request for url|Request failed after|Failed to fetch: |Git operation failed|dns error",
        _unreachable,
    ),
    (rf"{_NAME} was not found in the (?:package registry|provided package locations)", _unknown),
    (
        r"was filtered by `exclude-newer`.*The latest version satisfying the requirement is v[\d.]+\. ",
        _no_upload_times,
    ),
    (r"was filtered by `exclude-newer` to only include packages uploaded before (\S+)", _too_new),
    (r"Failed to (?:download and )?build `([^`]+)`", _build),
    (
        rf"{_NAME}[<>=!~]?\S* ha(?:s|ve) no (?:usable )?wheels",
        _no_wheel,
    ),
    (r"Python version \(>?=?([\d.]+)[^)]*\) does not satisfy Python([<>=!~][^ ]*)", _wrong_python),
    (rf"there is no version of {_NAME}==(\S+) and you require", _gone),
    (r"Failed to parse: (\S+)", _settings_broken),
    (r"Couldn't parse requirement", _unparsed),
    (r"No solution found", _unsolvable),
)
