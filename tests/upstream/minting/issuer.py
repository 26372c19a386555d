"""A server on this machine that gives tokens the way clouds do, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from aiohttp.test_utils import TestServer

Answer = Callable[["Asked"], web.Response]


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]


@dataclass
class Issuer:
    """What stands behind every path: `answers` by path, else the one of `""`."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        one = Asked(
            request.method,
            request.path,
            dict(request.query),
            {name.lower(): value for name, value in request.headers.items()},
            {name: values[0] for name, values in parse_qs(body).items()},
        )
        self.asked.append(one)
        return self.answers.get(one.path, self.answers.get("", lambda _: gone()))(one)


@asynccontextmanager
async def issuing(**answers: Answer) -> AsyncIterator[Issuer]:
    """One that runs. `whatever=` answers every path."""
    issuer = Issuer(
        answers={"" if name == "whatever" else name: one for name, one in answers.items()}
    )
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", issuer.handle)
    async with TestServer(app) as server:
        issuer.url = str(server.make_url("/")).rstrip("/")
        yield issuer


def token(text: str = "token-1", life: Any = 3600, **more: Any) -> Answer:
    """An OAuth answer."""
    content = {"access_token": text, "token_type": "Bearer", "expires_in": life, **more}
    return lambda _: web.json_response({k: v for k, v in content.items() if v is not None})


def refusal(status: int = 400, **said: str) -> Answer:
    """An OAuth error (RFC 6749, 5.2)."""
    return lambda _: web.json_response(said, status=status)


def gone() -> web.Response:
    return web.Response(status=404)
