"""The text of a whole answer. All that is not text has no place here."""

from __future__ import annotations

import msgspec

from proxy.core.clock import now
from proxy.dialects import identity, ir
from proxy.dialects import usage as reports
from proxy.dialects.ir import Json
from proxy.dialects.lenient import object_at
from proxy.dialects.loss import Loss
from proxy.dialects.openai_completions.request import NAME

encode = msgspec.json.Encoder().encode

_FINISH: dict[ir.Finish, str] = {
    "length": "length",
    "context": "length",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}
"""Any other is `stop`."""
_REASONS: dict[str, ir.Finish] = {"length": "length", "content_filter": "content_filter"}
_LOST = {
    ir.Reasoning: "thinking.text",
    ir.ToolCall: "tool_call",
    ir.Opaque: "opaque",
}


def render_response(response: ir.Response, request: ir.Request, loss: Loss) -> bytes:
    """The body of a `POST /v1/completions` that was not asked to stream."""
    body: Json = {
        "id": identity.renamed(response.id, "cmpl-"),
        "object": "text_completion",
        "created": response.created or int(now()),
        "model": response.model,
        "choices": [_choice(at, choice, loss) for at, choice in enumerate(response.choices)],
    }
    if response.usage is not None:
        body["usage"] = reports.completion(response.usage)
    return encode(body)


def _choice(at: int, choice: ir.Choice, loss: Loss) -> Json:
    text = ""
    logprobs: Json | None = None
    for block in choice.blocks:
        if isinstance(block, ir.Text) and block.logprobs:
            logprobs = more_logprobs(logprobs, block.logprobs, len(text))
        if isinstance(block, ir.Text | ir.Refusal):
            text += block.text
        lose(block, loss)
    return {
        "index": at,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": finish_out(choice.finish),
    }


def finish_out(finish: ir.Finish | None) -> str:
    """Why it ended, in the few words there are."""
    return _FINISH.get(finish or "stop", "stop")


def lose(block: ir.Block, loss: Loss) -> None:
    """Count what of a block has no place here."""
    if isinstance(block, ir.Text):
        if block.citations:
            loss.drop("citations")
    elif isinstance(block, ir.Media):
        loss.drop(f"{block.kind}.{'url' if block.url else 'data'}")
    elif type(block) in _LOST:
        loss.drop(_LOST[type(block)])


def more_logprobs(before: Json | None, tokens: list[Json], offset: int) -> Json:
    """Probabilities in the parallel lists of this format, added to those there are."""
    made: Json = before or {
        "tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []
    }  # fmt: skip
    for token in tokens:
        word = token.get("token")
        word = word if isinstance(word, str) else ""
        made["tokens"].append(word)
        made["token_logprobs"].append(token.get("logprob"))
        others = token.get("top_logprobs")
        made["top_logprobs"].append(
            {
                str(other.get("token")): other.get("logprob")
                for other in (others if isinstance(others, list) else ())
                if isinstance(other, dict)
            }
        )
        made["text_offset"].append(offset)
        offset += len(word)
    return made


def parse_response(body: bytes, request: ir.Request) -> ir.Response:
    """The body of a text completion. Raises ValueError for what is none."""
    found = object_at(body)
    choices = choices_of(found) if found else []
    if not found or not choices or found.get("error"):
        raise ValueError("no text completion")
    usage = found.get("usage")
    return ir.Response(
        id=_string(found.get("id")),
        model=_string(found.get("model")),
        created=_whole(found.get("created")),
        choices=[_read(choice) for choice in choices],
        usage=reports.openai(encode(usage)) if isinstance(usage, dict) else None,
        origin=NAME,
    )


def choices_of(body: Json) -> list[Json]:
    """Those of an answer or a chunk that can be read."""
    listed = body.get("choices")
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _read(choice: Json) -> ir.Choice:
    text, reason = _string(choice.get("text")), _string(choice.get("finish_reason"))
    blocks: list[ir.Block] = [ir.Text(text)] if text else []
    return ir.Choice(blocks, finish=_REASONS.get(reason, "stop"), reason=reason)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
