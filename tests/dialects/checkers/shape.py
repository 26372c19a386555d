"""A decoded JSON value held against the types of an SDK: TypedDicts of requests, pydantic models of answers.

Stricter than either would be by itself: a field nobody documents is a violation at every level. Of a union, the member
that fits best is reported on.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import pydantic
import typing_extensions

Json = dict[str, Any]

_PLAIN: Mapping[object, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (int, float),
    bool: (bool,),
    bytes: (str,),
    dict: (dict,),
    list: (list,),
}
_LISTS = frozenset({"list", "Iterable", "Sequence", "SequenceNotStr", "List"})
_REQUIRED: tuple[Any, ...] = (typing.Required, typing_extensions.Required)
_WRAPPERS: tuple[Any, ...] = (*_REQUIRED, typing.NotRequired, typing_extensions.NotRequired)


class Field(NamedTuple):
    kind: Any
    """Without what is only said about it."""
    is_required: bool


def violations(
    value: object,
    kind: Any,
    where: str = "",
    beyond: Mapping[str, frozenset[str]] | None = None,
) -> list[str]:
    """Every way in which `value` is no `kind`.

    `beyond` names fields that are documented elsewhere than in the SDK, by the name of the type they are on.
    """
    return _Walk(beyond or {}).check(value, kind, where)


def invalid(value: object, model: type[pydantic.BaseModel]) -> list[str]:
    """What the SDK's own reading of an answer says against it."""
    try:
        model.model_validate(value)
    except pydantic.ValidationError as error:
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return []


def is_readable(problems: list[str]) -> bool:
    """Whether nothing is wrong but that there is more than is known: the rest can be looked at."""
    return all(problem.endswith("unknown field") for problem in problems)


@cache
def fields(kind: Any) -> Mapping[str, Field] | None:
    """The fields of an object type by their names in JSON; None: it is none."""
    if typing_extensions.is_typeddict(kind):
        hints = typing_extensions.get_type_hints(kind, include_extras=True)
        return {
            name: Field(_bare(hint), typing.get_origin(hint) in _REQUIRED)
            for name, hint in hints.items()
        }
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        kind.model_rebuild()
        return {
            field.alias or name: Field(
                _bare(typing.cast("Any", field.annotation)), field.is_required()
            )
            for name, field in kind.model_fields.items()
        }
    return None


@cache
def _bare(kind: Any) -> Any:
    """A type without what is only said about it."""
    while True:
        if typing.get_origin(kind) in _WRAPPERS:
            kind = typing.get_args(kind)[0]
        elif hasattr(kind, "__metadata__"):
            kind = kind.__origin__
        else:
            return kind


