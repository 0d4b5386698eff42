"""What the engine asks of whatever remembers earlier executions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kanoe.engine.cells import Step
from kanoe.engine.state import State
from kanoe.ir.trace import Reference, Trace, Value

Told = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an earlier execution of a cell stands for a new one.

    Args:
        trace: that execution; `None`: the cell has to run.
        reason: why, one short sentence for people.
        messages: what it told, as message types and contents.
        names: variables that the code looked up in earlier executions, where it has to run.
    """

    trace: Trace | None
    reason: str | None = None
    messages: Told = ()
    names: tuple[str, ...] = ()


class Memory(Protocol):
    """Remembers executions of cells.

    The contract: what `look_up` returns was recorded by `record` for the same code, environment and origin, and everything it read
    holds the same now. `lay_down` brings the files of the run's folders to what a state says.
    """

    def look_up(self, step: Step, state: State) -> Verdict:
        """Return whether a step can be reused, and why not."""

    def record(self, step: Step, trace: Trace, messages: Told) -> Trace:
        """Remember an execution; returns it with what only the memory knows: its reads of what no cell writes."""

    def lay_down(self, values: Mapping[Reference, Value]) -> Sequence[Reference]:
        """Bring the files to a state; returns those whose bytes are gone or damaged."""

    def forget(self) -> None:
        """Let the folders be empty, whatever lies there."""
