"""`:generateContent` and `:streamGenerateContent`: contents and their parts."""

from __future__ import annotations

from functools import partial

from proxy.dialects.base import Codec, Dialect
from proxy.dialects.errors import parse_error
from proxy.dialects.gemini.count import COUNT
from proxy.dialects.gemini.decoder import Decoder
from proxy.dialects.gemini.encoder import Encoder
from proxy.dialects.gemini.fields import FIELDS
from proxy.dialects.gemini.parse import parse_request
from proxy.dialects.gemini.render import render_request
from proxy.dialects.gemini.response import parse_response, render_response
from proxy.dialects.gemini.tap import GenerateTap, render_stream_error
from proxy.dialects.render import render_error

__all__ = ["DIALECT"]

DIALECT = Dialect(
    name="gemini.generate",
    family="gemini",
    tap=GenerateTap,
    parse_error=parse_error,
    render_error=partial(render_error, "gemini"),
    render_stream_error=render_stream_error,
    # Google's own clients take a comment for a broken event; blank lines they step over.
    silence=b"\n\n",
    codec=Codec(
        fields=FIELDS,
        parse_request=parse_request,
        render_request=render_request,
        parse_response=parse_response,
        render_response=render_response,
        decoder=Decoder,
        encoder=Encoder,
        suffix="/{model}:generateContent",
        stream_suffix="/{model}:streamGenerateContent",
        stream_query="alt=sse",
        count=COUNT,
    ),
)
