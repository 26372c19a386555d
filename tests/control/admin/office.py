"""All of the admin API over a socket, on either database, with objects in the file besides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp.test_utils import RawTestServer

from proxy.control.admin.app import AdminApp
from proxy.control.admin.routes import all_routes
from proxy.control.admin.services import Services
from proxy.control.listener import admin_server
from proxy.control.sync import ConfigFile, Sync
from proxy.core.config.loading import parse
from proxy.core.config.schema import Config
from proxy.core.metrics import Metrics
from proxy.core.model import Snapshot
from proxy.state.live import Live
from proxy.state.snapshot import compile_snapshot
from proxy.state.state import State
from tests.control.admin.desk import BLANK, MASTER, TOKEN, Desk, Said

FILE: dict[str, Any] = {
    "providers": {
        "filed": {
            "base_url": "http://127.0.0.1:9",
            "allow_private": True,
            "credentials": ["filed-secret-0001"],
            "headers": {"x-team": "filed-header"},
        }
    },
    "models": {"filed/model": {"deployments": [{"provider": "filed", "model": "up"}]}},
    "keys": [{"name": "filed", "key": "sk-filed-key-000001", "team": "red"}],
}
LAB = {"name": "lab", "base_url": "http://127.0.0.1:9", "allow_private": True}
CREDENTIAL = "sk-credential-of-lab-1234"


class Office(Desk, eq=False):
    """A desk with everything on it."""

    folder: Path = Path()
    """Where its files are."""

    async def made(self, path: str, body: Any) -> Any:
        """A new object."""
        said = await self.owner("POST", path, body)
        assert said.status == 201, said.body
        return said.json

    async def shown(self, path: str) -> Any:
        said = await self.owner("GET", path)
        assert said.status == 200, said.body
        return said.json

    async def names(self, path: str) -> list[str]:
        """Of a list."""
        return [one["name"] for one in (await self.shown(path))["data"]]

    async def lab(self, *models: str) -> Any:
        """A provider with a credential, and models it serves."""
        provider = await self.made("/admin/providers", {**LAB, "credentials": [CREDENTIAL]})
        for name in models:
            await self.made("/admin/models", {"name": name, "deployments": [{"provider": "lab"}]})
        return provider

    async def trail(self, **filters: str) -> list[dict[str, Any]]:
        """The audit log, the newest first."""
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        found: list[dict[str, Any]] = (await self.shown(f"/admin/audit?limit=1000&{query}"))["data"]
        return found


def problem(said: Said) -> tuple[int, str, list[str]]:
    """Status, code, and the fields that are wrong."""
    return said.status, said.code, [fault["field"] for fault in said.json.get("errors", ())]


@asynccontextmanager
async def open_office(
    path: Path, database: str = "", *, sealing: bool = True, **sections: Any
) -> AsyncIterator[Office]:
    """One worker's admin API, on 127.0.0.1. The file can be written anew: `path/headrace.yaml`."""
    file = path / "headrace.yaml"
    content = {
        "admin": {"token": TOKEN},
        "store": {
            "url": database or f"sqlite:///{path}/headrace.db",
            "snapshot": f"{path}/headrace.snapshot",
        },
        "secrets": {"keys": [MASTER] if sealing else []},
        **FILE,
        **sections,
    }
    file.write_bytes(orjson.dumps(content))
    if not database and not (path / "headrace.db").exists():
        (path / "headrace.db").write_bytes(BLANK)

    def read() -> Config:
        return parse(file.read_text()).config

    config = read()
    state = State(compile_snapshot(config), Live(), Metrics("0"))

    def use(snapshot: Snapshot) -> None:
        state.use(snapshot)

    sync = Sync(ConfigFile(config, read), state, use)
    try:
        state.use(await sync.start())
        services = Services(state, sync)
        server = admin_server(AdminApp(all_routes(), services))
        async with (
            RawTestServer(server.request_handler) as listener,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        ):
            url = str(listener.make_url("")).rstrip("/")
            yield Office(url, services, http, path / "headrace.db", folder=path)
    finally:
        await sync.close()
