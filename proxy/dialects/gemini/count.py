"""How many tokens a prompt is: `:countTokens`."""

from __future__ import annotations

import msgspec

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.base import Count
from proxy.dialects.gemini.names import camel
from proxy.dialects.gemini.parse import parse_request, read_request
from proxy.dialects.gemini.reading import plain_object
from proxy.dialects.gemini.render import render_count
from proxy.dialects.lenient import object_at

_encode = msgspec.json.Encoder().encode


def _parse_request(body: bytes) -> ir.Request:
    """A client's question: a request for an answer, or only what such a one would hold."""
    found = object_at(body)
    inner = camel(found).get("generateContentRequest") if found is not None else None
    if inner is None:
        return parse_request(body)
    try:
        return read_request(plain_object(inner, "generateContentRequest"))
    except RecursionError:
        raise ProxyError("bad_req", "The body is nested too deeply.", code="too_deep") from None


def _parse(body: bytes) -> int | None:
    found = object_at(body)
    total = camel(found).get("totalTokens") if found is not None else None
    is_count = isinstance(total, int) and not isinstance(total, bool) and total >= 0
    return total if is_count else None


def _answer(tokens: int) -> bytes:
    return _encode({"totalTokens": tokens})


COUNT = Count(
    suffix="/{model}:countTokens",
    render=render_count,
    parse=_parse,
    answer=_answer,
    parse_request=_parse_request,
)
