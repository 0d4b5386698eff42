"""Code that no registry has: which repository has an import, at which commit it stood on a day, and whether it can be reached."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import unquote

from kanoe.base.diagnostics import Diagnostic, error, info
from kanoe.base.errors import CancelledError, UnavailableError
from kanoe.base.files import exclusive, mark_used, remove_tree, replace_file
from kanoe.base.hashing import hash_text
from kanoe.base.processes import run_program
from kanoe.base.stop import Stop
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.tables import read_pairs
from kanoe.environments.uv import Progress, quiet

SPACY_MODELS = "https://github.com/explosion/spacy-models/releases/download/"

_FORM = "commit/1"
_SPACY_MODEL = re.compile(r"[a-z]{2}_(?:core|dep|ent|vectors)_(?:web|news|wiki)_(?:sm|md|lg|trf)$")
_WHEELS_SINCE = (3, 0)  # spaCy's models of before are source archives only
_BRANCH = re.compile(r"(?P<url>git\+[a-z+]+://(?:[^/@]*@)?[^#@]+?)(?:\.git)?(?:@(?P<branch>main|master|HEAD))?$")
_REPOSITORY = re.compile(r"git\+(https?://[^/@]*/[^@#]+?)(?:\.git)?/?(?:@[^#]*)?(?:#.*)?$")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz")
_SECONDS = 90.0  # that a repository may take to answer
_FAILED_SECONDS = 600.0  # that a failure is believed


@dataclass(frozen=True, slots=True)
class CodeSource:
    """Where an import comes from that no registry has.

    Args:
        module: the import.
        distribution: the name that it installs itself under.
        url: `git+https://...` without a commit, or the address of a spaCy model without its version.
        kind: `wheel` or `git` (an installer takes it), `tree` (plain Python: the module's folder is all that is needed), or `clone`
            (needs work by hand).
    """

    module: str
    distribution: str
    url: str
    kind: Literal["wheel", "git", "tree", "clone"]

    @property
    def address(self) -> str:
        """The address for people."""
        return self.url.removeprefix("git+")


def find_source(module: str) -> CodeSource | None:
    """Return where a top-level module comes from that no registry has; `None` where no table says it."""
    row = read_pairs("sources").get(module)
    if row is not None:
        name, _, url = row.partition(" @ ")
        kind, _, address = url.partition("+")
        return CodeSource(module, name, f"git+{address}", cast("Any", kind))
    if _SPACY_MODEL.match(module):
        return CodeSource(module, module.replace("_", "-"), SPACY_MODELS + module, "wheel")
    return None


@functools.cache
def _trees() -> dict[str, CodeSource]:
    """Return the sources that are trees, by the name of their distribution and by their address."""
    sources = [source for module in read_pairs("sources") if (source := find_source(module)) is not None]
    trees = [source for source in sources if source.kind == "tree"]
    return {key: source for source in trees for key in (source.distribution, source.address.lower())}


def find_tree(need: Requirement) -> CodeSource | None:
    """Return the source whose folder a direct reference stands for: one that is taken as it is, never built.

    That is a reference to its repository, and one of its name to any other repository or to a folder of this machine.
    """
    url = need.url or ""
    if not url.startswith(("git+", "file:")) or url.endswith(_ARCHIVES):
        return None
    repository = _REPOSITORY.match(url)
    known = _trees().get(repository[1].lower()) if repository else None
    # The name that a bare link suggests proves nothing.
    return known or (None if need.guessed else _trees().get(need.name))


def is_pin_of(url: str, pinned: str) -> bool:
    """Return whether a direct reference is another one with its commit or version."""
    if pinned == url or not is_open(url):
        return pinned == url
    found = _BRANCH.match(url)
    return pinned.startswith(f"{url}-" if found is None else f"{found['url']}@")


def is_open(url: str) -> bool:
    """Return whether a direct reference names a repository or model without saying which state of it."""
    if url.startswith(SPACY_MODELS):
        return _SPACY_MODEL.match(url.removeprefix(SPACY_MODELS)) is not None
    return _BRANCH.match(url) is not None


def pin_sources(
    needs: Needs,
    memory: Path,
    *,
    anew: bool = False,
    progress: Progress = quiet,
    stop: Stop | None = None,
) -> Needs:
    """Return the needs with every known source at its state of the day; what can be done without and cannot be had is left out.

    A repository that the author or the user names without a commit is taken at that of the day too; where it does not answer, the
    reference stays as it is.

    Args:
        needs: what the source asks for.
        memory: the folder of what was learnt before.
        anew: forget it.
        progress: called with what is being done.
        stop: ends it.

    Raises:
        UnavailableError: `source-unreachable`: an import has one source, and this machine does not reach it.
        CancelledError: `stop` was requested.
    """
    if not any(need.url is not None and is_open(need.url) for need in needs.requirements):
        return needs
    kept: list[Requirement] = []
    remarks: list[Diagnostic] = []
    failures: list[Diagnostic] = []
    for need in needs.requirements:
        source = _source_of(need) or find_tree(need)
        if need.url is None or not is_open(need.url) or (source is None and needs.as_of is None):
            kept.append(need)
            continue
        try:
            kept.append(replace(need, url=_pin(need, needs.as_of, memory, anew=anew, progress=progress, stop=stop)))
        except LookupError as cause:
            if source is None:
                kept.append(need)
            elif need.optional:
                remarks.append(left_out(need, str(cause)))
            else:
                failures.append(_unreachable(need, source, str(cause)))
    if failures:
        raise UnavailableError(*failures)
    return replace(needs, requirements=tuple(kept), diagnostics=(*needs.diagnostics, *remarks))


def commit_of(
    url: str,
    day: str | None,
    memory: Path,
    *,
    branch: str | None = None,
    anew: bool = False,
    progress: Progress = quiet,
    stop: Stop | None = None,
) -> str:
    """Return the commit at which a git repository stood at the beginning of a day, or its newest; remembered.

    A repository that is younger than the day gives its first commit.

    Args:
        url: what `git clone` takes.
        day: a day or a time; `None`: now.
        memory: the folder of what was learnt before.
        branch: which branch; `None`: the usual one.
        anew: forget what was learnt.
        progress: called with what is being done.
        stop: ends it.

    Raises:
        LookupError: it cannot be reached; the message says why, in one line.
        CancelledError: `stop` was requested.
    """

    def ask() -> str:
        if shutil.which("git") is None:
            raise LookupError("the program `git` is not there; install it: `apt install git`")
        progress(None, f"looking up {url}")
        return _ask_newest(url, branch, stop) if day is None else _ask_of_day(url, branch, day, memory, stop)

    return remembered(memory, (url, branch or "", day or ""), ask, anew=anew)


def remembered(memory: Path, question: Sequence[str], ask: Callable[[], str], *, anew: bool = False) -> str:
    """Return an answer from memory, else ask and remember it; that nobody answers is remembered for ten minutes.

    Args:
        memory: the folder of answers.
        question: what is asked.
        ask: asks, or raises `LookupError`.
        anew: forget what was learnt.

    Raises:
        LookupError: there is no answer.
    """
    file = memory / f"{hash_text(_FORM, *question)[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        said = {} if anew else json.loads(file.read_bytes())
        if "answer" in said:
            return str(said["answer"])
        if time.time() - said["failed"] < _FAILED_SECONDS:
            raise LookupError(said["why"])
    try:
        answer = ask()
        content: dict[str, object] = {"question": list(question), "answer": answer}
    except LookupError as cause:
        _remember(file, {"question": list(question), "failed": time.time(), "why": str(cause)})
        raise
    _remember(file, content)
    return answer


def fetch_page(url: str, *, head: bool = False) -> bytes:
    """Return what stands at an address; proxies and certificates are those of the environment's variables.

    Raises:
        LookupError: there is nothing, or nobody answers.
    """
    page: bytes = importlib.import_module("kanoe.environments.web").fetch_page(url, head=head)
    return page


def model_version(day: str | None, spacy: str = "") -> str:
    """Return the version that spaCy's models had on a day.

    Args:
        day: a day or a time; `None`: now.
        spacy: the version of spaCy, where it is known: it decides alone.
    """
    rows = sorted(read_pairs("spacy_models").items())
    line = ".".join(spacy.split(".")[:2])
    fitting = [version for _, version in rows if line and version.startswith(f"{line}.")]
    if fitting:
        return fitting[-1]
    return next((version for since, version in reversed(rows) if day is None or since <= day[:10]), rows[0][1])


def _pin(need: Requirement, day: str | None, memory: Path, *, anew: bool, progress: Progress, stop: Stop | None) -> str:
    url = need.url or ""
    if url.startswith(SPACY_MODELS):
        return _find_model(url.removeprefix(SPACY_MODELS), day, memory, anew=anew, progress=progress)
    found = _BRANCH.match(url)
    if found is None:
        raise LookupError(f"{url} cannot be installed")
    repository = found["url"].removeprefix("git+")
    commit = commit_of(repository, day, memory, branch=found["branch"], anew=anew, progress=progress, stop=stop)
    return f"{found['url']}@{commit}"


def _find_model(name: str, day: str | None, memory: Path, *, anew: bool, progress: Progress) -> str:
    version = model_version(day)
    numbers = tuple(int(part) for part in version.split(".")[:2])
    ending = "-py3-none-any.whl" if numbers >= _WHEELS_SINCE else ".tar.gz"
    url = f"{SPACY_MODELS}{name}-{version}/{name}-{version}{ending}"

    def ask() -> str:
        progress(None, f"looking for spaCy's model {name} {version}")
        fetch_page(url, head=True)
        return url

    return remembered(memory, (url,), ask, anew=anew)


def _source_of(need: Requirement) -> CodeSource | None:
    """Return the table's source of a requirement that the code asks for; what is declared has none."""
    sources = (find_source(module) for module in need.modules)
    return next((source for source in sources if source is not None and source.url == need.url), None)


def bring_tree(
    need: Requirement, source: CodeSource, store: Path, *, progress: Progress = quiet, stop: Stop | None = None
) -> Path:
    """Return the file or folder of a source's module as a direct reference names it; brought if it is not there.

    Args:
        need: its `url` is `git+https://...@COMMIT`, or `file:///FOLDER`.
        source: of kind `tree`.
        store: the folder of brought trees.
        progress: called with what is being done.
        stop: ends it.

    Raises:
        UnavailableError: `source-unreachable`.
        CancelledError: `stop` was requested.
    """
    url = (need.url or "").partition("#")[0]
    try:
        if url.startswith("file:"):
            return _find_module(Path(unquote(url.removeprefix("file:").removeprefix("//"))), source.module)
        address, _, commit = url.removeprefix("git+").rpartition("@")
        folder = store / hash_text("tree/1", source.module, address, commit)[:32]
        if not (store.is_dir() and mark_used(folder)):
            progress(None, f"bringing {source.module} from {address} at {commit[:10]}")
            store.mkdir(parents=True, exist_ok=True)
            with exclusive(folder.with_name(f"{folder.name}.lock")), _empty_folder(store) as part:
                if not folder.is_dir():
                    _check_out(source.module, address, commit, part, stop)
                    (part / "tree").rename(folder)
        return _find_module(folder, source.module)
    except (LookupError, OSError) as cause:
        raise UnavailableError(_unreachable(need, source, str(cause))) from cause


def _find_module(folder: Path, module: str) -> Path:
    found = next((folder / place for place in _places(module) if (folder / place).exists()), None)
    if found is None or not (found.suffix == ".py" or (found / "__init__.py").is_file()):
        raise LookupError(f"`{folder}` holds no module `{module}`")
    return found


def _check_out(module: str, address: str, commit: str, part: Path, stop: Stop | None) -> None:
    """Put a module's file or folder into `part/tree`: that commit alone is brought where the server allows it."""
    history, tree = part / "history", part / "tree"
    _run_git(["init", "--quiet", "--bare", str(history)], stop)
    git = [f"--git-dir={history}"]
    try:
        _run_git([*git, "fetch", "--quiet", "--depth=1", "--no-tags", "--", address, commit], stop)
        found = "FETCH_HEAD"
    except LookupError:
        _run_git([*git, "fetch", "--quiet", "--no-tags", "--", address, "+refs/heads/*:refs/heads/*"], stop)
        found = commit
    names = _run_git([*git, "ls-tree", "--name-only", found, "--", *_places(module)], stop).split()
    if not names:
        raise LookupError(f"{address} holds no module `{module}` at {commit[:10]}")
    tree.mkdir()
    _run_git([*git, f"--work-tree={tree}", "checkout", "--quiet", "--force", found, "--", names[0]], stop)


def left_out(need: Requirement, reason: str) -> Diagnostic:
    """Return the remark on a requirement that the code can do without."""
    return info(
        "distribution-skipped",
        f"`{need.name}` is not in the environment: {reason}",
        place="; ".join(need.why) or None,
        hint=f"To have it all the same: `--with '{need.name} @ URL'`",
    )


def unreachable_hint(source: CodeSource) -> str:
    """Return what to do where a source cannot be reached, or cannot be installed."""
    folder = source.module
    beside = f"put its folder `{folder}` (the one with `__init__.py`) beside the notebook"
    if source.kind == "clone":
        return f"Copy {source.address} where you can reach it and {beside}"
    name = f"`--with '{source.distribution} @ URL'` with a copy that can be reached (`file:///PATH`, a wheel's address)"
    return f"Run it where {_host(source.address)} can be reached, or {beside}, or give {name}"


def _unreachable(need: Requirement, source: CodeSource, reason: str) -> Diagnostic:
    return error(
        "source-unreachable",
        f"no registry has `{source.module}`; it comes from {_address_of(need, source)}, and that cannot be had here: {reason}",
        place="; ".join(need.why) or None,
        hint=unreachable_hint(source),
    )


def _address_of(need: Requirement, source: CodeSource) -> str:
    return re.sub(r"@[0-9a-f]+$", "", need.url.removeprefix("git+")) if need.url else source.address


def _host(url: str) -> str:
    found = re.match(r"[a-z+]+://(?:[^/@]*@)?([^/]*)", url)
    return found[1] if found and found[1] else url


def _remember(file: Path, content: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, json.dumps(content).encode())


class _Deadline(Stop):
    """A request to stop that comes by itself when time is up."""

    def __init__(self, outer: Stop | None, seconds: float) -> None:
        super().__init__()
        self._outer = outer
        self._end = time.monotonic() + seconds

    @property
    def user_asked(self) -> bool:
        """Whether it was the user."""
        return self._outer is not None and self._outer.requested

    @property
    def requested(self) -> bool:
        """Whether anybody asked, or time is up."""
        return self.user_asked or time.monotonic() > self._end


def _places(module: str) -> tuple[str, ...]:
    """Return where a repository may hold a module."""
    return (module, f"{module}.py", f"src/{module}", f"src/{module}.py")


def _run_git(arguments: Sequence[str], stop: Stop | None) -> str:
    """Return what git says on stdout.

    Raises:
        LookupError: it fails, or takes too long.
    """
    variables = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "LC_ALL": "C"}
    deadline = _Deadline(stop, _SECONDS)
    try:
        done = run_program(["git", *arguments], stop=deadline, environment=variables, cwd=Path("/"))
    except CancelledError as cause:
        if deadline.user_asked:
            raise
        raise LookupError(f"it did not answer within {_SECONDS:.0f} s") from cause
    except OSError as cause:
        raise LookupError(f"`git` cannot be started: {cause.strerror}") from cause
    if done.returncode != 0:
        raise LookupError(_complaint_of(done.stderr))
    return done.stdout


