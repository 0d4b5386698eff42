"""What a source asks of its environment, before anything is resolved."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from kanoe.base.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True)
class Requirement:
    """One distribution that the environment must hold.

    Args:
        name: the distribution's normalised name (PEP 503), `scikit-learn`.
        specifier: PEP 440 version specifiers, `>=1.2,<2`; empty for any version.
        extras: extras asked for, `("socks",)`.
        url: a direct reference (PEP 508 `name @ url`), or `None`.
        marker: a PEP 508 environment marker, or empty.
        why: who asks, each a short phrase: `imported by cell 3`, `requirements.txt line 2`, `--with`.
        modules: the import names that this distribution was chosen for; empty where it was declared by name.
        optional: the source can do without: every import of it stands in a `try` that catches the failure or under a
            condition, or only a habit of the code suggests it (`read_excel` and openpyxl).
        guessed: the name is only the import's own name; what is installed must prove that it provides the module.
    """

    name: str
    specifier: str = ""
    extras: tuple[str, ...] = ()
    url: str | None = None
    marker: str = ""
    why: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    optional: bool = False
    guessed: bool = False

    def __str__(self) -> str:
        """Return the PEP 508 form."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        version = f" @ {self.url}" if self.url else self.specifier
        marker = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}{extras}{version}{marker}"


@dataclass(frozen=True, slots=True)
class Needs:
    """Everything a source asks for.

    Args:
        requirements: sorted by name, one per distribution (and marker).
        python: a version (`3.11`) or a PEP 440 specifier (`>=3.10`), or `None` where nobody says.
        python_why: who says it: `pyproject.toml requires-python`, `--python`.
        as_of: an ISO date or RFC 3339 time: only releases before it count; `None` for the newest.
        as_of_why: who says it.
        inferred: whether the day or the Python was inferred from the source, not declared or given.
        python_inferred: whether the Python was: then it is a wish, and the nearest that is there is taken.
        as_of_inferred: whether the day was: it moves to where that Python has wheels.
        evidence: for what is inferred, phrases such as `kernel id 1234567 (2018-04-10)`, the strongest first.
        gpu: whether the builds are taken that use a GPU.
        local_modules: names of modules that stand beside the source and that it imports.
        diagnostics: remarks that do not stop the run.
    """

    requirements: tuple[Requirement, ...] = ()
    python: str | None = None
    python_why: str | None = None
    as_of: str | None = None
    as_of_why: str | None = None
    inferred: bool = False
    python_inferred: bool = False
    as_of_inferred: bool = False
    evidence: tuple[str, ...] = ()
    gpu: bool = False
    local_modules: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = field(default=())

    def with_requirement(self, name: str, why: str, specifier: str = "") -> Needs:
        """Return the needs with one more distribution, or with its releases bounded further; it is then demanded."""
        old = next((one for one in self.requirements if one.name == name and not one.marker), Requirement(name))
        both = old.specifier if old.url else ",".join(part for part in (old.specifier, specifier) if part)
        new = replace(old, specifier=both, why=(*old.why, why), optional=False)
        rest = [one for one in self.requirements if one is not old]
        return replace(self, requirements=tuple(sorted([*rest, new], key=lambda one: (one.name, one.marker))))
