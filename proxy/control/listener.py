"""The admin listener: pages for operators, on a port of their own."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

    from proxy.core.secret import Secret

Page = Callable[[], tuple[int, str, bytes]]
"""() to (status, content type, body)."""

OPEN = frozenset({"/health/live", "/health/ready", "/livez", "/readyz"})
"""What an orchestrator asks without a token."""
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def admin_server(pages: Mapping[str, Page], token: Callable[[], Secret | None]) -> web.Server:
    """Serves `pages`. Everything but liveness and readiness needs the token, once there is one."""

    async def handle(request: BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        page = pages.get(path)
        secret = token()
        if path not in OPEN and secret is not None and not _authorized(request, secret):
            return _error(
                401,
                "invalid_api_key",
                "The admin token is missing or wrong.",
                {"www-authenticate": "Bearer"},
            )
        if page is None:
            return _error(404, "unknown_url", "There is nothing at this path.")
        if request.method not in ("GET", "HEAD"):
            return _error(
                405, "method_not_allowed", "This path takes GET, HEAD.", {"allow": "GET, HEAD"}
            )
        status, kind, content = page()
        return web.Response(status=status, body=content, headers={**_HEADERS, "content-type": kind})

    return web.Server(handle, access_log=None)


def _authorized(request: BaseRequest, secret: Secret) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        given.strip().encode("utf-8", "surrogateescape"), secret.reveal().encode()
    )


def _error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    content = {
        "error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    }
    return web.Response(
        status=status,
        body=orjson.dumps(content),
        headers={
            **_HEADERS,
            **(headers or {}),
            "content-type": "application/json; charset=utf-8",
        },
    )
