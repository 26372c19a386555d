"""What the configuration and the client's headers make of one request: may it share, and with what.

    x-headrace-cache: 300        keep the answer, and take one that is kept, for so many seconds; `no`: neither
    x-headrace-coalesce: yes|no  share an answer that is on its way, or not
    cache-control: no-store      neither keep nor take (RFC 9111, 5.2.1.5)
    cache-control: no-cache      keep, but do not take
    cache-control: max-age=60    take only what is no older

A header asks only where the configuration lets it (`cache.header`), and for its own key alone; one that takes something back is
always heard.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core.errors import ProxyError
from proxy.gateway.reuse import identity

if TYPE_CHECKING:
    from proxy.core.model import Model, Snapshot
    from proxy.gateway.exchange import Exchange

CACHE, COALESCE = "x-headrace-cache", "x-headrace-coalesce"
_DIRECTIVE = re.compile(r"\s*([a-z-]+)\s*(?:=\s*\"?(\d{1,10})\"?)?\s*(?:,|$)", re.IGNORECASE)
_SECONDS = re.compile(r"\d{1,9}")


class Wish(Struct, frozen=True, gc=False):
    """Of one request that may share."""

    ttl: float = 0.0
    """Seconds its answer is kept; 0: it is not."""
    take: bool = False
    """An answer that is kept will do."""
    max_age: float | None = None
    """Seconds it may be old."""
    join: bool = False
    """An answer that is on its way will do, and others may join this one."""
    scope: str = "key"
    join_scope: str = "key"
    all_pay: bool = False
    """Those who join are charged as if they had asked themselves."""


def wish(exchange: Exchange, model: Model, snapshot: Snapshot) -> Wish | None:
    """None: it shares nothing. Raises ProxyError bad_req for a header that says nothing known."""
    headers = exchange.request.headers
    room, cache, coalesce = snapshot.cache, model.cache, model.coalesce
    asked = headers.get(CACHE) if room.header else None
    joining = headers.get(COALESCE) if room.header else None
    if cache is None and coalesce is None and asked is None and joining is None:
        return None
    if not identity.shareable(exchange):
        return None
    certain = identity.certain(exchange)
    ttl = cache.ttl if cache is not None and (certain or cache.requests == "all") else 0.0
    join = coalesce is not None and (certain or coalesce.requests == "all")
    if asked is not None:
        ttl = _ttl(asked)
    if joining is not None:
        join = _yes(joining)
    take = ttl > 0
    max_age = None
    control = headers.get("cache-control")
    if control is not None:
        said = {name.lower(): value for name, value in _DIRECTIVE.findall(control)}
        if "no-store" in said:
            ttl, take, join = 0.0, False, False
        if "no-cache" in said:
            take, join = False, False
        if said.get("max-age"):
            max_age = float(said["max-age"])
    if not (ttl or take or join):
        return None
    return Wish(
        ttl,
        take,
        max_age,
        join,
        cache.scope if cache is not None and asked is None else "key",
        coalesce.scope if coalesce is not None and joining is None else "key",
        coalesce is not None and coalesce.bill == "all",
    )


def _ttl(text: str) -> float:
    word = text.strip().lower()
    if word in ("no", "0"):
        return 0.0
    if not _SECONDS.fullmatch(word):
        raise ProxyError(
            "bad_req",
            f"The header '{CACHE}' must be a number of seconds, or 'no'.",
            code="invalid_header",
        )
    return float(word)


def _yes(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("yes", "no"):
        raise ProxyError(
            "bad_req", f"The header '{COALESCE}' must be 'yes' or 'no'.", code="invalid_header"
        )
    return word == "yes"
