"""A whole answer for a client: a `chat.completion`."""

from __future__ import annotations

from proxy.core.clock import now
from proxy.dialects import identity, ir
from proxy.dialects import usage as reports
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.openai_chat import parts, thoughts
from proxy.dialects.openai_chat.fields import NAME, TIERS, encode, finish_in, finish_out

SOUND_LIVES = 3600
"""Seconds a sound of another dialect is said to be kept: a client must be told some time."""


def render_response(response: ir.Response, request: ir.Request, loss: Loss) -> bytes:
    """The body of a `POST /v1/chat/completions` that was not asked to stream."""
    own = response.origin == NAME
    created = response.created or int(now())
    body: Json = {
        "id": identity.renamed(response.id, "chatcmpl-"),
        "object": "chat.completion",
        "created": created,
        "model": response.model,
        "choices": [
            _choice(at, choice, request, created, loss, own=own)
            for at, choice in enumerate(response.choices)
        ],
    }
    if response.usage is not None:
        body["usage"] = reports.completion(response.usage)
    if response.service_tier in TIERS:
        body["service_tier"] = response.service_tier
    return encode({**response.extras, **body} if own else body)


def _choice(
    at: int, choice: ir.Choice, request: ir.Request, created: int, loss: Loss, *, own: bool
) -> Json:
    message = _message(choice.blocks, request, created, loss)
    logprobs = [
        token for block in choice.blocks if isinstance(block, ir.Text) for token in block.logprobs
    ]
    made: Json = {
        "index": at,
        "message": message,
        "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
        "finish_reason": reason_of(choice.finish, choice.reason, request),
    }
    if made["finish_reason"] == "tool_calls" and "tool_calls" not in message:
        made["finish_reason"] = "stop"
    if not own:
        return made
    extras = dict(choice.extras)
    more = extras.pop("message", None)
    if isinstance(more, dict):
        made["message"] = {**more, **message}
    return {**extras, **made}


def reason_of(finish: ir.Finish | None, reason: str, request: ir.Request) -> str:
    """The client's word: the provider's own where that is one and means the same."""
    word = finish_out(finish, legacy=request.functions)
    is_word = reason in ("stop", "length", "tool_calls", "content_filter")
    if is_word and not request.functions and finish_in(reason, calls=False) == finish:
        return reason
    return word


def _message(blocks: list[ir.Block], request: ir.Request, created: int, loss: Loss) -> Json:
    text = ""
    annotations: list[Json] = []
    thought: list[ir.Reasoning] = []
    calls: list[ir.ToolCall] = []
    refusal = ""
    media: list[ir.Media] = []
    for block in blocks:
        match block:
            case ir.Text():
                annotations += _annotations(block, len(text), loss)
                text += block.text
                thought += (carrier for carrier in identity.carriers(block) if carrier is not None)
            case ir.Refusal():
                refusal += block.text
            case ir.Reasoning():
                thought.append(block)
            case ir.ToolCall():
                calls.append(block)
            case ir.Media():
                media.append(block)
            case _:
                loss.drop("opaque")
    message: Json = {
        "role": "assistant",
        "content": text if text or not (calls or refusal or media) else None,
        "refusal": refusal or None,
    }
    if annotations:
        message["annotations"] = annotations
    read = "\n\n".join(block.text for block in thought if block.text)
    if read:
        message["reasoning_content"] = read
    details = thoughts.details(thought)
    if details:
        message["reasoning_details"] = details
    _show(message, media, created, loss)
    _call(message, calls, request, loss)
    return message


def _annotations(block: ir.Text, before: int, loss: Loss) -> list[Json]:
    found = [annotation(cited, before, len(block.text)) for cited in block.citations]
    if None in found:
        loss.drop("citations")
    return [made for made in found if made is not None]


def annotation(cited: ir.Citation, before: int, size: int) -> Json | None:
    """A citation of a text that begins after `before` characters and has `size`; None for one without an address."""
    if "url_citation" in cited.own:
        return cited.own
    if not cited.url:
        return None
    made: Json = {
        "start_index": before + (cited.start or 0),
        "end_index": before + (size if cited.end is None else cited.end),
        "title": cited.title,
        "url": cited.url,
    }
    return {"type": "url_citation", "url_citation": made}


def image(media: ir.Media, index: int) -> Json:
    """An image of an answer, as OpenRouter has it."""
    url = {"url": parts.as_data_url(media)}
    return {"index": index, "type": "image_url", "image_url": url}


def _show(message: Json, media: list[ir.Media], created: int, loss: Loss) -> None:
    images: list[Json] = []
    for block in media:
        if block.kind == "audio" and "audio" not in message and not block.url:
            message["audio"] = {
                "id": block.file_id or identity.new_id("audio_"),
                "expires_at": created + SOUND_LIVES,
                **block.extras,
                "data": block.data,
                "transcript": block.transcript,
            }
        elif block.kind == "image" and not block.file_id:
            images.append(image(block, len(images)))
        else:
            drop_media(block, loss)
    if images:
        message["images"] = images


def drop_media(block: ir.Media, loss: Loss) -> None:
    """An answer in chat has a place for images and one sound, and for nothing else."""
    source = "text" if block.text else "file" if block.file_id else "url" if block.url else "data"
    feature = f"{block.kind}.{source}"
    loss.drop(feature if feature != "image.text" else "image.data")


def _call(message: Json, calls: list[ir.ToolCall], request: ir.Request, loss: Loss) -> None:
    if request.functions and calls:
        message["function_call"] = _function(calls[0])
        if len(calls) > 1:
            loss.drop("tool_call")
    elif calls:
        message["tool_calls"] = [_tool_call(call) for call in calls]


def _function(call: ir.ToolCall) -> Json:
    return {"name": call.name, "arguments": call.arguments or "{}"}


def _tool_call(call: ir.ToolCall) -> Json:
    made: Json = {"id": identity.tool_id(call.id)}
    if call.custom:
        made |= {"type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    else:
        made |= {"type": "function", "function": _function(call)}
    if call.signature:
        made["extra_content"] = sealed(call.signature, call.origin)
    return made


def sealed(signature: str, origin: str) -> Json:
    """The place Google gave a call's thought signature."""
    return {"google": {"thought_signature": identity.sealed(signature, origin, "gemini")}}
