"""Bodies written for other gateways: the same fields in their spelling, and what we have no place for.

`groupName`, `group_name` and `GroupName` are one field; null is a field that was not given. What is of the wrong kind
is refused under the name the caller used. What nobody here knows is not refused, as a program written for another
gateway sends it anyway: it is named in the answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from proxy.control.admin.web import Fault, Problem


class Kind(Struct, frozen=True):
    """What a field takes. `check` gives its value, or raises ValueError."""

    expected: str
    check: Callable[[object], Any]
    schema: Mapping[str, Any]
    """For the OpenAPI document."""


class Given(Struct, frozen=True):
    """What a body says."""

    values: Mapping[str, Any]
    """By the names of the table it was read with."""
    unknown: tuple[str, ...] = ()
    """Fields nobody here knows, as they were written."""

    def get(self, name: str, otherwise: Any = None) -> Any:
        """The value, or `otherwise` when the field was not given."""
        return self.values.get(name, otherwise)

    @property
    def warnings(self) -> list[str]:
        """One sentence for each field that is not kept."""
        return [f"'{name}' is not kept: there is no such setting here." for name in self.unknown]


def read(
    body: Mapping[str, Any],
    table: Mapping[str, Kind],
    *,
    needed: tuple[str, ...] = (),
    ignored: Iterable[str] = (),
) -> Given:
    """The fields of the table. `ignored`: what an answer has besides, which may be sent back as it came.

    Raises Problem 400 that names every field which is wrong, twice there or missing.
    """
    names = {folded(name): name for name in table}
    passed = set(map(folded, ignored)) - names.keys()
    values: dict[str, Any] = {}
    unknown: list[str] = []
    faults: list[Fault] = []
    for written, value in body.items():
        name = names.get(folded(written))
        if name is None:
            if folded(written) not in passed:
                unknown.append(written)
        elif value is None:
            continue
        elif name in values:
            faults.append(Fault(written, f"it is there twice: as '{name}' in another spelling"))
        else:
            try:
                values[name] = table[name].check(value)
            except ValueError:
                faults.append(Fault(written, f"{table[name].expected} is expected"))
    wrong = {folded(fault.field) for fault in faults}
    faults += [
        Fault(name, "it is missing")
        for name in needed
        if name not in values and folded(name) not in wrong
    ]
    if faults:
        raise invalid(*faults)
    return Given(values, tuple(unknown))


def folded(word: str) -> str:
    """A name without case, spaces, `-` and `_`."""
    return re.sub(r"[\s_-]", "", word).casefold()


def invalid(*faults: Fault) -> Problem:
    """The body cannot be used."""
    return Problem(400, "invalid", "The body is not valid.", faults)


def renamed(problem: Problem, words: Mapping[str, str]) -> Problem:
    """The problem with its faults under other names."""
    faults = tuple(
        Fault(words.get(fault.field, fault.field), fault.message) for fault in problem.faults
    )
    return Problem(problem.status, problem.code, problem.detail, faults, problem.headers)


def moment(time: float) -> str:
    """A time of the store as text, in UTC: 2027-01-31T12:00:00+00:00."""
    return datetime.fromtimestamp(time, UTC).replace(microsecond=0).isoformat()


def _text(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise ValueError
    # A name that is there twice says nothing new.
    return list(dict.fromkeys(map(_text, value)))


def _whole(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1.0 is a whole number, as JSON Schema has it
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError


def _number(value: object) -> int | float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return value
    raise ValueError


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError


def _mapping(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ValueError


def _target(value: object) -> str:
    return _text(value) if isinstance(value, str) else str(_whole(value))


_NOT_BLANK = {"type": "string", "pattern": r"\S"}

TEXT = Kind("a text", _text, _NOT_BLANK)
TEXTS = Kind(
    "a list of texts", _texts, {"anyOf": [{"type": "array", "items": _NOT_BLANK}, _NOT_BLANK]}
)
WHOLE = Kind("a whole number", _whole, {"type": "integer"})
NUMBER = Kind("a number", _number, {"type": "number"})
SWITCH = Kind("true or false", _switch, {"type": "boolean"})
MAPPING = Kind("an object", _mapping, {"type": "object"})
TARGET = Kind("an id or a name", _target, {"anyOf": [{"type": "integer"}, _NOT_BLANK]})


def schema(table: Mapping[str, Kind], *needed: str, **more: Mapping[str, Any]) -> dict[str, Any]:
    """What a body looks like; `more` is what is to be said of single fields besides."""
    return {
        "type": "object",
        "required": list(needed),
        "properties": {
            name: {**kind.schema, **more.get(name, {})}
            if name in needed
            else {"anyOf": [{**kind.schema, **more.get(name, {})}, {"type": "null"}]}
            for name, kind in table.items()
        },
    }


def answer(table: Mapping[str, Kind], *more: str) -> dict[str, Any]:
    """What an answer looks like that shows these fields, and others besides."""
    return {
        "type": "object",
        "properties": {
            name: {"anyOf": [kind.schema, {"type": "null"}]} for name, kind in table.items()
        },
        "required": [*table, *more],
    }
