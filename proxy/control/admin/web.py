"""The words of the admin API: request, answer, problem (RFC 9457), route."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

if TYPE_CHECKING:
    from proxy.control.admin.access import Permission, Principal
    from proxy.control.admin.services import Services

JSON = "application/json; charset=utf-8"
PROBLEM = "application/problem+json; charset=utf-8"

Stream = AsyncGenerator[bytes, None]
"""A body of any length, in pieces; each is asked for when the client has taken the one before."""


def _stays() -> bool:
    return False


class Request(Struct, eq=False):
    """One request, read whole."""

    method: str
    path: str
    """Raw, without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case; of a repeated header the last one."""
    body: bytes
    peer: str
    """The client's IP address."""
    id: str
    """`x-request-id`."""
    params: Mapping[str, str] = field(default_factory=dict)
    """What the route's template names, decoded."""
    principal: Principal | None = None
    """Set before a handler is called; None only on PUBLIC routes."""
    is_gone: Callable[[], bool] = _stays
    """Whether the client has left: for answers that are long in coming."""

    @property
    def who(self) -> Principal:
        """Who asks. Raises Problem 401 where nobody does, which no handler of another route meets."""
        if self.principal is None:
            raise unauthenticated()
        return self.principal

    @property
    def media_type(self) -> str:
        """Of the body, in lower case and without parameters; empty when nothing is said."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Answer(Struct, eq=False):
    """What a handler returns. `content` is encoded as JSON unless it is bytes or a Stream; None is no body.

    A Stream that raises after its first piece cuts the connection: that is how a client learns that something is
    missing. What can be refused has to be refused before.
    """

    content: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = JSON


class Fault(Struct, frozen=True):
    """One thing wrong with a body: `field` as in `deployments[0].provider`, and a sentence."""

    field: str
    message: str


class Problem(Exception):
    """An answer that is an error: `application/problem+json` with type, title, status, detail, errors."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        faults: tuple[Fault, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        """A word for programs: `not_found`, `invalid`, `conflict`, `precondition_failed`, …; the end of `type`."""
        self.detail = detail
        self.faults = faults
        self.headers = dict(headers or {})


def unauthenticated(detail: str = "Sign in, or send a token of the admin API.") -> Problem:
    """401."""
    return Problem(401, "unauthenticated", detail, headers={"www-authenticate": "Bearer"})


Handler = Callable[[Request, "Services"], Awaitable[Answer]]


class Route(Struct, frozen=True, eq=False):
    """One thing that can be asked. There is no default for `permission`: a route without one cannot be written."""

    method: str
    path: str
    """`/admin/providers/{id}`; `{name:path}` takes slashes too."""
    permission: Permission
    handler: Handler
    summary: str
    """For the OpenAPI document."""
    aliases: tuple[str, ...] = ()
    """Further paths with the same meaning and the same answer."""
    body: Any = None
    """The pydantic model or JSON Schema of the request's body, for the OpenAPI document."""
    answer: Any = None
    """The same of its answer."""
    tag: str = ""
    query: Mapping[str, Any] = field(default_factory=dict)
    """Parameters and their JSON Schemas. These and what follows are for the OpenAPI document too."""
    headers: tuple[str, ...] = ()
    """Headers that mean something: `If-Match`."""
    statuses: tuple[int, ...] = ()
    """Of answers that are no problem; empty: what is usual for the method."""
    takes: tuple[str, ...] = ("application/json",)
    """The body's media types."""
    gives: tuple[str, ...] = ("application/json",)
    """Those of an answer."""
    needs_body: bool = True
