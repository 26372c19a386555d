"""A whole answer: read as a stream of one chunk, or of all of them where a provider sends an array."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from proxy.dialects import ir
from proxy.dialects.fold import Fold
from proxy.dialects.gemini.answer import candidate_end, part_of, write_top
from proxy.dialects.gemini.decoder import Decoder
from proxy.dialects.gemini.finish import write_usage
from proxy.dialects.gemini.grounding import Written
from proxy.dialects.gemini.names import NAME
from proxy.dialects.identity import new_id
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss

_encode = msgspec.json.Encoder().encode
_decode_array = msgspec.json.Decoder(list[Raw]).decode


def parse_response(body: bytes, request: ir.Request) -> ir.Response:
    """The answer in a provider's body. Raises ValueError when it is none."""
    chunks = [body]
    is_array = body.lstrip().startswith(b"[")
    if is_array:
        try:
            chunks = [bytes(chunk) for chunk in _decode_array(body)]
        except RecursionError:
            raise ValueError("nested too deeply") from None
    decoder = Decoder(request, whole=not is_array)
    fold = Fold()
    try:
        for chunk in chunks:
            fold.add(decoder.feed(b"", chunk))
        fold.add(decoder.end())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if fold.error is not None or not fold.ended:
        raise ValueError("no answer")
    return fold.response


def render_response(response: ir.Response, request: ir.Request, loss: Loss) -> bytes:
    """The body for a client."""
    same = response.origin == NAME
    body: Json = {}
    top = write_top(response.created, response.extras if same else {})
    feedback = top.get("promptFeedback")
    blocked = isinstance(feedback, dict) and bool(feedback.get("blockReason"))
    if not blocked or any(choice.blocks for choice in response.choices):
        body["candidates"] = [
            _candidate(number, choice, loss, same=same)
            for number, choice in enumerate(response.choices)
        ]
    if response.usage is not None:
        body["usageMetadata"] = write_usage(response.usage, response.service_tier)
    body["modelVersion"] = response.model or request.model
    body["responseId"] = response.id or new_id("")
    body.update(top)
    return _encode(body)


def _candidate(number: int, choice: ir.Choice, loss: Loss, *, same: bool) -> Json:
    parts: list[Json] = []
    cited: list[Written] = []
    tokens: list[Json] = []
    for block in choice.blocks:
        part = part_of(block, loss, same=same)
        if part is None:
            continue
        if isinstance(block, ir.Text):
            place = [Written(one, block.text, part=len(parts)) for one in block.citations]
            cited += place
            tokens += block.logprobs
        parts.append(part)
    end = ir.ChoiceEnd(choice.finish or "stop", number, "", choice.reason, choice.extras)
    made = candidate_end(end, cited, tokens, same=same)
    return {"content": {"parts": parts, "role": "model"}, **made} if parts else made
