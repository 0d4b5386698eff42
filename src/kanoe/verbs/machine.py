"""`kanoe doctor` without a notebook: what works on this machine, and the command that mends what does not."""

from __future__ import annotations

import sysconfig
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from kanoe.base.diagnostics import Diagnostic, Severity
from kanoe.base.errors import ExitCode, KanoeError
from kanoe.store.home import Store, open_store
from kanoe.verbs.checkup import Checkup, Finding
from kanoe.verbs.health import hardware, places, programs, walls

_SECONDS = 12.0  # for all looks together; each has limits of its own for what it waits for


@dataclass(frozen=True, slots=True)
class Look:
    """One thing to look at.

    Args:
        name: of its finding.
        work: looks; it may fail.
        with_store: whether it takes the store.
    """

    name: str
    work: Callable[..., Finding]
    with_store: bool = False


LOOKS: tuple[tuple[str, tuple[Look, ...]], ...] = (
    (
        "this Kanoe",
        (
            Look("Kanoe", hardware.look_at_kanoe),
            Look("system", hardware.look_at_platform),
            Look("clock", hardware.look_at_clock),
            Look("language", hardware.look_at_language),
            Look("home", places.look_at_home),
        ),
    ),
    (
        "the sandbox",
        (
            Look("bubblewrap", walls.look_at_bubblewrap),
            Look("namespaces", walls.look_at_namespaces),
            Look("a run uses", walls.look_at_sandbox),
            Look("seccomp", walls.look_at_seccomp),
            Look("limits", walls.look_at_limits),
        ),
    ),
    (
        "environments",
        (
            Look("uv", programs.look_at_uv),
            Look("uv's cache", programs.look_at_uv_cache, with_store=True),
            Look("Pythons", programs.look_at_interpreters, with_store=True),
            Look("registry", programs.look_at_registry, with_store=True),
            Look("compilers", programs.look_at_compilers),
        ),
    ),
    (
        "room and power",
        (
            Look("store", places.look_at_store, with_store=True),
            Look("disks", places.look_at_disks, with_store=True),
            Look("temporary", places.look_at_temporary_files),
            Look("runs", places.look_at_runs, with_store=True),
            Look("memory", hardware.look_at_memory),
            Look("processors", hardware.look_at_processors),
            Look("GPU", hardware.look_at_gpu),
        ),
    ),
    (
        "other places",
        (
            Look("engines", programs.look_at_engines),
            Look("clients", programs.look_at_clients),
            Look("Kaggle", programs.look_at_credentials),
            Look("keyring", programs.look_at_keyring),
        ),
    ),
)


def check_machine(seconds: float = _SECONDS) -> Checkup:
    """Look at everything of this machine that a run may meet, all at once; a look that fails or hangs hides no other.

    Args:
        seconds: after which a look that has not ended is unknown.
    """
    try:
        store: Store | None = open_store()
        problem: tuple[Diagnostic, ...] = ()
    except KanoeError as cause:
        store, problem = None, cause.diagnostics
    except RuntimeError as cause:  # neither `KANOE_HOME` nor a home folder
        store, problem = None, (_no_store(cause),)
    looks = [look for _, group in LOOKS for look in group]
    findings = _look_at_once(looks, store, problem, seconds)
    groups, position = [], 0
    for title, group in LOOKS:
        groups.append((position, title))
        position += len(group)
    works = not any(finding.state == "error" for finding in findings)
    return Checkup(None, findings, ExitCode.SUCCEEDED if works else ExitCode.UNAVAILABLE, tuple(groups))


def _no_store(cause: RuntimeError) -> Diagnostic:
    return Diagnostic(
        "store-unusable",
        Severity.ERROR,
        f"nothing says where the store is: {cause}",
        None,
        "Set `KANOE_HOME` to a folder that you can write: `export KANOE_HOME=/a/folder`",
    )


def _look_at_once(
    looks: list[Look], store: Store | None, problem: tuple[Diagnostic, ...], seconds: float
) -> tuple[Finding, ...]:
    """Do all looks at once, and return what came of each in time."""
    found: dict[str, Finding] = {}

    def look_at(look: Look) -> None:
        found[look.name] = _look(look, store, problem)

    # Python fills this table at the first call, and two threads at once read it half full; who looks for uv asks it.
    sysconfig.get_config_vars()
    # A look that hangs (a dead network disk) must not keep the command from ending.
    threads = [threading.Thread(target=look_at, args=(look,), name=look.name, daemon=True) for look in looks]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {seconds:.0f} s"
    return tuple(found.get(look.name, Finding(look.name, late, known=False)) for look in looks)


def _look(look: Look, store: Store | None, problem: tuple[Diagnostic, ...]) -> Finding:
    if look.with_store and store is None:
        if look.name == "store":
            return Finding("store", problem[0].message, problem)
        return Finding(look.name, "not looked at: there is no store", known=False)
    try:
        return look.work(store) if look.with_store else look.work()
    except KanoeError as cause:
        return Finding(look.name, cause.diagnostics[0].message, cause.diagnostics)
    except Exception as cause:
        return Finding(look.name, f"it could not be looked at: {type(cause).__name__}: {cause}", known=False)
