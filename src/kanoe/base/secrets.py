"""Values that are shown nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn


class Secrets(Mapping[str, str]):
    """Secrets by name: a mapping whose texts, copies and dumps never hold a value. It lives in memory only.

    Only who looks a name up gets its value: `repr`, `str`, `format`, `dataclasses.asdict` and `json.dumps(default=str)` show the
    names, and it cannot be pickled.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(f'{name}=***' for name in self._values)})"

    def __copy__(self) -> Secrets:
        return self

    def __deepcopy__(self, _memory: dict[int, Any]) -> Secrets:
        return self

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise TypeError("secrets are not written anywhere")
