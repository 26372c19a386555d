"""Requests of the playground: sent to this instance's own API as any client would, and the answer passed on as it comes.

The dashboard may call its own origin alone, and the API is on another port. So a page sends the body here, with the
virtual key that is to be used in `x-headrace-playground-key`, and this asks the API's listener from this machine: a
whole request, authenticated, limited and booked like every other. Only what a table names can be reached that way.

The API sees this machine as the client, so a key that is for certain networks only is refused unless this is in them.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
from yarl import URL

from proxy.control.admin import body, figures
from proxy.control.admin.access import Permission
from proxy.control.admin.refusal import wrong
from proxy.control.admin.web import Answer, Problem, Route

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request, Stream

T = TypeVar("T")

KEY: Final = "x-headrace-playground-key"
PATHS: Final = frozenset(
    {
        "v1/chat/completions",
        "v1/completions",
        "v1/responses",
        "v1/messages",
        "v1/messages/count_tokens",
        "v1/embeddings",
        "v1/moderations",
        "v1/rerank",
    }
)
"""Of the API, what can be reached; and Gemini's verbs, which have the model in the path."""
_GEMINI: Final = re.compile(
    r"v1beta/models/[^/?#\\]{1,256}(?:/[^/?#\\]{1,256}){0,4}:"
    r"(?:generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)"
)
_DOTS: Final = re.compile(r"(?:^|/)\.{1,2}(?:/|:|$)")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,512}")
SENT: Final = {
    "content-type": "application/json",
    "accept-encoding": "identity",
    "user-agent": "Headrace playground",
    "x-headrace-timing": "1",
}
GIVEN: Final = frozenset(
    {
        "x-request-id",
        "x-upstream-request-id",
        "server-timing",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
    }
)
"""Headers of an answer that are passed on, besides those that begin as PREFIXES."""
PREFIXES: Final = ("x-headrace-", "x-ratelimit-", "anthropic-ratelimit-")
KINDS: Final = ("application/json", "text/event-stream")
"""What an answer is taken for as it says; anything else is bytes."""
CONNECT: Final = 5.0
LONGEST: Final = 900.0
"""Seconds for a whole answer."""
MOST: Final = 32 * 1024 * 1024
"""Bytes of it."""
LAST_WORDS: Final = 0.2
"""Seconds in which a page can read them."""
LOOK: Final = 0.25
"""Seconds after which is looked whether somebody still waits."""


async def about(request: Request, services: Services) -> Answer:
    """Where the API is, whether it wants a key, and the models there are."""
    snapshot = services.state.snapshot
    return Answer(
        {
            "address": services.api or None,
            "host": snapshot.server.host,
            "key_required": snapshot.require_auth,
            "models": [
                {"name": name, "type": model.type or None, "description": model.description or None}
                for name, model in figures.models(snapshot).items()
            ],
        }
    )


async def relay(request: Request, services: Services) -> Answer:
    """The answer of the API, with its status. Raises Problem: 404, 400 for a key that is none, 502, 503 no_api."""
    path = request.params["path"]
    if not reachable(path):
        raise Problem(
            404, "not_found", "The playground reaches endpoints of models, and this is none."
        )
    if request.media_type not in body.JSON_TYPES:
        raise Problem(
            415, "unsupported_media_type", "Send JSON, with content-type: application/json."
        )
    if not services.api:
        raise Problem(503, "no_api", "The API is not served here.")
    tls = services.state.snapshot.server.tls
    if tls is not None and tls.client_ca is not None:
        said = "The API wants a certificate of its clients, and the playground has none."
        raise Problem(503, "no_api", said)
    sent = dict(SENT)
    key = request.headers.get(KEY, "").strip()
    if key:
        if not _VISIBLE.fullmatch(key):
            raise wrong(KEY, "a virtual key has letters, digits and signs only")
        sent["authorization"] = f"Bearer {key}"
    query = "?alt=sse" if request.query.get("alt") == "sse" else ""
    held = AsyncExitStack()
    try:
        answer = await _unless_gone(
            _asked(held, services.api, f"/{quote(path, safe='/:')}{query}", sent, request.body),
            request.is_gone,
        )
        pieces = _pieces(answer, held, request.is_gone)
        await anext(pieces)  # begun: closing it now closes what it holds
    except BaseException:
        await held.aclose()
        raise
    return Answer(pieces, answer.status, passed(answer.headers), kind=_kind(answer.headers))


