"""`/v1/completions`: a prompt and the text that follows it. Clients only: it is asked of chat models.

request.py      the prompt becomes a question
response.py     the answer's text, whole
stream.py       and in pieces
"""

from __future__ import annotations

from proxy.dialects.base import Codec
from proxy.dialects.openai_completions.request import FIELDS, parse_request
from proxy.dialects.openai_completions.response import parse_response, render_response
from proxy.dialects.openai_completions.stream import CompletionsDecoder, CompletionsEncoder

__all__ = ["CODEC"]

CODEC = Codec(
    fields=FIELDS,
    parse_request=parse_request,
    render_request=None,
    parse_response=parse_response,
    render_response=render_response,
    decoder=CompletionsDecoder,
    encoder=CompletionsEncoder,
    suffix="/completions",
    stream_suffix="/completions",
)
