"""A client's JSON taken apart field by field, for OpenAI's two formats of choices.

A field of the wrong type becomes a 400 that names it (`messages[2].content`). A field that is null is as good as none.
"""

from __future__ import annotations

from math import isfinite

import msgspec

from proxy.core.errors import ProxyError
from proxy.dialects.ir import Json

_decode = msgspec.json.Decoder().decode


def wrong(at: str, must: str, code: str = "invalid_type") -> ProxyError:
    """The refusal of a field that is not what it `must` be."""
    return ProxyError("bad_req", f"'{at}' must be {must}.", code=code, param=at)


def an_object(value: object, at: str) -> Json:
    """An object."""
    if not isinstance(value, dict):
        raise wrong(at, "an object")
    return value


def a_list(value: object, at: str) -> list[object]:
    """An array."""
    if not isinstance(value, list):
        raise wrong(at, "an array")
    return value


def a_text(value: object, at: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise wrong(at, "a string")
    return value


def a_flag(value: object, at: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(at, "true or false")
    return value


def a_number(value: object, at: str) -> float:
    """A number that is one, whole ones as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise wrong(at, "a number")
    return value


def a_count(value: object, at: str) -> int:
    """A whole number."""
    number = a_number(value, at)
    if number != int(number) or abs(number) >= 2**63:
        raise wrong(at, "an integer")
    return int(number)


def texts(value: object, at: str) -> list[str]:
    """Strings: one alone, or an array of them."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise wrong(at, "a string or an array of strings")
    return [a_text(item, f"{at}[{number}]") for number, item in enumerate(value)]


class Fields:
    """An object whose fields are taken out one by one; `rest` is what nobody asked for."""

    __slots__ = ("at", "rest")

    def __init__(self, value: object, at: str = "") -> None:
        self.at = at
        self.rest: Json = {
            name: item for name, item in an_object(value, at).items() if item is not None
        }

    @classmethod
    def of_body(cls, body: bytes) -> Fields:
        """Those of a whole request."""
        try:
            found = _decode(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ProxyError("bad_json")
        return cls(found)

    def path(self, name: str) -> str:
        """The full name of a field."""
        return f"{self.at}.{name}" if self.at else name

    def take(self, name: str) -> object:
        """A field of any type; None without one."""
        return self.rest.pop(name, None)

    def text(self, name: str) -> str:
        """A string; "" without one."""
        value = self.take(name)
        return "" if value is None else a_text(value, self.path(name))

    def need(self, name: str) -> str:
        """A string that must be there."""
        value = self.take(name)
        if value is None:
            raise wrong(self.path(name), "a string", "missing_required_parameter")
        return a_text(value, self.path(name))

    def flag(self, name: str) -> bool | None:
        """True, false, or None without one."""
        value = self.take(name)
        return None if value is None else a_flag(value, self.path(name))

    def number(self, name: str) -> float | None:
        """A number; None without one."""
        value = self.take(name)
        return None if value is None else a_number(value, self.path(name))

    def count(self, name: str) -> int | None:
        """A whole number; None without one."""
        value = self.take(name)
        return None if value is None else a_count(value, self.path(name))

    def items(self, name: str) -> list[object]:
        """An array; an empty one without one."""
        value = self.take(name)
        return [] if value is None else a_list(value, self.path(name))

    def texts(self, name: str) -> list[str]:
        """Strings; none without any."""
        value = self.take(name)
        return [] if value is None else texts(value, self.path(name))

    def object(self, name: str) -> Json:
        """An object as it is; an empty one without one."""
        value = self.take(name)
        return {} if value is None else an_object(value, self.path(name))

    def inner(self, name: str) -> Fields | None:
        """An object, to be taken apart in turn."""
        value = self.take(name)
        return None if value is None else Fields(value, self.path(name))
