"""Values of a client's request, each of the type it must have, or a refusal that names its field.

As protobuf's JSON has it, a number may stand in quotes and the case of an enum's word does not matter.
"""

from __future__ import annotations

from math import isfinite

from proxy.core.errors import ProxyError
from proxy.dialects.gemini.names import camel
from proxy.dialects.ir import Json


def wrong(where: str, must: str) -> ProxyError:
    """The refusal of a value that is not what it `must` be."""
    return ProxyError("bad_req", f"'{where}' must be {must}.", code="invalid_type", param=where)


def an_object(value: object, where: str) -> Json:
    """A message of the wire, its fields in one spelling."""
    return camel(plain_object(value, where))


def plain_object(value: object, where: str) -> Json:
    """An object whose names are the client's."""
    if not isinstance(value, dict):
        raise wrong(where, "an object")
    return value


def a_list(value: object, where: str) -> list[object]:
    """A list; one thing alone is a list of it, as many clients write it."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict | str):
        return [value]
    raise wrong(where, "an array")


def a_text(value: object, where: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise wrong(where, "a string")
    return value


def texts(value: object, where: str) -> list[str]:
    """Strings."""
    return [a_text(item, f"{where}[{at}]") for at, item in enumerate(a_list(value, where))]


def a_word(value: object, where: str) -> str:
    """A word of an enum, in upper case."""
    return a_text(value, where).upper()


def a_number(value: object, where: str) -> float:
    """A number that is one."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise wrong(where, "a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise wrong(where, "a number")
    return value


def a_count(value: object, where: str) -> int:
    """A whole number."""
    number = a_number(value, where)
    if number != int(number):
        raise wrong(where, "an integer")
    return int(number)


def a_flag(value: object, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(where, "a boolean")
    return value
