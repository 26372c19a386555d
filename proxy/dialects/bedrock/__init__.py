"""`/model/ID/converse`: Amazon Bedrock's one format for the models of many vendors. No client of ours speaks it."""

from __future__ import annotations

from functools import partial

from proxy.dialects.base import Codec, Count, Dialect, Framing
from proxy.dialects.bedrock.errors import parse_error
from proxy.dialects.bedrock.fields import FIELDS
from proxy.dialects.bedrock.request import (
    answer_count,
    parse_count,
    render_question,
    render_request,
)
from proxy.dialects.bedrock.response import parse_response
from proxy.dialects.bedrock.stream import ConverseDecoder
from proxy.dialects.bedrock.tap import ConverseTap
from proxy.dialects.bedrock.words import FAMILY, NAME
from proxy.dialects.render import openai_stream_error, render_error
from proxy.wire import eventstream

__all__ = ["DIALECT"]

DIALECT = Dialect(
    name=NAME,
    family=FAMILY,
    tap=ConverseTap,
    parse_error=parse_error,
    # Nobody is ever answered in this; those who ask are told in the words most know.
    render_error=partial(render_error, "openai"),
    render_stream_error=openai_stream_error,
    codec=Codec(
        fields=FIELDS,
        parse_request=None,
        render_request=render_request,
        parse_response=parse_response,
        render_response=None,
        decoder=ConverseDecoder,
        encoder=None,
        suffix="/{model}/converse",
        stream_suffix="/{model}/converse-stream",
        stream_type=b"application/vnd.amazon.eventstream",
        count=Count(
            suffix="/{model}/count-tokens",
            render=render_question,
            parse=parse_count,
            answer=answer_count,
        ),
    ),
    framing=Framing(
        last_boundary=eventstream.last_boundary,
        single=eventstream.single,
        events=eventstream.events,
        begins=eventstream.begins,
        content_type=b"application/vnd.amazon.eventstream",
        comments=False,
    ),
)
