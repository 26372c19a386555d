"""Blocks of an answer, read: the same in a whole answer and in the events of a stream.

Never raises on what a provider may send: what is not of the type it should be counts as not there.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from typing import Any

import msgspec

from proxy.dialects import ir, json_tool
from proxy.dialects.arguments import free_text, free_tools
from proxy.dialects.bedrock.words import CLAUDE, FAMILY, FINISHES, TOOLS, mime
from proxy.dialects.identity import new_id
from proxy.dialects.ir import Json
from proxy.dialects.names import Names

_encode = msgspec.json.Encoder().encode


class Tools:
    """What a call in the answer to one request may be."""

    __slots__ = ("answers", "free", "names")

    def __init__(self, request: ir.Request) -> None:
        self.names = Names(TOOLS, request)
        self.free = free_tools(request)
        self.answers = json_tool.may_answer(request)
        """A call of `json_tool` is the answer."""

    def is_answer(self, fields: Json) -> bool:
        """Whether a call is the answer itself."""
        return self.answers and fields.get("name") == json_tool.NAME


def block(value: object, tools: Tools) -> ir.Block | None:
    """One block of a message; None when there is nothing in it."""
    fields = obj(value)
    for kind, read in _READERS.items():
        if fields.get(kind) is not None:
            return read(fields[kind], tools)
    for kind, inner in fields.items():
        return ir.Opaque(origin=FAMILY, kind=kind, value=obj(inner))
    return None


def _text(value: object, tools: Tools) -> ir.Block | None:
    return ir.Text(text=text(value))


def _cited(value: object, tools: Tools) -> ir.Block | None:
    """`citationsContent`: a text with its sources."""
    fields = obj(value)
    said = "".join(text(obj(part).get("text")) for part in array(fields.get("content")))
    return ir.Text(text=said, citations=[citation(one) for one in array(fields.get("citations"))])


def _call(value: object, tools: Tools) -> ir.Block | None:
    fields = obj(value)
    if fields.get("type") == "server_tool_use":
        return ir.Opaque(origin=FAMILY, kind="toolUse", value=fields)
    given = fields.get("input")
    arguments = "" if given in (None, {}) else _encode(given).decode()
    if tools.is_answer(fields):
        return ir.Text(text=arguments or "{}")
    made = call(fields, tools)
    made.arguments = free_text(arguments) if made.custom else arguments
    return made


def call(fields: Json, tools: Tools) -> ir.ToolCall:
    """A call of a tool of the client's, from its `toolUseId` and `name`."""
    name = tools.names.back(text(fields.get("name")))
    id = text(fields.get("toolUseId")) or new_id("call_")
    return ir.ToolCall(id=id, name=name, custom=name in tools.free)


def _reasoning(value: object, tools: Tools) -> ir.Block | None:
    fields = obj(value)
    sealed = text(fields.get("redactedContent"))
    if sealed:
        signature, origin = opened(sealed)
        return ir.Reasoning(signature=signature, origin=origin, redacted=True)
    inner = obj(fields.get("reasoningText"))
    signature = text(inner.get("signature"))
    return ir.Reasoning(
        text=text(inner.get("text")),
        signature=signature,
        origin=CLAUDE if signature else "",
    )


def _image(value: object, tools: Tools) -> ir.Block | None:
    return _medium("image", value)


def _document(value: object, tools: Tools) -> ir.Block | None:
    return _medium("document", value)


def _audio(value: object, tools: Tools) -> ir.Block | None:
    return _medium("audio", value)


def _video(value: object, tools: Tools) -> ir.Block | None:
    return _medium("video", value)


def _medium(kind: Any, value: object) -> ir.Block | None:
    fields = obj(value)
    source = obj(fields.get("source"))
    made = ir.Media(
        kind=kind,
        mime=mime(kind, text(fields.get("format"))),
        data=text(source.get("bytes")),
        url=text(obj(source.get("s3Location")).get("uri")),
        text=text(source.get("text")),
        name=text(fields.get("name")),
    )
    return made if made.data or made.url or made.text else None


_READERS = {
    "text": _text,
    "toolUse": _call,
    "reasoningContent": _reasoning,
    "citationsContent": _cited,
    "image": _image,
    "document": _document,
    "audio": _audio,
    "video": _video,
}


def citation(value: object) -> ir.Citation:
    """One citation of any kind."""
    own = obj(value)
    source = text(own.get("source"))
    url = text(obj(obj(own.get("location")).get("web")).get("url"))
    return ir.Citation(
        url=url or (source if source.startswith(("http://", "https://")) else ""),
        title=text(own.get("title")),
        text="".join(text(obj(part).get("text")) for part in array(own.get("sourceContent"))),
        origin=FAMILY,
        own=own,
    )


def opened(sealed: str) -> tuple[str, str]:
    """(signature, origin) of `redactedContent`.

    It is base64 of anything. A Claude's is the text of Anthropic's own `redacted_thinking.data`, which Anthropic takes
    too; that of others stays as it is.
    """
    try:
        inner = b64decode(sealed, validate=True).decode("ascii")
    except (Error, ValueError):
        return sealed, FAMILY
    return (inner, CLAUDE) if inner.isprintable() and inner else (sealed, FAMILY)


def closed(signature: str, origin: str) -> str:
    """`redactedContent` of what `opened` gave."""
    return signature if origin == FAMILY else b64encode(signature.encode()).decode("ascii")


def finish(reason: str) -> ir.Finish:
    """Why an answer ended, in our word."""
    return FINISHES.get(reason, "stop")


def stop_sequence(value: object) -> str:
    """The stop sequence that was met, from `additionalModelResponseFields` (it was asked for)."""
    return text(obj(value).get("stop_sequence"))


def tier(value: object) -> str:
    """The service tier an answer names."""
    return text(obj(value).get("type"))


def obj(value: object) -> Json:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def array(value: object) -> list[Any]:
    """`value` if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """`value` if it is a string, else ""."""
    return value if isinstance(value, str) else ""
