"""A provider's whole answer, read with patience: what is of an odd shape is left out, not complained of."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from proxy.core.errors import ProxyError
from proxy.dialects import identity, ir
from proxy.dialects import usage as reports
from proxy.dialects.arguments import free_tools, freed
from proxy.dialects.ir import Json
from proxy.dialects.lenient import mended, object_at, probabilities
from proxy.dialects.names import Names
from proxy.dialects.openai_chat import messages, parts, thoughts
from proxy.dialects.openai_chat.fields import NAME, encode, finish_in
from proxy.dialects.openai_chat.names import TOOLS

_HEAD = frozenset({"id", "object", "created", "model", "choices", "usage", "service_tier", "error"})
_CHOICE = frozenset(
    {"index", "message", "delta", "finish_reason", "logprobs", "usage", "stop_reason"}
)
_MESSAGE = frozenset(
    {
        "role", "content", "refusal", "reasoning_content", "reasoning", "reasoning_details", "annotations",
        "audio", "images", "tool_calls", "function_call", "extra_content",
    }
)  # fmt: skip


def string(value: object) -> str:
    """A string; "" for anything else."""
    return value if isinstance(value, str) else ""


def number(value: object) -> int | None:
    """A whole number; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def objects(value: object) -> list[Json]:
    """The objects of a list; none of anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def an_object(value: object) -> Json:
    """An object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def unknown(value: Json, known: Iterable[str]) -> Json:
    """The fields of an object that say something and are none of the `known`."""
    return {name: item for name, item in value.items() if name not in known and item is not None}


def usage_of(chunk: Json) -> ir.Usage | None:
    """The report of an answer or a chunk, wherever it is: Groq and Moonshot have places of their own."""
    places = [chunk.get("usage"), an_object(chunk.get("x_groq")).get("usage")]
    places += [choice.get("usage") for choice in objects(chunk.get("choices"))]
    for place in places:
        if isinstance(place, dict) and place:
            return reports.openai(encode(place))
    return None


def is_error(body: Json) -> bool:
    """Whether this is an error instead of an answer."""
    return bool(body.get("error")) or body.get("object") == "error"


def head_extras(body: Json) -> Json:
    """Fields of a whole answer, or of a chunk, that are nowhere else."""
    found = unknown(body, _HEAD)
    x_groq = found.get("x_groq")
    if isinstance(x_groq, dict):
        found["x_groq"] = unknown(x_groq, ("usage",))
    return found


def choice_extras(choice: Json) -> Json:
    """The same of a choice, those of its message under `message`."""
    found = unknown(choice, _CHOICE)
    more = unknown(an_object(choice.get("message") or choice.get("delta")), _MESSAGE)
    if more:
        found["message"] = more
    return found


def parse_response(body: bytes, request: ir.Request) -> ir.Response:
    """The body of a chat completion. Raises ValueError for what is none."""
    found = object_at(body) or object_at(mended(body))
    choices = objects(found.get("choices")) if found else []
    if not found or not choices or is_error(found):
        raise ValueError("no chat completion")
    if any(string(choice.get("finish_reason")) == "error" for choice in choices):
        raise ValueError("a chat completion that failed")
    ids: set[str] = set()
    return ir.Response(
        id=string(found.get("id")),
        model=string(found.get("model")),
        created=max(number(found.get("created")) or 0, 0),
        choices=[_choice(choice, found, request, ids) for choice in choices],
        usage=usage_of(found),
        service_tier=string(found.get("service_tier")),
        origin=NAME,
        extras=head_extras(found),
    )


def _choice(choice: Json, body: Json, request: ir.Request, ids: set[str]) -> ir.Choice:
    message = an_object(choice.get("message") or choice.get("delta"))
    blocks = _blocks(message, request)
    calls = _calls(message, ids, request)
    _annotate(blocks, choice, message, body)
    blocks += calls
    blocks = identity.attach(blocks)
    reason = string(choice.get("finish_reason"))
    return ir.Choice(
        blocks=blocks,
        finish=finish_in(reason, calls=bool(calls)),
        stop_sequence=string(choice.get("stop_reason")),
        reason=reason,
        extras=choice_extras(choice),
    )