def _complaint_of(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "no word")
    return re.sub(r"^(?:fatal|error): (?:unable to access '[^']*': )?", "", telling).rstrip(".")


def _ask_newest(url: str, branch: str | None, stop: Stop | None) -> str:
    found = re.match(r"([0-9a-f]{40,64})\s", _run_git(["ls-remote", "--", url, branch or "HEAD"], stop))
    if found is None:
        raise LookupError(f"the repository has no branch `{branch or 'HEAD'}`")
    return found[1]


def _ask_of_day(url: str, branch: str | None, day: str, memory: Path, stop: Stop | None) -> str:
    """Return the last commit before a day, from a copy of the history alone (no files, no folders)."""
    with _empty_folder(memory) as folder:
        which = [] if branch in (None, "HEAD") else ["--branch", str(branch)]
        clone = ["clone", "--quiet", "--bare", "--single-branch", "--no-tags", "--filter=tree:0", *which]
        _run_git([*clone, "--", url, str(folder)], stop)
        before = day if len(day) > 10 else f"{day}T00:00:00Z"
        git = [f"--git-dir={folder}", "rev-list", "HEAD"]
        found = _run_git([*git, "-1", f"--before={before}"], stop).split()
        # Nothing is older: what the author had then is the beginning.
        found = found or _run_git([*git, "--max-parents=0"], stop).split()
    if not found:
        raise LookupError("the repository is empty")
    return found[0]


@contextlib.contextmanager
def _empty_folder(memory: Path) -> Iterator[Path]:
    folder = memory / f"history.{os.getpid()}-{time.time_ns():x}"
    try:
        memory.mkdir(parents=True, exist_ok=True)
        yield folder
    finally:
        remove_tree(folder)
