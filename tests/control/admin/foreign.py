"""A desk with the calls of other gateways, whose worker serves what is written, as a real one does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp.test_utils import RawTestServer

from proxy.control.admin.app import AdminApp
from proxy.control.admin.figures import models
from proxy.control.admin.routes import all_routes
from proxy.control.admin.services import Services
from proxy.control.listener import admin_server
from proxy.control.sync import ConfigFile, Sync
from proxy.core.config.loading import parse
from proxy.core.metrics import Metrics
from proxy.core.model import Snapshot
from proxy.state.live import Live
from proxy.state.snapshot import compile_snapshot
from proxy.state.state import State
from tests.control.admin.desk import MASTER, TOKEN, Desk

FILE: dict[str, Any] = {
    "providers": {
        "from-file": {
            "base_url": "https://file.example.com/v1",
            "credentials": ["sk-key-of-the-file-0001"],
        }
    },
    "models": {"filed": {"aliases": ["filed-too"], "deployments": [{"provider": "from-file"}]}},
    "keys": [{"name": "file-key", "key": "sk-test-of-the-file-0001"}],
}


@asynccontextmanager
async def open_foreign(path: Path, **content: Any) -> AsyncIterator[Desk]:
    """All routes, a store in a file, and a provider, a model and a key of the configuration file."""
    text = orjson.dumps(
        {
            "admin": {"token": TOKEN},
            "store": {"url": f"sqlite:///{path}/headrace.db"},
            "secrets": {"keys": [MASTER]},
            **FILE,
            **content,
        }
    ).decode()
    config = parse(text).config
    state = State(compile_snapshot(config), Live(), Metrics("0"))

    def use(snapshot: Snapshot) -> None:
        state.use(snapshot)
        state.metrics.allow(models(snapshot), snapshot.providers, state.live.deployments)

    sync = Sync(ConfigFile(config, lambda: parse(text).config), state, use)
    try:
        use(await sync.start())
        services = Services(state, sync)
        app = AdminApp(all_routes(), services)
        async with (
            RawTestServer(admin_server(app).request_handler) as listener,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        ):
            url = str(listener.make_url("")).rstrip("/")
            yield Desk(url, services, http, path / "headrace.db")
    finally:
        await sync.close()
