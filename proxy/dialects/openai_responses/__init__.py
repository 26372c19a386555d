"""`/v1/responses`: items with a life of their own, around them a response object."""

from __future__ import annotations

from functools import partial

from proxy.dialects.base import Codec, Count, Dialect
from proxy.dialects.errors import parse_error
from proxy.dialects.openai_responses.answer import render_response
from proxy.dialects.openai_responses.decoder import ResponsesDecoder
from proxy.dialects.openai_responses.encoder import ResponsesEncoder
from proxy.dialects.openai_responses.fields import FIELDS
from proxy.dialects.openai_responses.render import (
    answer_count,
    parse_count,
    render_question,
    render_request,
)
from proxy.dialects.openai_responses.request import parse_request
from proxy.dialects.openai_responses.response import parse_response
from proxy.dialects.openai_responses.tap import ResponsesTap, render_stream_error
from proxy.dialects.render import render_error

__all__ = ["DIALECT"]

DIALECT = Dialect(
    name="openai.responses",
    family="openai",
    tap=ResponsesTap,
    parse_error=parse_error,
    render_error=partial(render_error, "openai"),
    render_stream_error=render_stream_error,
    last=True,
    codec=Codec(
        fields=FIELDS,
        parse_request=parse_request,
        render_request=render_request,
        parse_response=parse_response,
        render_response=render_response,
        decoder=ResponsesDecoder,
        encoder=ResponsesEncoder,
        count=Count(
            suffix="/input_tokens",
            render=render_question,
            parse=parse_count,
            answer=answer_count,
        ),
    ),
)