def _blocks(message: Json, request: ir.Request) -> list[ir.Block]:
    plain = string(message.get("reasoning_content")) or string(message.get("reasoning"))
    thought = thoughts.parse(message.get("reasoning_details"), plain)
    blocks: list[ir.Block] = [block for block in thought if not block.origin.endswith("/last")]
    blocks += content(message.get("content"))
    refusal = string(message.get("refusal"))
    if refusal:
        blocks.append(ir.Refusal(refusal))
    blocks += pieces(message.get("images"))
    audio = message.get("audio")
    if isinstance(audio, dict):
        blocks.append(sound(audio, request))
    signature = messages.signature_of(message)
    for block in reversed(blocks):
        if signature and isinstance(block, ir.Text):
            block.signature, block.origin = signature, "gemini"
            break
    blocks += (block for block in thought if block.origin.endswith("/last"))
    return blocks


def content(value: object) -> list[ir.Block]:
    """What is shown: a string, or Mistral's list of parts."""
    if isinstance(value, str):
        return [ir.Text(value)] if value else []
    return pieces(value)


def pieces(value: object) -> list[ir.Block]:
    """Parts that can be read."""
    found: list[ir.Block] = []
    for part in value if isinstance(value, list) else ():
        try:
            found.append(parts.parse(part, "content"))
        except ProxyError:
            continue
    return found


def sound(audio: Json, request: ir.Request) -> ir.Media:
    """What a model says, in the format that was asked for."""
    asked = an_object(request.extras.get("audio"))
    media = ir.Media("audio", mime=parts.audio_mime(string(asked.get("format")) or "wav"))
    media.data, media.transcript = string(audio.get("data")), string(audio.get("transcript"))
    media.extras = unknown(audio, ("data", "transcript"))
    return media


def tokens(choice: Json) -> list[Json]:
    """Probabilities of the tokens of what is shown."""
    return probabilities(an_object(choice.get("logprobs")).get("content"))


def sources(body: Json) -> list[ir.Citation]:
    """Perplexity's list of addresses, which its text numbers but does not place."""
    titles = {
        string(result.get("url")): string(result.get("title"))
        for result in objects(body.get("search_results"))
    }
    listed = body.get("citations")
    urls = [url for url in listed if isinstance(url, str)] if isinstance(listed, list) else titles
    return [ir.Citation(url=url, title=titles.get(url, "")) for url in urls if url]


def _annotate(blocks: list[ir.Block], choice: Json, message: Json, body: Json) -> None:
    """Citations and probabilities go to the text they are about: the last."""
    found: list[object] = list(objects(message.get("annotations")))
    cited = messages.citations(found) or sources(body)
    for block in reversed(blocks):
        if isinstance(block, ir.Text):
            block.citations = cited
            block.logprobs = tokens(choice)
            return


def _calls(message: Json, ids: set[str], request: ir.Request) -> list[ir.Block]:
    found: list[ir.ToolCall] = []
    for value in objects(message.get("tool_calls")):
        call = call_of(value)
        if not call.id or call.id in ids:
            call.id = identity.new_id("call_")
        ids.add(call.id)
        found.append(call)
    legacy = message.get("function_call")
    if isinstance(legacy, dict) and not found:
        call = call_of({"function": legacy})
        call.id = identity.new_id("call_")
        found.append(call)
    names, free = Names(TOOLS, request), free_tools(request)
    for call in found:
        call.name = names.back(call.name)
        if call.name in free and not call.custom:
            freed(call)
    return list(found)


def call_of(value: Json) -> ir.ToolCall:
    """A call, or a fragment of one."""
    custom = value.get("custom")
    inner = an_object(custom if isinstance(custom, dict) else value.get("function"))
    signature = messages.signature_of(value)
    return ir.ToolCall(
        id=string(value.get("id")),
        name=string(inner.get("name")),
        arguments=arguments(inner.get("input" if custom is inner else "arguments")),
        custom=custom is inner,
        signature=signature,
        origin="gemini" if signature else "",
    )


def arguments(value: object) -> str:
    """JSON text; some send an object."""
    if isinstance(value, dict):
        try:
            return encode(value).decode()
        except (ValueError, RecursionError):
            return ""
    return string(value)


def is_complete(text: str) -> bool:
    """Whether a call's arguments are a whole JSON object."""
    if not text.rstrip().endswith("}"):
        return False
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (ValueError, RecursionError):
        return False
