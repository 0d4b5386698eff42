"""Why there is no set of versions, for people: what uv says, and what the registry's list of files says beyond it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kanoe.base.diagnostics import Diagnostic, Severity, error
from kanoe.base.errors import InputError, KanoeError, UnavailableError
from kanoe.environments.absence import Cause, explain_absence, explain_nothing, nearest_ready, only_conda
from kanoe.environments.complaints import Complaint
from kanoe.environments.needs import Requirement
from kanoe.environments.registry import Project
from kanoe.environments.tables import read_names, read_pairs
from kanoe.environments.versions import normalise


@dataclass(frozen=True, slots=True)
class Explanations:
    """What can be said of a question that has no answer.

    Args:
        python: the interpreter's version.
        kernel: the names of what runs the cells.
        project: what the registries hold of a name, or `None`.
        day: the moment that holds back releases of a name, or `None`.
    """

    python: str
    kernel: frozenset[str]
    project: Callable[[str], Project | None]
    day: Callable[[str], str | None]

    def unknown(self, complaint: Complaint, culprits: Sequence[Requirement]) -> Diagnostic:
        """Return what is wrong with a name that no registry has.

        Raises:
            UnavailableError: every environment needs it.
        """
        name = complaint.names[0]
        if name in self.kernel:
            message = f"the package registry does not have `{name}`, which every environment needs"
            hint = "Check which registry is used (`UV_DEFAULT_INDEX`, `uv.toml`, `pip.conf`)"
            raise UnavailableError(error("registry-unreachable", message, hint=hint))
        conda = only_conda(name)
        if conda is not None:
            return error(complaint.code, conda.message, place=_places(culprits), hint=conda.hint)
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
        return error(complaint.code, message, place=_places(culprits), hint=hint)

    def failure(self, complaint: Complaint, culprits: Sequence[Requirement]) -> KanoeError:
        """Return the error for what uv complains of."""
        failure = InputError if complaint.available else UnavailableError
        if complaint.code in {"requirements-unsolvable", "build-failed"}:
            for one in culprits:
                found = self._explained(complaint, one)
                if found is not None:
                    return failure(found)
        return failure(self.diagnostic(complaint, culprits))

    def _explained(self, complaint: Complaint, one: Requirement) -> Diagnostic | None:
        """Return what the registry's list of files says of the trouble, if that is more than uv says."""
        project = self.project(one.name) if one.url is None else None
        cause = self._cause(complaint, one, project)
        conda = only_conda(one.name) if one.url is None else None
        if complaint.code != "build-failed" or conda is not None:
            cause = conda or cause
            return error(complaint.code, cause.message, place=_places([one]), hint=cause.hint) if cause else None
        offer = nearest_ready(project, self.python) if project is not None else None
        cures = [complaint.hint] if complaint.hint and "apt install" in complaint.hint else []
        if offer is not None:
            cures.append(f"Take {offer.version}, which needs no build: `--with '{one.name}=={offer.version}'`")
        elif cause is not None and not (cures and "apt install" in cause.hint):
            cures.append(cause.hint)
        return (
            error(complaint.code, complaint.message, place=_places([one]), hint=". Or: ".join(cures)) if cures else None
        )

    def _cause(self, complaint: Complaint, one: Requirement, project: Project | None) -> Cause | None:
        if project is not None:
            day = self.day(one.name)
            return explain_absence(project, self.python, day=day, specifier=one.specifier)
        return explain_nothing(one.name) if f"no versions of {one.name} " in complaint.message else None

    def diagnostic(self, complaint: Complaint, culprits: Sequence[Requirement]) -> Diagnostic:
        """Return uv's complaint, with who asks for what is at fault."""
        return Diagnostic(complaint.code, Severity.ERROR, complaint.message, _places(culprits), complaint.hint)


def _places(requirements: Iterable[Requirement]) -> str | None:
    """Return who asks: `pandas: imported by cell 3; numpy: requirements.txt line 2`."""
    return "; ".join(f"{one.name}: {', '.join(one.why)}" for one in requirements if one.why) or None


def _well_known() -> list[str]:
    names = {normalise(name) for name in read_names("same")}
    names.update(normalise(name) for row in read_pairs("aliases").values() for name in row.partition(";")[0].split())
    return sorted(names)
