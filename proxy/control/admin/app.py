"""From a request to its answer: route, identify, authorise, answer. Knows nothing of connections.

Deny by default: without a principal nothing is answered but what is PUBLIC, not even whether a path exists. Whatever
goes wrong is a problem (RFC 9457) with a fixed text; an exception is logged and never shown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from proxy.control.admin.access import Permission
from proxy.control.admin.identify import SAFE, authorise, identify
from proxy.control.admin.match import Table
from proxy.control.admin.refusal import store_down
from proxy.control.admin.web import PROBLEM, Answer, Problem, unauthenticated
from proxy.core.log import logger
from proxy.store.base import StoreDown

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request, Route, Stream

Response = tuple[int, dict[str, str], "bytes | Stream"]
"""Status, headers (names in lower case), body."""

ALWAYS: Mapping[str, str] = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
"""On every answer; a page for people brings a policy of its own."""


class AdminApp:
    """All routes and what they work with. Raises ValueError when a route has no permission or two collide."""

    __slots__ = ("_services", "_table", "routes")

    def __init__(self, routes: Iterable[Route], services: Services) -> None:
        self.routes = tuple(routes)
        self._table = Table(self.routes)
        self._services = services

    def serves(self, method: str, path: str) -> bool:
        """Whether it has a route for this."""
        return self._table.find(method, path) is not None

    async def answer(
        self, request: Request, read: Callable[[], Awaitable[bytes]] | None = None
    ) -> Response:
        """Status, headers and body; never raises. `read` gives the body, and is called for those only who may."""
        try:
            answer = await self._answer(request, read)
            return _response(request, answer)
        except Problem as problem:
            return _refused(request, problem)
        except StoreDown:
            return _refused(request, store_down())
        except Exception:
            logger.exception(
                "admin request %s failed: %s %s", request.id, request.method, request.path
            )
            return _refused(
                request, Problem(500, "internal", "The request failed. Its id is in the log.")
            )

    async def _answer(
        self, request: Request, read: Callable[[], Awaitable[bytes]] | None
    ) -> Answer:
        found = self._table.find(request.method, request.path)
        if found is None:
            # What there is, only those may know who could ask for it.
            if await identify(request, self._services) is None:
                raise unauthenticated()
            raise self._nothing(request.path)
        route, request.params = found
        if route.permission is not Permission.PUBLIC:
            request.principal = await identify(request, self._services)
        origins = self._services.state.snapshot.admin.origins
        authorise(route, request.principal, request, origins)
        if read is not None and request.method not in SAFE:
            request.body = await read()
        return await route.handler(request, self._services)

    def _nothing(self, path: str) -> Problem:
        methods = self._table.methods(path)
        if not methods:
            return Problem(404, "not_found", "There is nothing at this path.")
        allowed = ", ".join(methods)
        return Problem(
            405, "method_not_allowed", f"This path takes {allowed}.", headers={"allow": allowed}
        )


def _response(request: Request, answer: Answer) -> Response:
    content = answer.content
    headers = {**ALWAYS, "x-request-id": request.id, **answer.headers}
    if content is None:
        return answer.status, headers, b""
    headers["content-type"] = answer.kind
    body = content if isinstance(content, bytes | AsyncGenerator) else orjson.dumps(content)
    return answer.status, headers, body


def _refused(request: Request, problem: Problem) -> Response:
    if request.method not in SAFE:
        who = "nobody" if request.principal is None else request.principal.name
        logger.info(
            "admin request %s of %s refused: %s %s: %d %s",
            request.id,
            who,
            request.method,
            request.path,
            problem.status,
            problem.code,
        )
    content: dict[str, Any] = {
        "type": f"urn:headrace:problem:{problem.code}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.faults:
        content["errors"] = [
            {"field": fault.field, "message": fault.message} for fault in problem.faults
        ]
    content["request_id"] = request.id
    return _response(request, Answer(content, problem.status, problem.headers, PROBLEM))
