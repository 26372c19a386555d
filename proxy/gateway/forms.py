"""A request for an edited image, sent as the form that OpenAI's API wants where the client wrote JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.core.errors import ProxyError
from proxy.wire import multipart

if TYPE_CHECKING:
    from proxy.core.model import Provider
    from proxy.gateway.endpoints import Endpoint

EDITS = "/edits"
_TYPE = re.compile(rb"\r\ncontent-type: [^\r\n]*", re.IGNORECASE)


def form(endpoint: Endpoint, provider: Provider, body: bytes) -> tuple[bytes, bytes] | None:
    """(content type, form) of a JSON `body`; None: it goes out as it is.

    That is so where the provider takes JSON, and where `image` is not there, or is no picture in the body itself: an address
    or the id of a file is nothing a form can bring.
    """
    if endpoint.suffix != EDITS or provider.json_edits or b'"image"' not in body:
        return None
    try:
        return multipart.from_json(body)
    except ProxyError:
        return None


def typed(head: bytes, kind: bytes) -> bytes:
    """The head of a request with another content type."""
    line = b"\r\ncontent-type: " + kind
    found, count = _TYPE.subn(lambda _: line, head, count=1)
    return found if count else head.replace(b"\r\n", line + b"\r\n", 1)