class _Walk:
    def __init__(self, beyond: Mapping[str, frozenset[str]]) -> None:
        self.beyond = beyond

    def check(self, value: object, kind: Any, where: str) -> list[str]:
        kind = _bare(kind)
        if kind in (Any, object):
            return []
        if kind in (None, type(None)):
            return [] if value is None else [f"{where}: must be null"]
        if kind in _PLAIN:
            return self._plain(value, kind, where)
        found = fields(kind)
        if found is not None:
            return self._object(value, kind.__name__, found, where)
        return self._generic(value, kind, where)

    def _plain(self, value: object, kind: Any, where: str) -> list[str]:
        is_right = isinstance(value, _PLAIN[kind]) and (kind is bool or not isinstance(value, bool))
        return [] if is_right else [f"{where}: must be {kind.__name__}, not {_short(value)}"]

    def _generic(self, value: object, kind: Any, where: str) -> list[str]:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Literal or origin is typing_extensions.Literal:
            if any(value == wanted and type(value) is type(wanted) for wanted in arguments):
                return []
            return [f"{where}: {_short(value)} is none of {', '.join(map(str, arguments))}"]
        if origin is typing.Union or origin is types.UnionType:
            return self._union(value, arguments, where)
        if origin is dict or getattr(origin, "__name__", "") == "Mapping":
            return self._map(value, arguments, where)
        if getattr(origin, "__name__", "") in _LISTS:
            if not isinstance(value, list):
                return [f"{where}: must be a list, not {_short(value)}"]
            return [
                problem
                for number, item in enumerate(value)
                for problem in self.check(item, arguments[0], f"{where}[{number}]")
            ]
        if isinstance(kind, type) and issubclass(kind, str):  # an enumeration
            words = sorted(str(word.value) for word in kind)  # type: ignore[attr-defined]
            if isinstance(value, str) and value.upper() in map(str.upper, words):
                return []  # Google takes either case
            return [f"{where}: {_short(value)} is none of {', '.join(words)}"]
        if getattr(kind, "__name__", "") in ("datetime", "date"):
            return self._plain(value, str, where)
        return [f"{where}: {_short(value)} is no {kind}"]

    def _map(self, value: object, arguments: tuple[Any, ...], where: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{where}: must be an object, not {_short(value)}"]
        return [
            problem
            for name, item in value.items()
            for problem in self.check(item, arguments[1], f"{where}.{name}")
        ]

    def _object(
        self, value: object, name: str, found: Mapping[str, Field], where: str
    ) -> list[str]:
        if not isinstance(value, dict):
            return [f"{where}: must be an object, not {_short(value)}"]
        problems = [
            f"{where}.{key}: is missing"
            for key, field in found.items()
            if field.is_required and key not in value
        ]
        known = self.beyond.get(name, frozenset())
        for key, item in value.items():
            if key in found:
                problems += self.check(item, found[key].kind, f"{where}.{key}")
            elif key not in known:
                problems.append(f"{where}.{key}: unknown field")
        return problems

    def _union(self, value: object, members: tuple[Any, ...], where: str) -> list[str]:
        flat = _flat(members)
        suited = [member for member in flat if _suits(value, member)]
        if isinstance(value, dict) and suited:
            wrong = [_mismatches(value, member) for member in suited]
            pairs = zip(suited, wrong, strict=True)
            suited = [member for member, count in pairs if count == min(wrong)]
        return min((self.check(value, member, where) for member in suited or flat), key=len)


@cache
def _flat(members: tuple[Any, ...]) -> tuple[Any, ...]:
    """The members of a union and of the unions in it."""
    flat: list[Any] = []
    for member in map(_bare, members):
        if typing.get_origin(member) in (typing.Union, types.UnionType):
            flat += _flat(typing.get_args(member))
        else:
            flat.append(member)
    return tuple(flat)


def _suits(value: object, kind: Any) -> bool:
    """Whether a value is of the same JSON type as a member of a union."""
    kind_of_json = _json(kind)
    if kind_of_json is None:
        return not isinstance(value, dict | list)
    return isinstance(value, kind_of_json)


@cache
def _json(kind: Any) -> type | None:
    """What JSON of this type is read as; None: neither object nor list."""
    origin = typing.get_origin(kind)
    if kind in (Any, object):
        return object
    if fields(kind) is not None or origin is dict or kind is dict:
        return dict
    return list if getattr(origin, "__name__", "") in _LISTS else None


def _mismatches(value: Json, kind: Any) -> int:
    """How many of the fields that tell the members of a union apart say that `value` is no `kind`."""
    count = 0
    for name, words, is_required in _telling(kind):
        if name in value:
            count += 2 * (value[name] not in words)
        else:
            count += is_required
    return count


@cache
def _telling(kind: Any) -> tuple[tuple[str, tuple[Any, ...], bool], ...]:
    """The fields that tell the members of a union apart: name, what it may say, whether it has to be there."""
    return tuple(
        (name, typing.get_args(field.kind), field.is_required)
        for name, field in (fields(kind) or {}).items()
        if name in ("type", "role", "object") and typing.get_origin(field.kind) is typing.Literal
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."
