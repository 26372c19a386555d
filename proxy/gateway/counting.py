"""Counting the tokens of a prompt when no provider does it: an honest estimate, and a header that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.dialects import DIALECTS
from proxy.dialects.estimate import tokens
from proxy.gateway.translation import asked, codec_of

if TYPE_CHECKING:
    from proxy.gateway.exchange import Exchange, Headers

_HEADERS: Headers = [
    (b"content-type", b"application/json; charset=utf-8"),
    (b"x-headrace-estimated", b"true"),
]
_MISSING = frozenset({404, 405, 501})
"""How those who imitate a dialect say that they do not count."""


def cannot(dialect: str) -> bool:
    """Whether nobody who speaks it counts."""
    found = DIALECTS.get(dialect)
    return found is None or found.codec is None or found.codec.count is None


def is_missing(error: ProxyError | UpstreamError) -> bool:
    """Whether the providers failed to count for a reason that is not the request's."""
    if isinstance(error, UpstreamError):
        return error.status in _MISSING or error.cause is Cause.NOT_FOUND
    return error.row.status >= 500 or error.code == "translation_not_supported"


def estimate(exchange: Exchange) -> None:
    """Answer with a number of our own. Raises ProxyError for a request that is none."""
    count = codec_of(DIALECTS[exchange.endpoint.dialect]).count
    assert count is not None
    exchange.respond(200, _HEADERS, count.answer(tokens(asked(exchange))))
