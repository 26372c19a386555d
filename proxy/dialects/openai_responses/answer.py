"""A client's whole answer: the object its stream would have ended with."""

from __future__ import annotations

from proxy.dialects import ir
from proxy.dialects.fold import unfold
from proxy.dialects.loss import Loss
from proxy.dialects.openai_responses.encoder import ResponsesEncoder
from proxy.dialects.openai_responses.fields import encode


def render_response(response: ir.Response, request: ir.Request, loss: Loss) -> bytes:
    """The body of an answer."""
    encoder = ResponsesEncoder(request, loss)
    for event in unfold(response):
        encoder.encode(event)
    return encode(encoder.response)
