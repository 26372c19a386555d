"""A client's request, in words of the hub.

Google's client keeps an answer as it was streamed: one content for each chunk, a thought in pieces and its signature
in the last. Here that is one turn again, because a signature is of the whole thought, and others want it so.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from proxy.core.errors import ProxyError
from proxy.dialects import identity, ir
from proxy.dialects.gemini.names import NAME, camel
from proxy.dialects.gemini.parts import read_part
from proxy.dialects.gemini.reading import a_list, a_text, a_word, an_object, wrong
from proxy.dialects.gemini.settings import read_settings
from proxy.dialects.gemini.tools import read_choice, read_tools
from proxy.dialects.ir import Json

_decode = msgspec.json.Decoder().decode

_ROLES: Mapping[str, ir.Role] = {
    "": "user",
    "USER": "user",
    "FUNCTION": "user",
    "TOOL": "user",
    "MODEL": "assistant",
    "ASSISTANT": "assistant",
    "SYSTEM": "system",
}
_MUSTS: Mapping[str, str] = {
    "cachedContent": "It names a part of the prompt that only Google has.",
    "continuationToken": "It continues an answer that only Google can continue.",
}
_TIERS: Mapping[str, str] = {"STANDARD": "default", "UNSPECIFIED": "auto"}


def parse_request(body: bytes) -> ir.Request:
    """The request in a client's body."""
    try:
        fields = _decode(body)
    except (ValueError, RecursionError):
        raise ProxyError("bad_json") from None
    if not isinstance(fields, dict):
        raise ProxyError("bad_json")
    try:
        return read_request(fields)
    except RecursionError:
        raise ProxyError("bad_req", "The body is nested too deeply.", code="too_deep") from None


def read_request(fields: Json) -> ir.Request:
    """The request in a decoded body."""
    given = camel(fields)
    request = ir.Request(origin=NAME)
    if "model" in given:
        request.model = a_text(given.pop("model"), "model").removeprefix("models/")
    if "systemInstruction" in given:
        request.messages += _system(given.pop("systemInstruction"))
    if "contents" not in given:
        raise wrong("contents", "given")
    request.messages += _conversation(given.pop("contents"))
    if "tools" in given:
        request.tools = read_tools(given.pop("tools"), "tools")
    if "toolConfig" in given:
        request.tool_choice, rest = read_choice(given.pop("toolConfig"), "toolConfig")
        request.extras.update({f"toolConfig.{name}": value for name, value in rest.items()})
    if "generationConfig" in given:
        read_settings(request, given.pop("generationConfig"))
    if "labels" in given:
        request.metadata = an_object(given.pop("labels"), "labels")
    tier = a_word(given.pop("serviceTier", ""), "serviceTier")
    request.service_tier = _TIERS.get(tier, tier.lower())
    request.musts = {name: why for name, why in _MUSTS.items() if name in given}
    if given.get("store") is False:  # nobody else would have kept it either
        request.aside["store"] = given.pop("store")
    request.extras.update(given)
    identity.complete(request.messages)
    return request


def _system(value: object) -> list[ir.Message]:
    """`systemInstruction`: a content, or what clients write for one (a text, a part, a list of parts)."""
    where = "systemInstruction"
    if isinstance(value, dict) and "parts" in value:
        message = _message(value, where)
        message.role = "system"
        return [message]
    parts = [read_part(item, f"{where}[{at}]") for at, item in enumerate(a_list(value, where))]
    return [ir.Message("system", parts)]


def _conversation(value: object) -> list[ir.Message]:
    found: list[ir.Message] = []
    for at, item in enumerate(a_list(value, "contents")):
        message = _message(item, f"contents[{at}]")
        last = found[-1] if found else None
        if last is not None and _belongs(last, message):
            last.content += message.content
        else:
            found.append(message)
    for message in found:
        if message.role == "assistant":
            message.content = _joined(message.content)
    return found


def _belongs(last: ir.Message, message: ir.Message) -> bool:
    """Whether two contents are one turn of the model."""
    is_model = last.role == message.role == "assistant"
    return is_model and not last.extras and not message.extras


def _message(value: object, where: str) -> ir.Message:
    if isinstance(value, str):
        return ir.Message("user", [ir.Text(value)])
    content = an_object(value, where)
    if "parts" not in content and "role" not in content and content:
        return ir.Message("user", [read_part(content, where)])  # a part where a content belongs
    role = _ROLES.get(a_word(content.pop("role", ""), f"{where}.role"))
    if role is None:
        raise wrong(f"{where}.role", "'user' or 'model'")
    inside = f"{where}.parts"
    parts = a_list(content.pop("parts", []), inside)
    blocks = [read_part(part, f"{inside}[{at}]") for at, part in enumerate(parts)]
    return ir.Message(role, blocks, extras=content)


def _joined(blocks: list[ir.Block]) -> list[ir.Block]:
    """The blocks of one turn of the model, with what was streamed in pieces in one."""
    kept: list[ir.Block] = []
    for block in blocks:
        if isinstance(block, ir.Text) and not (block.text or block.signature or block.extras):
            continue
        if not (kept and _goes_on(kept[-1], block)):
            kept.append(block)
    return kept


def _goes_on(last: ir.Block, block: ir.Block) -> bool:
    """Whether `block` is more of `last`, and has been added to it."""
    if isinstance(last, ir.Text):
        same = isinstance(block, ir.Text)
    else:
        same = isinstance(last, ir.Reasoning) and isinstance(block, ir.Reasoning)
    if not same or last.signature or last.extras != block.extras:  # type: ignore[union-attr]
        return False
    assert isinstance(last, ir.Text | ir.Reasoning)
    assert isinstance(block, ir.Text | ir.Reasoning)
    last.text += block.text
    last.signature, last.origin = block.signature, block.origin
    return True
