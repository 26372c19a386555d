"""`/v1/messages`: a message and its blocks."""

from __future__ import annotations

from functools import partial

from proxy.dialects.anthropic.decoder import MessagesDecoder
from proxy.dialects.anthropic.encoder import MessagesEncoder
from proxy.dialects.anthropic.fields import FIELDS
from proxy.dialects.anthropic.render import (
    answer_count,
    parse_count,
    render_question,
    render_request,
)
from proxy.dialects.anthropic.request import parse_question, parse_request
from proxy.dialects.anthropic.response import parse_response, render_response
from proxy.dialects.anthropic.tap import MessagesTap, render_stream_error
from proxy.dialects.base import Codec, Count, Dialect
from proxy.dialects.errors import parse_error
from proxy.dialects.render import render_error

__all__ = ["DIALECT"]

DIALECT = Dialect(
    name="anthropic.messages",
    family="anthropic",
    tap=MessagesTap,
    parse_error=parse_error,
    render_error=partial(render_error, "anthropic"),
    render_stream_error=render_stream_error,
    last=True,
    codec=Codec(
        fields=FIELDS,
        parse_request=parse_request,
        render_request=render_request,
        parse_response=parse_response,
        render_response=render_response,
        decoder=MessagesDecoder,
        encoder=MessagesEncoder,
        count=Count(
            suffix="/count_tokens",
            render=render_question,
            parse=parse_count,
            answer=answer_count,
            parse_request=parse_question,
        ),
    ),
)
