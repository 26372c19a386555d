"""The admin API on a socket of its own: real routes, a real store in a file, and a client that remembers nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import orjson
from aiohttp.test_utils import RawTestServer
from msgspec import Struct, field

from proxy.control.admin import login, tokens, users
from proxy.control.admin.access import Permission, Role
from proxy.control.admin.app import AdminApp
from proxy.control.admin.services import Services
from proxy.control.admin.sessions import COOKIE
from proxy.control.admin.web import Answer, Request, Route
from proxy.control.listener import admin_server
from proxy.control.sync import ConfigFile, Sync
from proxy.core.clock import now
from proxy.core.config.loading import parse
from proxy.core.metrics import Metrics
from proxy.state.live import Live
from proxy.state.snapshot import compile_snapshot
from proxy.state.state import State
from proxy.store.base import Store
from proxy.store.opening import open_store

TOKEN = "the token of the configuration"
PASSWORD = "correct horse battery staple"
MASTER = "mKx2p0vB7sQeW4nZr8LtYc1uJd6hGfAo"


class Said(Struct):
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def problem(self) -> dict[str, Any]:
        """What it says, apart from which request it was."""
        return {name: value for name, value in self.json.items() if name != "request_id"}

    @property
    def code(self) -> str:
        """What kind of problem it is."""
        return str(self.json["type"]).rpartition(":")[2]

    @property
    def cookie(self) -> str:
        """The session it gives."""
        first = self.headers["set-cookie"].partition(";")[0]
        name, _, value = first.partition("=")
        assert name == COOKIE
        return value


class Who(Struct, frozen=True):
    """What somebody sends to show who they are."""

    headers: Mapping[str, str] = field(default_factory=dict)


class Desk(Struct, eq=False):
    """What a test talks to."""

    url: str
    services: Services
    http: aiohttp.ClientSession
    file: Path

    @property
    def store(self) -> Store:
        store = self.services.sync.store
        assert store is not None
        return store

    @property
    def origin(self) -> dict[str, str]:
        """What a browser says of our own pages."""
        return {"sec-fetch-site": "same-origin"}

    async def cut(self) -> None:
        """The store is away from now on: there is no database any more where its file was."""
        await self.store.close()
        for file in self.file.parent.glob("headrace.db*"):
            file.unlink()
        self.file.mkdir()

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        who: Who | None = None,
        **headers: str,
    ) -> Said:
        """One request; nothing is sent that is not said here. A body is JSON unless it is bytes."""
        sent = {} if who is None else dict(who.headers)
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
            sent.setdefault("content-type", "application/json")
        async with self.http.request(
            method, self.url + path, data=data, headers=sent, skip_auto_headers=["content-type"]
        ) as answer:
            return Said(answer.status, answer.headers, await answer.read())

    async def owner(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        """The same with the configuration's token."""
        return await self.ask(method, path, body, OWNER, **headers)

    async def user(self, name: str, role: Role = Role.VIEWER, **fields: Any) -> int:
        """A user with PASSWORD; its id."""
        said = await self.owner(
            "POST",
            "/admin/users",
            {"name": name, "role": role, "password": PASSWORD} | fields,
        )
        assert said.status == 201, said.body
        return int(said.json["id"])

    async def login(self, name: str, password: str = PASSWORD, **headers: str) -> Said:
        """As the page does it."""
        content = {"username": name, "password": password}
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("POST", "/admin/login", content, Who(self.origin | sent))

    async def session(self, name: str, password: str = PASSWORD) -> Who:
        """Signed in: cookie, CSRF token and origin, as the page sends them."""
        said = await self.login(name, password)
        assert said.status == 200, said.body
        return with_session(said)

    async def token(self, name: str, role: Role, **fields: Any) -> Who:
        """A service token."""
        content = {"name": name, "role": role, "expires": in_days(30)} | fields
        said = await self.owner("POST", "/admin/tokens", content)
        assert said.status == 201, said.body
        return bearer(said.json["token"])


def bearer(token: str) -> Who:
    return Who({"authorization": f"Bearer {token}"})


def with_session(said: Said) -> Who:
    return Who(
        {
            "cookie": f"{COOKIE}={said.cookie}",
            "x-headrace-csrf": said.json["csrf"],
            "sec-fetch-site": "same-origin",
        }
    )


OWNER = bearer(TOKEN)


def in_days(days: float) -> str:
    """A date, as a body has it."""
    return datetime.fromtimestamp(now() + days * 86_400, UTC).isoformat()


async def _seen(request: Request, services: Services) -> Answer:
    principal = request.principal
    return Answer({"name": None if principal is None else principal.name})


PROBES = tuple(
    Route(method, f"/admin/probe/{permission}", permission, _seen, "Says who asked.")
    for permission in Permission
    for method in ("GET", "POST", "DELETE")
)
"""One route for each permission: what is tested here is the door, not what is behind it."""

OURS = (*login.ROUTES, *users.ROUTES, *tokens.ROUTES, *PROBES)


def configuration(path: Path, store: str = "", **admin: Any) -> str:
    """YAML; `admin` replaces the section's token. Without a store it is a file in `path`."""
    content = {
        "admin": admin or {"token": TOKEN},
        "store": {
            "url": store or f"sqlite:///{path}/headrace.db",
            "snapshot": f"{path}/headrace.snapshot",
        },
        "secrets": {"keys": [MASTER]},
    }
    return orjson.dumps(content).decode()


async def _blank() -> bytes:
    """A database with all its tables and nothing in them."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "headrace.db"
        store = open_store(f"sqlite:///{file}")
        await store.open()
        await store.close()
        return file.read_bytes()


BLANK = asyncio.run(_blank())
"""Made once: half of the time of a desk went into its tables."""


@asynccontextmanager
async def open_desk(
    path: Path, routes: Iterable[Route] = OURS, store: str = "", **admin: Any
) -> AsyncIterator[Desk]:
    """One worker's admin API, on 127.0.0.1."""
    config = parse(configuration(path, store, **admin)).config
    if not store and not (path / "headrace.db").exists():
        (path / "headrace.db").write_bytes(BLANK)
    state = State(compile_snapshot(config), Live(), Metrics("0"))
    sync = Sync(ConfigFile(config), state, lambda snapshot: None)
    try:
        await sync.start()
        services = Services(state, sync)
        app = AdminApp(routes, services)
        async with (
            RawTestServer(admin_server(app).request_handler) as listener,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        ):
            url = str(listener.make_url("")).rstrip("/")
            yield Desk(url, services, http, path / "headrace.db")
    finally:
        await sync.close()
