"""Who asks, and whether they may.

    identify     a token, a service token, a session, or nobody in particular, to a Principal
    authorise    a Principal and a route, to yes or a Problem

A token counts alone: a cookie beside it is not looked at. A virtual key is nobody here. While the store is away only
the configuration's own token is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

from proxy.control.admin import sessions, tokens
from proxy.control.admin.access import Permission, Principal, Role
from proxy.control.admin.body import JSON_TYPES, YAML_TYPES
from proxy.control.admin.refusal import forbidden, store_down, too_many
from proxy.control.admin.web import Problem, unauthenticated
from proxy.core.address import is_loopback
from proxy.core.virtual_key import ADMIN_PREFIX, is_wellformed
from proxy.store.base import StoreDown

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request, Route
    from proxy.core.model import Snapshot

CSRF = "x-headrace-csrf"
SAFE = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""
TYPES = JSON_TYPES | YAML_TYPES
"""What a body may be: nothing that a page of another origin can send without asking (WHATWG Fetch, CORS-safelisted)."""
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""What a proxy adds: behind one, everybody comes from this machine."""
AWAY = "The store does not answer. Until it does, only the token of the configuration is known."
OWN = Principal("token", Role.OWNER)
ANONYMOUS = Principal("anonymous", Role.OWNER)


async def identify(request: Request, services: Services) -> Principal | None:
    """Who asks; None: nobody we know. Not for public routes, where an old cookie must not matter.

    Raises Problem: 401 (a token that is none, or two of them), 403 (disabled, expired), 429 (too many of those),
    503 store_down (a session or a service token, and no store to look it up in).
    """
    snapshot = services.state.snapshot
    token = _token(request)
    if token is not None:
        return await _by_token(token, request, services)
    cookie = sessions.presented(request)
    if cookie and services.sync.store is not None:
        try:
            found = await sessions.find(services.sync.store, cookie, snapshot.admin)
        except StoreDown:
            raise store_down(AWAY) from None
        if found is not None:
            return found
    if snapshot.admin.anonymous and _is_local(request, snapshot):
        return ANONYMOUS
    return None


def authorise(
    route: Route, principal: Principal | None, request: Request, origins: Sequence[str] = ()
) -> None:
    """Let it pass, by its head alone. Raises Problem: 401, 403 forbidden or csrf, 415.

    `origins`: of our own pages, as browsers see them, besides the host of the request.
    """
    changes = request.method not in SAFE
    if route.permission is not Permission.PUBLIC:
        if principal is None:
            raise unauthenticated()
        if changes and principal.csrf is not None:
            _owed(request, principal.csrf.reveal(), origins)
        if changes and principal is ANONYMOUS and _is_foreign(request, origins):
            raise Problem(403, "csrf", "This came from a page of another origin.")
        if not principal.may(route.permission):
            raise forbidden(route.permission)
    if changes and "content-type" in request.headers and request.media_type not in TYPES:
        raise Problem(
            415, "unsupported_media_type", "Send the body as 'content-type: application/json'."
        )


def is_same_origin(request: Request, origins: Sequence[str] = ()) -> bool:
    """Whether a page of ours sent it. What says neither is no browser that could be trusted with a session."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and _is_own(origin, request, origins)


def _token(request: Request) -> str | None:
    """The token of a request, None when it has none. Raises Problem 401 for two of them, or another scheme."""
    found: set[str] = set()
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "bearer" or not value.strip():
            raise unauthenticated("Send the token as 'authorization: Bearer TOKEN'.")
        found.add(value.strip())
    if "x-api-key" in request.headers:
        found.add(request.headers["x-api-key"].strip())
    if len(found) > 1:
        raise unauthenticated("Two different tokens were given. Send one.")
    return found.pop() if found else None


async def _by_token(token: str, request: Request, services: Services) -> Principal:
    own = services.state.snapshot.admin.token
    if own is not None and compare_digest(_bytes(token), _bytes(own.reveal())):
        return OWN
    guesses = services.door.guesses
    wait = guesses.wait(request.peer)
    store = services.sync.store
    digest = sha256(_bytes(token)).digest()
    known = services.door.known
    # An address that guesses too much costs no more queries, and is still not kept out with a token that was right.
    if store is not None and is_wellformed(token, ADMIN_PREFIX) and (not wait or digest in known):
        try:
            found = await tokens.find(token, store, services.sync.peppers)
        except StoreDown:
            raise store_down(AWAY) from None
        if found is not None:
            known.add(digest)
            return found
    if wait:
        raise too_many(wait, "Too many wrong tokens. Try again after the time in 'retry-after'.")
    guesses.count(request.peer)
    raise unauthenticated("This is no token of the admin API.")


def _owed(request: Request, csrf: str, origins: Sequence[str]) -> None:
    """What a change with a session has to show: that a page of ours sent it."""
    given = request.headers.get(CSRF, "")
    if not is_same_origin(request, origins) or not compare_digest(_bytes(given), _bytes(csrf)):
        raise Problem(
            403, "csrf", f"A change with a session needs '{CSRF}', from a page of this origin."
        )


def _is_foreign(request: Request, origins: Sequence[str]) -> bool:
    """Whether a page of another origin sent it. What says nothing is a program."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        return True
    return origin is not None and not _is_own(origin, request, origins)


def _is_own(origin: str, request: Request, origins: Sequence[str]) -> bool:
    if origin in origins:
        return True
    scheme, _, authority = origin.lower().partition("://")
    standard = {"http": ":80", "https": ":443"}.get(scheme)
    host = request.headers.get("host", "").lower()
    return (
        standard is not None
        and host != ""
        and (authority.removesuffix(standard) == host.removesuffix(standard))
    )


def _is_local(request: Request, snapshot: Snapshot) -> bool:
    """Whether it was sent on this machine, to a listener only this machine reaches, by its own name.

    Without the last a page whose name is made to mean 127.0.0.1 could read everything (DNS rebinding).
    """
    admin, server = snapshot.admin, snapshot.server
    host = server.host if admin.port == server.port != 0 else admin.host
    return (
        is_loopback(host)
        and is_loopback(request.peer)
        and is_loopback(_hostname(request.headers.get("host", "")))
        and not any(name in request.headers for name in FORWARDED)
    )


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
