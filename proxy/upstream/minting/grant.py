"""What is minted, and what it is minted with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlencode

import orjson
from msgspec import Struct

from proxy.core.lines import escape

AMBIENT = "ambient"
"""In the place of a credential: whatever identity this machine, container or pod is given by its cloud."""
_SHOWN = 200
_FOREVER = 1e9


class Minted(Struct, frozen=True):
    """What goes into requests, and for how many seconds."""

    text: str
    life: float


class Refused(Exception):
    """It is not to be had, and asking again would not help: what is configured has to change."""


class Unreachable(Exception):
    """Whoever gives it could not be asked, or could not answer."""


Ask = Callable[[str, str, Mapping[str, str], bytes | None], Awaitable[tuple[int, bytes]]]
"""(method, URL, headers, body) to (status, body). Raises Unreachable."""


def form(fields: Mapping[str, str]) -> tuple[Mapping[str, str], bytes]:
    """Headers and body of a form."""
    kind = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    return kind, urlencode(fields).encode()


def answer(status: int, body: bytes) -> Mapping[str, object]:
    """The object in an answer. Raises Refused or Unreachable for what is none.

    OAuth says why in `error` and `error_description` (RFC 6749, 5.2): that is for the operator's log.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if status == 200 and isinstance(found, dict):
        return found
    said = found if isinstance(found, dict) else {}
    words = [str(said[name]) for name in ("error", "error_description") if said.get(name)]
    why = escape(": ".join(words))[:_SHOWN] or f"status {status}"
    if status in (400, 401, 403, 404):
        raise Refused(why)
    raise Unreachable(why)


def token(found: Mapping[str, object], life: object) -> Minted:
    """A bearer token out of an OAuth answer. Raises Unreachable."""
    text = found.get("access_token")
    try:
        seconds = float(str(life))
    except ValueError:
        seconds = 0.0
    # It becomes a line of a head, so nothing in it may end one.
    fit = isinstance(text, str) and text.isascii() and text.isprintable() and " " not in text
    if not fit or not text or not 0 < seconds < _FOREVER:
        raise Unreachable("an answer without a token, or without its life")
    return Minted(str(text), seconds)
