"""`/v1/messages`: a message and its blocks."""

from __future__ import annotations

from functools import partial

from proxy.dialects.anthropic.tap import MessagesTap, render_stream_error
from proxy.dialects.base import Dialect
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
)