def reachable(path: str) -> bool:
    """Whether it is an endpoint of models; `path` is decoded and begins without a slash."""
    return path in PATHS or bool(_GEMINI.fullmatch(path) and not _DOTS.search(path))


def passed(headers: Mapping[str, str]) -> dict[str, str]:
    """Of the API's headers, what a page may see."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {
        name: value for name, value in lower.items() if name in GIVEN or name.startswith(PREFIXES)
    }


def _kind(headers: Mapping[str, str]) -> str:
    kind = headers.get("content-type", "")
    return kind if kind.partition(";")[0].strip().lower() in KINDS else "application/octet-stream"


async def _asked(
    held: AsyncExitStack, api: str, target: str, headers: Mapping[str, str], content: bytes
) -> aiohttp.ClientResponse:
    """The head of the answer; `held` closes the connection. Raises Problem 502."""
    kind, _, path = api.partition(":")
    connectors = {"unix": aiohttp.UnixConnector, "unix+tls": _SecureConnector}
    connector = connectors[kind](path) if kind in connectors else aiohttp.TCPConnector()
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=LONGEST, connect=CONNECT),
        auto_decompress=False,
    )
    await held.enter_async_context(session)
    url = URL(("http://localhost" if kind in connectors else api) + target, encoded=True)
    # Its certificate is for the name that clients know, and not for this machine's own address.
    asking = session.post(url, data=content, headers=headers, allow_redirects=False, ssl=False)
    try:
        return await held.enter_async_context(asking)
    except (aiohttp.ClientError, OSError) as error:
        said = f"The API did not answer ({type(error).__name__}). Is it draining, or overloaded?"
        raise Problem(502, "api_unreachable", said) from None


class _SecureConnector(aiohttp.UnixConnector):
    """To a socket of this machine on which TLS is spoken, which aiohttp does on others alone."""

    async def _create_connection(self, *_request: object) -> ResponseHandler:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        _, made = await asyncio.get_running_loop().create_unix_connection(
            self._factory, self.path, ssl=context, server_hostname="localhost"
        )
        return made


async def _pieces(
    answer: aiohttp.ClientResponse, held: AsyncExitStack, is_gone: Callable[[], bool]
) -> Stream:
    """Nothing first, then what comes, as it comes. Raises what cuts the answer short: aiohttp.ClientError, ValueError."""
    size = 0
    async with held:
        yield b""
        try:
            while piece := await _unless_gone(answer.content.readany(), is_gone):
                size += len(piece)
                if size > MOST:
                    raise ValueError(f"an answer for the playground is larger than {MOST} bytes")
                yield piece
        except aiohttp.ClientError:
            # Why it ended may be what came last: aiohttp tells of the end before it gives that, and a browser throws
            # away what its page has not read yet when a connection breaks.
            yield answer.content._read_nowait(-1)
            await asyncio.sleep(LAST_WORDS)
            raise


async def _unless_gone(work: Awaitable[T], is_gone: Callable[[], bool]) -> T:
    """What it gives. Raises ConnectionResetError as soon as nobody waits for it any more."""

    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait((task,), timeout=LOOK)
            if not task.done() and is_gone():
                raise ConnectionResetError("who asked has gone")
        return task.result()
    finally:
        task.cancel()


_ABOUT: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "address": {"type": ["string", "null"]},
        "host": {"type": "string"},
        "key_required": {"type": "boolean"},
        "models": {"type": "array", "items": {"type": "object"}},
    },
}
_STATUSES = (200, 400, 401, 402, 403, 404, 408, 409, 413, 415, 422, 424, 429, 500, 502, 503, 504, 529)  # fmt: skip

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/playground",
        Permission.READ,
        about,
        "Where the API is, and which models it has.",
        answer=_ABOUT,
        tag="playground",
    ),
    Route(
        "POST",
        "/admin/playground/{path:path}",
        Permission.READ,
        relay,
        "Ask the API as a client would; the answer is the API's.",
        body={"type": "object"},
        answer={},
        tag="playground",
        query={"alt": {"type": "string", "enum": ["sse"]}},
        headers=(KEY,),
        statuses=_STATUSES,
        gives=(*KINDS, "application/octet-stream"),
    ),
)
