"""`/v1/responses`: items with a life of their own, around them a response object."""

from __future__ import annotations

from functools import partial

from proxy.dialects.base import Dialect
from proxy.dialects.errors import parse_error
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
)
