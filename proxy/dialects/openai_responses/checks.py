"""Whether the items of a client's input are of the shape they must be, before they are read.

Only what is read is looked at: everything else is the provider's to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.dialects.asked import a_list, a_text, an_object, wrong
from proxy.dialects.ir import Json
from proxy.dialects.openai_responses.parts import TEXTS

Check = Callable[[object, str], object]

ROLES = ("user", "system", "developer", "assistant")


def _is_role(value: object, at: str) -> None:
    if value not in ROLES:
        raise wrong(at, "user, system, developer or assistant", "invalid_value")


def _is_sound(value: object, at: str) -> None:
    sound = an_object(value, at)
    a_text(sound.get("data"), f"{at}.data")
    a_text(sound.get("format", ""), f"{at}.format")


def _are_parts(value: object, at: str) -> None:
    """A string, or an array of parts."""
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        raise wrong(at, "a string or an array of parts")
    for number, item in enumerate(value):
        _check(item, f"{at}[{number}]", _PARTS)


def _are_texts(value: object, at: str) -> None:
    """An array of objects with a text each."""
    for number, item in enumerate(a_list(value, at)):
        where = f"{at}[{number}]"
        a_text(an_object(item, where).get("text"), f"{where}.text")


def _are_objects(value: object, at: str) -> None:
    for number, item in enumerate(a_list(value, at)):
        an_object(item, f"{at}[{number}]")


_Fields = tuple[tuple[str, Check, bool], ...]
"""Name, check, and whether it must be there."""

_TEXT: _Fields = (
    ("text", a_text, True),
    ("annotations", _are_objects, False),
    ("logprobs", _are_objects, False),
)
_PARTS: Mapping[str, _Fields] = {
    **dict.fromkeys(TEXTS, _TEXT),
    "refusal": (("refusal", a_text, True),),
    "input_image": (
        ("image_url", a_text, False),
        ("file_id", a_text, False),
        ("detail", a_text, False),
    ),
    "input_file": (
        ("file_data", a_text, False),
        ("file_id", a_text, False),
        ("file_url", a_text, False),
        ("filename", a_text, False),
    ),
    "input_audio": (("input_audio", _is_sound, True),),
}
_RESULT: _Fields = (
    ("call_id", a_text, False),
    ("name", a_text, False),
    ("output", _are_parts, True),
)
_ITEMS: Mapping[str, _Fields] = {
    "message": (("role", _is_role, True), ("content", _are_parts, True)),
    "function_call": (
        ("call_id", a_text, True),
        ("name", a_text, True),
        ("arguments", a_text, True),
    ),
    "custom_tool_call": (
        ("call_id", a_text, True),
        ("name", a_text, True),
        ("input", a_text, True),
    ),
    "function_call_output": _RESULT,
    "custom_tool_call_output": _RESULT,
    "reasoning": (
        ("id", a_text, False),
        ("summary", _are_texts, False),
        ("content", _are_texts, False),
        ("encrypted_content", a_text, False),
    ),
    "item_reference": (("id", a_text, True),),
}


def checked_item(value: object, at: str) -> Json:
    """An item of `input`, with its type, which may be left out. Raises ProxyError for one of the wrong shape."""
    item = an_object(value, at)
    if item.get("type") is None:
        kind = "message" if "role" in item or "content" in item else "item_reference"
        if kind == "item_reference" and "id" not in item:
            raise wrong(f"{at}.type", "a string", "missing_required_parameter")
        item = {**item, "type": kind}
    _check(item, at, _ITEMS)
    return item


def _check(value: object, at: str, known: Mapping[str, _Fields]) -> None:
    fields = an_object(value, at)
    kind = a_text(fields.get("type"), f"{at}.type")
    for name, check, required in known.get(kind, ()):
        found = fields.get(name)
        if found is not None:
            check(found, f"{at}.{name}")
        elif required:
            raise wrong(f"{at}.{name}", "given", "missing_required_parameter")
