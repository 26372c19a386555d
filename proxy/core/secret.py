"""A string that does not show itself."""

from __future__ import annotations

from typing import Any, Never

from msgspec import Struct


class Secret(Struct, frozen=True, repr_omit_defaults=True):
    """Holds a secret; every way of printing, formatting or pickling it gives `***`."""

    _value: str

    def reveal(self) -> str:
        """The secret itself. Callers put it into a request and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> Never:
        raise TypeError("a Secret is not pickled")

    def __rich_repr__(self) -> Any:
        yield "***"
