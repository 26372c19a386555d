"""`messages` of a client: who speaks, and the blocks of what is said."""

from __future__ import annotations

from proxy.dialects import identity, ir
from proxy.dialects.asked import Fields, a_list, an_object, wrong
from proxy.dialects.ir import Json
from proxy.dialects.openai_chat import parts, thoughts
from proxy.dialects.openai_chat.fields import FAMILY, encode

_PLAIN_ROLES = ("system", "developer", "user", "assistant")


def parse(values: list[object]) -> list[ir.Message]:
    """All of them, calls and results matched."""
    messages = [_message(value, f"messages[{at}]") for at, value in enumerate(values)]
    identity.complete(messages)
    custom: set[str] = set()
    for message in messages:
        for block in message.content:
            if isinstance(block, ir.ToolCall) and block.custom:
                custom.add(block.id)
            elif isinstance(block, ir.ToolResult):
                block.custom = block.id in custom
    return messages


def _message(value: object, at: str) -> ir.Message:
    fields = Fields(value, at)
    role = fields.need("role")
    if role in ("tool", "function"):
        return _result(fields)
    if role not in _PLAIN_ROLES:
        raise wrong(
            f"{at}.role", "system, developer, user, assistant, tool or function", "invalid_value"
        )
    blocks = _content(fields)
    if role == "assistant":
        blocks = _assistant(fields, blocks)
    return ir.Message(role, blocks, fields.text("name"), fields.rest)  # type: ignore[arg-type]


def _content(fields: Fields) -> list[ir.Block]:
    value = fields.take("content")
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [ir.Text(value)]
    if not isinstance(value, list):
        raise wrong(fields.path("content"), "a string or an array of parts")
    return [parts.parse(part, f"{fields.path('content')}[{at}]") for at, part in enumerate(value)]


def _result(fields: Fields) -> ir.Message:
    result = ir.ToolResult(id=fields.text("tool_call_id"), name=fields.text("name"))
    for block in _content(fields):
        if isinstance(block, ir.Refusal):
            block = ir.Text(block.text)
        if isinstance(block, ir.Text | ir.Media | ir.Opaque):
            result.content.append(block)
    result.cache = parts.cache_of(fields.rest)
    result.extras = fields.rest
    return ir.Message("user", [result])


def _assistant(fields: Fields, content: list[ir.Block]) -> list[ir.Block]:
    """What the model said: thoughts, then what was shown, then calls, the order in which it came to be."""
    plain = ""
    for name in ("reasoning_content", "reasoning"):
        text = fields.text(name)
        plain = plain or text
    details = fields.items("reasoning_details")
    thought = thoughts.parse(details, plain)
    blocks: list[ir.Block] = [block for block in thought if not block.origin.endswith("/last")]
    blocks += content
    refusal = fields.text("refusal")
    if refusal:
        blocks.append(ir.Refusal(refusal))
    annotations = citations(fields.items("annotations"))
    if annotations:
        _cite(blocks, annotations)
    audio = fields.inner("audio")
    if audio is not None:
        blocks.append(ir.Media("audio", file_id=audio.need("id"), origin=FAMILY))
    for at, image in enumerate(fields.items("images")):
        blocks.append(parts.parse(image, f"{fields.path('images')}[{at}]"))
    blocks += (block for block in thought if block.origin.endswith("/last"))
    calls = a_list(fields.take("tool_calls") or [], fields.path("tool_calls"))
    blocks += (call(value, f"{fields.path('tool_calls')}[{at}]") for at, value in enumerate(calls))
    legacy = fields.inner("function_call")
    if legacy is not None:
        blocks.append(ir.ToolCall(name=legacy.need("name"), arguments=_arguments(legacy)))
    return identity.attach(blocks)


def call(value: object, at: str) -> ir.ToolCall:
    """One of `tool_calls`."""
    fields = Fields(value, at)
    fields.take("index")
    kind = fields.text("type")
    made = ir.ToolCall(id=fields.text("id"))
    custom = fields.inner("custom")
    inner = fields.inner("function")
    if custom is not None and (kind == "custom" or inner is None):
        made.custom, made.name, made.arguments = True, custom.need("name"), custom.text("input")
    elif inner is not None:
        made.name, made.arguments = inner.need("name"), _arguments(inner)
    else:
        raise wrong(f"{at}.function", "an object", "missing_required_parameter")
    signature = signature_of(fields.rest)
    if signature:
        made.origin, made.signature = identity.unseal(signature, "gemini")
        fields.rest.pop("extra_content")
    made.cache = parts.cache_of(fields.rest)
    made.extras = fields.rest
    return made


def _arguments(fields: Fields) -> str:
    """JSON text; an object where a client gives it decoded."""
    value = fields.rest.get("arguments")
    if isinstance(value, dict):
        return encode(value).decode()
    return fields.text("arguments")


def signature_of(value: Json) -> str:
    """Google's place for a thought signature."""
    extra = value.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else ""


def citations(values: list[object]) -> list[ir.Citation]:
    """`annotations`, those that cite an address."""
    found: list[ir.Citation] = []
    for value in values:
        own = value if isinstance(value, dict) else {}
        inner = own.get("url_citation")
        if not isinstance(inner, dict):
            continue
        cited = ir.Citation(origin=FAMILY, own=an_object(own, ""))
        cited.url, cited.title = _word(inner, "url"), _word(inner, "title")
        cited.text = _word(inner, "content")
        cited.start, cited.end = _place(inner, "start_index"), _place(inner, "end_index")
        found.append(cited)
    return found


def _word(value: Json, name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _place(value: Json, name: str) -> int | None:
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _cite(blocks: list[ir.Block], annotations: list[ir.Citation]) -> None:
    for block in reversed(blocks):
        if isinstance(block, ir.Text):
            block.citations = annotations
            return
