"""A whole answer, both ways.

What a client has no block for stays out: sounds, images, the blocks of other families. Sealed state of theirs goes
out inside of thinking blocks, which clients give back as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Raw

from proxy.dialects import identity, ir, json_tool
from proxy.dialects import usage as reports
from proxy.dialects.anthropic import blocks as reading
from proxy.dialects.anthropic.fields import FINISH, stop_reason
from proxy.dialects.anthropic.read import FAMILY, NAME, TOOLS, Fields, Wrong, encode
from proxy.dialects.arguments import as_object, free_tools, freed
from proxy.dialects.ir import Json
from proxy.dialects.lenient import mended, object_at
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names

_NULL = Raw(b"null")
_TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}
_TIER_WORDS = {word: tier for tier, word in _TIERS.items()}
_COUNTED = frozenset(
    {
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "output_tokens_details",
        "service_tier",
    }
)


def parse_response(body: bytes, request: ir.Request) -> ir.Response:
    """A provider's body. Raises ValueError for what is no answer."""
    value = object_at(body) or object_at(mended(body))
    if value is None or value.get("error") or value.get("type") == "error":
        raise ValueError("no answer")
    fields = Fields(value, "")
    content = fields.values.pop("content", None)
    if not isinstance(content, list | str):
        raise ValueError("no content")
    for name in ("type", "role"):
        fields.values.pop(name, None)
    word = _word(fields, "stop_reason")
    choice = ir.Choice(
        blocks=_blocks(content, request),
        stop_sequence=_word(fields, "stop_sequence"),
        reason=word,
    )
    _finish(choice, request)
    response = ir.Response(
        id=_word(fields, "id"), model=_word(fields, "model"), choices=[choice], origin=NAME
    )
    given = fields.values.pop("usage", None)
    if isinstance(given, dict):
        response.usage = reports.anthropic(encode(given), _NULL)
        response.service_tier = service_tier(given)
        fields.values.update(uncounted(given))
    response.extras = fields.rest()
    return response


def _word(fields: Fields, name: str) -> str:
    value = fields.values.pop(name, None)
    return value if isinstance(value, str) else ""


def service_tier(usage: Json) -> str:
    """The tier a report names, in the words of OpenAI."""
    tier = usage.get("service_tier")
    return _TIERS.get(tier, "") if isinstance(tier, str) else ""


def uncounted(usage: Json) -> Json:
    """What a report says beside tokens, as the field `usage` of an answer's extras."""
    rest = {
        name: value for name, value in usage.items() if name not in _COUNTED and value is not None
    }
    return {"usage": rest} if rest else {}


def _blocks(content: list[object] | str, request: ir.Request) -> list[ir.Block]:
    names, free = Names(TOOLS, request), free_tools(request)
    is_json = json_tool.may_answer(request)
    items = [{"type": "text", "text": content}] if isinstance(content, str) else content
    made: list[ir.Block] = []
    for item in items:
        try:
            block = reading.block(item, "content")
        except (Wrong, RecursionError):
            continue
        if isinstance(block, ir.ToolCall):
            if is_json and block.name == json_tool.NAME:
                block = ir.Text(text=block.arguments)
            else:
                block.id = block.id or identity.new_id("call_")
                block.name = names.back(block.name)
                if block.name in free:
                    freed(block)
        made.append(block)
    return made


def _finish(choice: ir.Choice, request: ir.Request) -> None:
    calls = any(isinstance(block, ir.ToolCall) for block in choice.blocks)
    if not choice.reason:
        choice.finish = "tool_calls" if calls else "stop"
        return
    choice.finish = FINISH.get(choice.reason, "stop")
    if choice.finish == "tool_calls" and not calls and json_tool.may_answer(request):
        choice.finish, choice.reason = "stop", ""


def render_response(response: ir.Response, request: ir.Request, loss: Loss) -> bytes:
    """The body for a client: the first choice."""
    if len(response.choices) > 1:
        loss.drop("n")
    own = response.origin == NAME
    choice = response.choices[0] if response.choices else ir.Choice(finish="stop")
    content = [written for block in choice.blocks for written in render_block(block, loss, own=own)]
    tell_apart(content)
    extras = {**response.extras, **choice.extras} if own else {}
    beside = extras.pop("usage", {})
    message: Json = {
        **head(response.id, response.model or request.model),
        "content": content,
        **_ended(choice, own=own),
        **extras,
        "usage": {**render_usage(response.usage, response.service_tier), **beside},
    }
    return encode(message)


