"""A part, which is what this dialect calls a block: one of a dozen fields says which kind it is.

A part's `thoughtSignature` is sealed state of the model's. It comes on whatever part the model was at when it had
thought, and belongs to that part: to a call, to a text, to a thought.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.gemini.media import read_detail, read_file, read_inline
from proxy.dialects.gemini.names import FAMILY, camel
from proxy.dialects.gemini.reading import a_flag, a_list, a_text, an_object, plain_object
from proxy.dialects.identity import unseal
from proxy.dialects.ir import Json

_encode = msgspec.json.Encoder().encode

_OUTCOMES = ("output", "result")
"""Keys of a function's response that hold what it returned, where they stand alone."""


def read_part(value: object, where: str) -> ir.Block:
    """The block a part is. Raises ProxyError for a field of the wrong type."""
    if isinstance(value, str):
        return ir.Text(value)
    part = an_object(value, where)
    for name, read in _READERS.items():
        if name in part:
            if part.get("thought") is True and name in ("inlineData", "fileData"):
                break  # a picture that was only thought of
            return read(dict(part), where)
    if "text" in part or part.keys() <= {"thought", "thoughtSignature"}:
        return _text(dict(part), where)
    kind = next((name for name in part if name not in ("thought", "thoughtSignature")), "part")
    return ir.Opaque(FAMILY, kind, part)


def lenient_part(value: object) -> ir.Block | None:
    """The same for what a provider sends: what cannot be read is left out, but a call by its name is one."""
    try:
        return read_part(value, "part")
    except ProxyError:
        call = camel(value).get("functionCall") if isinstance(value, dict) else None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("args")
    return ir.ToolCall(name=call["name"], arguments=arguments if isinstance(arguments, str) else "")


def _signature(part: Json, where: str) -> tuple[str, str]:
    """(signature, its origin), taken out of the part; two empty strings without one."""
    sealed = a_text(part.pop("thoughtSignature", ""), f"{where}.thoughtSignature")
    if not sealed:
        return "", ""
    origin, state = unseal(sealed, FAMILY)
    return state, origin


def _text(part: Json, where: str) -> ir.Text | ir.Reasoning:
    signature, origin = _signature(part, where)
    is_thought = a_flag(part.pop("thought", False), f"{where}.thought")
    text = a_text(part.pop("text", ""), f"{where}.text")
    if is_thought:
        return ir.Reasoning(
            text,
            signature,
            origin,
            redacted=bool(signature) and not text,
            extras=part,
        )
    return ir.Text(text, signature=signature, origin=origin, extras=part)


def _call(part: Json, where: str) -> ir.ToolCall:
    where = f"{where}.functionCall"
    call = an_object(part.pop("functionCall"), where)
    signature, origin = _signature(part, where)
    arguments = ""
    if "args" in call:
        arguments = _encode(plain_object(call.pop("args"), f"{where}.args")).decode()
    return ir.ToolCall(
        a_text(call.pop("id", ""), f"{where}.id"),
        a_text(call.pop("name", ""), f"{where}.name"),
        arguments,
        signature=signature,
        origin=origin,
        extras=_all_extras(part, "functionCall", call),
    )


def _result(part: Json, where: str) -> ir.ToolResult:
    where = f"{where}.functionResponse"
    given = an_object(part.pop("functionResponse"), where)
    made = ir.ToolResult(
        a_text(given.pop("id", ""), f"{where}.id"), a_text(given.pop("name", ""), f"{where}.name")
    )
    if "response" in given:
        response = plain_object(given.pop("response"), f"{where}.response")
        text, made.is_error = _outcome(response)
        made.content.append(ir.Text(text))
        given["response"] = response  # as it came, for whoever speaks this dialect too
    for at, item in enumerate(a_list(given.pop("parts", []), f"{where}.parts")):
        block = read_part(item, f"{where}.parts[{at}]")
        if isinstance(block, ir.Text | ir.Media | ir.Opaque):
            made.content.append(block)
    made.extras = _all_extras(part, "functionResponse", given)
    return made


def _outcome(response: Json) -> tuple[str, bool]:
    """(what a function returned as text, whether it failed)."""
    value: object = response
    is_error = response.keys() == {"error"}
    if is_error:
        value = response["error"]
    elif len(response) == 1 and next(iter(response)) in _OUTCOMES:
        value = next(iter(response.values()))
    return (value if isinstance(value, str) else _encode(value).decode()), is_error


def _inline(part: Json, where: str) -> ir.Media:
    return _media(read_inline(part.pop("inlineData"), f"{where}.inlineData"), part)


def _file(part: Json, where: str) -> ir.Media:
    return _media(read_file(part.pop("fileData"), f"{where}.fileData"), part)


def _media(media: ir.Media, part: Json) -> ir.Media:
    media.detail = read_detail(part.get("mediaResolution"))
    media.extras.update(part)
    return media


def _opaque(name: str) -> Callable[[Json, str], ir.Opaque]:
    def read(part: Json, where: str) -> ir.Opaque:
        an_object(part[name], f"{where}.{name}")
        return ir.Opaque(FAMILY, name, part)

    return read


_READERS: Mapping[str, Callable[[Json, str], ir.Block]] = {
    "functionCall": _call,
    "functionResponse": _result,
    "inlineData": _inline,
    "fileData": _file,
    **{
        name: _opaque(name)
        for name in ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
    },
}


def _all_extras(part: Json, group: str, inner: Json) -> Json:
    """What is left of a part and of the object in it: the latter's fields under `group.name`."""
    return {**part, **{f"{group}.{name}": value for name, value in inner.items()}}


def with_extras(part: Json, extras: Json, group: str = "") -> Json:
    """A part with what `_all_extras` kept put back."""
    for name, value in extras.items():
        outer, _, field = name.partition(".")
        if field and outer == group:
            part[group][field] = value
        elif not field:
            part[name] = value
    return part
