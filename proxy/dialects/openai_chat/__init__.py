"""`/v1/chat/completions`: chunks of deltas, ended by `[DONE]`.

request.py   messages.py  parts.py  tools.py       a client's request (and the two last the other way too)
render.py    prompt.py                             a request for a provider
answer.py    decoder.py   choice.py  calls.py      what a provider answers
completion.py  encoder.py  told.py                 what a client is answered
fields.py    thoughts.py                           words that all of them share
"""

from __future__ import annotations

from functools import partial

from proxy.dialects.base import Codec, Dialect
from proxy.dialects.errors import parse_error
from proxy.dialects.openai_chat.answer import parse_response
from proxy.dialects.openai_chat.completion import render_response
from proxy.dialects.openai_chat.decoder import ChatDecoder
from proxy.dialects.openai_chat.encoder import ChatEncoder
from proxy.dialects.openai_chat.fields import FIELDS
from proxy.dialects.openai_chat.render import render_request
from proxy.dialects.openai_chat.request import parse_request
from proxy.dialects.openai_chat.tap import ChatTap
from proxy.dialects.render import openai_stream_error, render_error

__all__ = ["DIALECT"]

DIALECT = Dialect(
    name="openai.chat",
    family="openai",
    tap=ChatTap,
    parse_error=parse_error,
    render_error=partial(render_error, "openai"),
    render_stream_error=openai_stream_error,
    last=True,
    codec=Codec(
        fields=FIELDS,
        parse_request=parse_request,
        render_request=render_request,
        parse_response=parse_response,
        render_response=render_response,
        decoder=ChatDecoder,
        encoder=ChatEncoder,
        suffix="",
        stream_suffix="",
    ),
)
