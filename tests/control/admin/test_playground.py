"""The playground's way to the API: over real sockets, to a whole worker, and nowhere else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from proxy.control import listener  # noqa: F401  (a worker imports it when it starts, which would block the loop)
from proxy.control.admin import playground
from proxy.core.config import load
from proxy.state.snapshot import compile_snapshot
from proxy.worker import Worker, listen
from tests.control.admin.desk import TOKEN, Desk, open_desk
from tests.line.harness import KEY, Simulator, config, free_port
from tests.line.test_tls import section
from tests.upstream.certificates import Authority

CHAT = "/admin/playground/v1/chat/completions"
HEADERS = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    one = Simulator()
    yield one
    one.stop()


class Place:
    """A worker with both of its listeners, and a client of the admin API."""

    def __init__(self, worker: Worker, url: str, http: aiohttp.ClientSession) -> None:
        self.worker = worker
        self.url = url
        self.http = http

    def ask(self, path: str, content: Any, key: str | None = KEY) -> Any:
        """The answer, whose body is still to be read."""
        headers = HEADERS if key is None else {**HEADERS, playground.KEY: key}
        return self.http.post(self.url + path, json=content, headers=headers)


def chat(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}


@asynccontextmanager
async def place(
    folder: Path,
    url: str,
    api: socket.socket | None = None,
    *,
    shared: bool = False,
    tls: dict[str, str] | None = None,
) -> AsyncIterator[Place]:
    port = free_port()
    ports = {
        "server": {"host": "127.0.0.1", "port": port, "tls": tls},
        "admin": {"port": port if shared else 0, "token": TOKEN},
    }
    path = folder / "headrace.yaml"
    path.write_text(yaml.safe_dump(config(url, **ports)))
    worker = Worker(compile_snapshot(load(path).config))
    clients = api or listen("127.0.0.1", port)
    admin = clients if shared else listen("127.0.0.1", 0)
    await worker.start(clients, None if shared else admin)
    try:
        async with aiohttp.ClientSession() as http:
            yield Place(worker, f"http://127.0.0.1:{admin.getsockname()[1]}", http)
    finally:
        await worker.close(0.2)


@pytest.fixture
async def here(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path, simulator.url) as one:
        yield one


async def test_it_says_where_the_api_is_and_which_models_it_has(here: Place) -> None:
    async with here.http.get(f"{here.url}/admin/playground", headers=HEADERS) as answer:
        content = await answer.json()

    assert content["address"].startswith("http://127.0.0.1:")
    assert content["key_required"] is True
    assert content["models"] == [{"name": "sim*", "type": None, "description": None}]


async def test_an_answer_comes_with_what_is_to_be_known_of_it(here: Place) -> None:
    async with here.ask(CHAT, chat("sim-n3")) as answer:
        content = await answer.json()

    assert answer.status == 200
    assert content["choices"][0]["message"]["content"]
    assert "upstream;dur=" in answer.headers["server-timing"]
    assert answer.headers["x-request-id"]
    assert answer.headers["x-upstream-request-id"]
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("shared", [False, True], ids=["two-ports", "one-port"])
async def test_a_stream_is_passed_on_as_it_comes_and_ends_with_its_reader(
    simulator: Simulator, tmp_path: Path, shared: bool
) -> None:
    async with place(tmp_path, simulator.url, shared=shared) as here:
        async with here.ask(CHAT, chat("sim-n4-stall", stream=True)) as answer:
            first = await answer.content.readuntil(b"\n\n")  # though the stream never ends
            assert answer.content_type == "text/event-stream"
            assert first.startswith(b"data: {")
            answer.close()

        await _until(lambda: _metric(here.worker, "headrace_client_gone_total"))


async def test_who_leaves_before_the_first_word_ends_it_too(here: Place) -> None:
    async def ask() -> None:
        async with here.ask(CHAT, chat("sim-no_headers")) as answer:
            await answer.read()

    waiting = asyncio.ensure_future(ask())
    await _until(lambda: _metric(here.worker, "headrace_inflight_requests"))
    waiting.cancel()

    await _until(lambda: _metric(here.worker, "headrace_client_gone_total"))


async def _until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


def _metric(worker: Worker, name: str) -> float:
    page = worker._metrics()[2].decode()
    return sum(
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith((f"{name}{{", f"{name} "))
    )


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("v1/messages", chat("sim-n2", max_tokens=9)),
        ("v1/responses", {"model": "sim-n2", "input": "hi"}),
        ("v1/embeddings", {"model": "sim-n2", "input": "hi"}),
        ("v1beta/models/sim-n2:generateContent", {"contents": [{"parts": [{"text": "hi"}]}]}),
        ("v1beta/models/sim-n2:streamGenerateContent?alt=sse", {"contents": []}),
    ],
)
async def test_every_dialect_is_reached(here: Place, path: str, content: Any) -> None:
    async with here.ask(f"/admin/playground/{path}", content) as answer:
        assert answer.status == 200
        assert answer.content_type == ("text/event-stream" if "sse" in path else "application/json")
        assert await answer.read()


@pytest.mark.parametrize(
    ("model", "key", "status"),
    [("sim-n2", None, 401), ("sim-n2", "sk-wrong", 401), ("other", KEY, 404), ("sim-429-ra7", KEY, 429)],
)  # fmt: skip
async def test_what_the_api_refuses_is_said_as_it_says_it(
    here: Place, model: str, key: str | None, status: int
) -> None:
    async with here.ask(CHAT, chat(model), key) as answer:
        content = await answer.json()

    assert answer.status == status
    assert answer.content_type == "application/json"
    assert content["error"]["message"]
    assert status != 429 or int(answer.headers["retry-after"]) >= 7


@pytest.mark.parametrize(
    "path",
    [
        "v1/models",
        "v1/files",
        "admin/keys",
        "health",
        "v1/chat/completions/",
        "v1//messages",
        "v1/../admin/keys",
        "v1/%2e%2e/admin/keys",
        "v1beta/models/../../admin/keys:generateContent",
        "v1beta/models/a/..:generateContent",
        "v1beta/models/a%2f..%2fb:generateContent",
        "v1beta/models/a%3fb:generateContent",
        "v1beta/models/a:deleteEverything",
        "v1beta/models//a:generateContent",
        "%2f%2fevil.example/v1/messages",
        "http://evil.example/v1/messages",
        "@evil.example/v1/messages",
    ],
)
async def test_nothing_else_is_reached(desk: Desk, path: str) -> None:
    async with open_playground(desk) as ask:
        said = await ask(path)

    assert (said.status, said.code) == (404, "not_found")


@asynccontextmanager
async def open_playground(desk: Desk, api: str = "http://127.0.0.1:1") -> AsyncIterator[Any]:
    """Its routes alone, before an API that does not answer."""
    folder = desk.file.parent / "playground"
    folder.mkdir()
    async with open_desk(folder, playground.ROUTES) as one:
        one.services.api = api

        async def ask(path: str, **headers: str) -> Any:
            return await one.owner("POST", f"/admin/playground/{path}", {}, **headers)

        yield ask


async def test_an_api_that_is_away_is_said_to_be(desk: Desk) -> None:
    async with open_playground(desk) as ask:
        said = await ask("v1/messages")

    assert (said.status, said.code) == (502, "api_unreachable")


async def test_without_an_api_there_is_none(desk: Desk) -> None:
    async with open_playground(desk, "") as ask:
        said = await ask("v1/messages")

    assert (said.status, said.code) == (503, "no_api")


async def test_a_key_that_cannot_be_one_is_refused_here(desk: Desk) -> None:
    async with open_playground(desk) as ask:
        said = await ask("v1/messages", **{playground.KEY: "two words"})

    assert said.status == 400
    assert said.json["errors"][0]["field"] == playground.KEY


@pytest.mark.allow_blocking("reads a certificate in the loop")
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_an_api_on_a_socket_of_this_machine_is_reached(
    simulator: Simulator, tmp_path: Path, secure: bool
) -> None:
    tls = section(Authority(tmp_path)) if secure else None
    with socket.socket(socket.AF_UNIX) as api:
        api.bind(str(tmp_path / "api"))
        api.listen()
        async with (
            place(tmp_path, simulator.url, api, tls=tls) as here,
            here.ask(CHAT, chat("sim-n2")) as answer,
        ):
            assert answer.status == 200


async def test_what_a_stream_said_last_is_passed_on_before_it_is_cut(here: Place) -> None:
    async with here.ask(CHAT, chat("sim-n40-d1-err_mid", stream=True)) as answer:
        while not (await answer.content.readuntil(b"\n\n")).startswith(b'data: {"error":'):
            pass
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.readuntil(b"\n\n")


async def test_an_answer_without_end_is_cut(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playground, "MOST", 2000)
    with pytest.raises(aiohttp.ClientPayloadError):
        async with here.ask(CHAT, chat("sim-n400", stream=True)) as answer:
            await answer.read()
