"""`/v1/chat/completions`: chunks of deltas, ended by `[DONE]`."""

from __future__ import annotations

from functools import partial

from proxy.dialects.base import Dialect
from proxy.dialects.errors import parse_error
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
)
