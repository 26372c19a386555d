"""`:generateContent` and `:streamGenerateContent`: contents and their parts."""

from __future__ import annotations

from functools import partial

from proxy.dialects.base import Dialect
from proxy.dialects.errors import parse_error
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
)
