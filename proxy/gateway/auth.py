"""Who asks: one resolver for every place a client may put its key."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from proxy.core.clock import now
from proxy.core.errors import ProxyError
from proxy.core.model import Snapshot, VirtualKey
from proxy.core.virtual_key import digest

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
_QUERY = ("key", "api_key")


def presented(headers: CIMultiDictProxy[str], query: str) -> str | None:
    """The key a request carries, wherever it is; None when it carries none.

    Raises ProxyError no_auth when two places hold different keys, or a header is repeated: nobody may guess which
    one was meant.
    """
    found: set[str] = set()
    for value in headers.getall("authorization", ()):
        scheme, _, token = value.partition(" ")
        if scheme.lower() != "bearer":
            raise ProxyError("no_auth")
        found.add(token.strip())
    for name in _HEADERS:
        if name in headers:
            found.update(headers.getall(name))
    if query and "key=" in query:
        found.update(value for name, value in parse_qsl(query) if name in _QUERY)
    if len(found) > 1:
        raise ProxyError(
            "no_auth", "Two different API keys were given. Send one.", code="conflicting_keys"
        )
    return found.pop() if found else None


def known(token: str, snapshot: Snapshot) -> VirtualKey | None:
    """The virtual key that was presented, under whichever pepper its digest was made."""
    for pepper in snapshot.peppers:
        key = snapshot.keys.get(digest(token, pepper))
        if key is not None:
            return key
    return None


def authenticate(
    headers: CIMultiDictProxy[str], query: str, snapshot: Snapshot
) -> VirtualKey | None:
    """The virtual key of a request; None when none is required and none was given.

    Raises ProxyError: no_auth (none, unknown, two different), forbid (disabled or expired: only a caller who knows
    the key is told so).
    """
    token = presented(headers, query)
    if not token:
        if snapshot.require_auth:
            raise ProxyError("no_auth")
        return None
    key = known(token, snapshot)
    if key is None:
        # Without required keys, SDKs still send a placeholder: it opens nothing and harms nothing.
        if snapshot.require_auth:
            raise ProxyError("no_auth")
        return None
    if not key.enabled:
        raise ProxyError("forbid", "This API key is disabled.", code="key_disabled")
    if key.expires is not None and key.expires <= now():
        raise ProxyError("forbid", "This API key has expired.", code="key_expired")
    return key
