"""JSON of a message taken apart, with the name of the field that is not what it must be.

`Wrong` carries that name (`messages[2].content[0].source`). What a client sent wrong becomes an answer that says so;
what a provider sent wrong is left out, by whoever catches it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from proxy.core.errors import ProxyError
from proxy.dialects.ir import Json
from proxy.dialects.names import Rule

NAME = "anthropic.messages"
FAMILY = "anthropic"
TOOLS = Rule(NAME, 128)

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode

_WORDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    dict: "an object",
    list: "an array",
}


class Wrong(ValueError):
    """A field is not what it must be."""

    def __init__(self, at: str, must: str, code: str = "invalid_type") -> None:
        super().__init__(at)
        self.at = at
        self.must = must
        self.code = code

    def refusal(self) -> ProxyError:
        """The same for the client."""
        return ProxyError(
            "bad_req", f"'{self.at}' must be {self.must}.", code=self.code, param=self.at
        )


class Fields:
    """An object whose fields are taken out one by one; what `rest` gives is what nobody knew.

    A field that is null is as good as none.
    """

    __slots__ = ("at", "values")

    def __init__(self, value: object, at: str) -> None:
        if not isinstance(value, dict):
            raise Wrong(at, "an object")
        self.values: Json = {key: item for key, item in value.items() if item is not None}
        self.at = at

    def path(self, name: str) -> str:
        """The full name of a field."""
        return f"{self.at}.{name}" if self.at else name

    def take(self, name: str, kind: type, default: Any = None) -> Any:
        """The field, which must be of `kind`."""
        value = self.values.pop(name, None)
        if value is None:
            return default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return value
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise Wrong(self.path(name), _WORDS[kind])
        return value

    def need(self, name: str, kind: type) -> Any:
        """The same for a field that must be there."""
        value = self.take(name, kind)
        if value is None:
            raise Wrong(self.path(name), _WORDS[kind], "missing_required_parameter")
        return value

    def text(self, name: str) -> str:
        """A string; "" without one."""
        value: str = self.take(name, str, "")
        return value

    def inner(self, name: str) -> Fields | None:
        """An object, to be taken apart in turn."""
        value = self.take(name, dict)
        return None if value is None else Fields(value, self.path(name))

    def strings(self, name: str) -> list[str]:
        """A list of strings."""
        values = self.take(name, list, [])
        for number, value in enumerate(values):
            if not isinstance(value, str):
                raise Wrong(f"{self.path(name)}[{number}]", "a string")
        return list(values)

    def rest(self) -> Json:
        """Whatever has not been taken."""
        return self.values


def plain(pairs: Iterable[tuple[str, object]]) -> Json:
    """An object of those fields that say something."""
    return {name: value for name, value in pairs if value not in (None, "", [], {})}