def tell_apart(content: list[Json]) -> None:
    """Give a call another's id no longer: some who imitate count their calls from 0 in every answer."""
    seen: set[str] = set()
    for block in content:
        if block.get("type") == "tool_use":
            if block["id"] in seen:
                block["id"] = identity.new_id("toolu_")
            seen.add(block["id"])


def head(id: str, model: str) -> Json:
    """What a message begins with."""
    return {
        "id": identity.renamed(id, "msg_"),
        "type": "message",
        "role": "assistant",
        "model": model,
    }


def _ended(choice: ir.Choice, *, own: bool) -> Json:
    finish = choice.finish or "stop"
    if finish == "stop" and any(isinstance(block, ir.Refusal) for block in choice.blocks):
        finish = "refusal"
    calls = any(isinstance(block, ir.ToolCall) for block in choice.blocks)
    return stop_reason(finish, choice.reason, choice.stop_sequence, own=own, calls=calls)


def render_usage(usage: ir.Usage | None, service_tier: str = "") -> Json:
    """`usage`, in which the prompt is without what was cached."""
    usage = usage or ir.Usage()
    made: Json = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
    }
    if usage.reasoning:
        made["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if service_tier in _TIER_WORDS:
        made["service_tier"] = _TIER_WORDS[service_tier]
    return made


def render_block(block: ir.Block, loss: Loss, *, own: bool) -> Iterator[Json]:
    """The blocks one block becomes for a client."""
    before, after = identity.carriers(block)
    if before is not None:
        yield from _reasoning(before, own=own)
    match block:
        case ir.Text(text=text) if text:
            yield {
                "type": "text",
                "text": text,
                **cited(block, loss),
                **(block.extras if own else {}),
            }
        case ir.Refusal(text=text) if text:
            yield {"type": "text", "text": text}
        case ir.Reasoning():
            yield from _reasoning(block, own=own)
        case ir.ToolCall():
            yield {
                **call_head(block, own=own),
                "input": as_object(block.arguments, custom=block.custom),
            }
        case ir.Opaque(origin=origin, value=value) if origin == FAMILY:
            yield value
        case ir.Opaque():
            loss.drop("opaque")
        case ir.Media(kind=kind):
            loss.drop(f"{kind}.data")
            if block.transcript:
                yield {"type": "text", "text": block.transcript}
        case _:
            pass
    if after is not None:
        yield from _reasoning(after, own=own)


def _reasoning(block: ir.Reasoning, *, own: bool) -> Iterator[Json]:
    seal = identity.sealed if own or not block.text else identity.sealed_anyhow
    signature = seal(block.signature, block.origin, FAMILY)
    if is_redacted(block):
        yield {"type": "redacted_thinking", "data": signature}
    elif block.text or signature:
        yield {"type": "thinking", "thinking": block.text, "signature": signature}


def is_redacted(block: ir.Reasoning) -> bool:
    """Whether there is nothing to read, and it is not this family's own way to show nothing."""
    if not block.signature:
        return False
    return block.redacted or (not block.text and block.origin != FAMILY)


def call_head(block: ir.ToolCall, *, own: bool) -> Json:
    """A call but for its input."""
    return {
        "type": "tool_use",
        "id": block.id if own and block.id else identity.tool_id(block.id, "toolu_"),
        "name": block.name or "unknown",
        **(block.extras if own else {}),
    }


def cited(block: ir.Text, loss: Loss) -> Json:
    """`citations` of a text, if there are any that can be said."""
    if block.logprobs:
        loss.drop("logprobs")
    found = [made for one in _each(block.citations, loss) if (made := one)]
    return {"citations": found} if found else {}


def _each(citations: Iterable[ir.Citation], loss: Loss) -> Iterator[Json]:
    for citation in citations:
        made = render_citation(citation)
        if made is None:
            loss.drop("citations")
        else:
            yield made


def render_citation(citation: ir.Citation) -> Json | None:
    """One citation; None: it has no address to give."""
    if citation.origin == FAMILY and citation.own:
        return citation.own
    if not citation.url:
        return None
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title or None,
        "cited_text": citation.text,
        "encrypted_index": "",
    }
