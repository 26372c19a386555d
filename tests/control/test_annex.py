"""The admin application of a worker: made when somebody asks, by the one who took them in."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from proxy.control import listener as listening
from proxy.control.admin.access import Permission
from proxy.control.admin.app import AdminApp
from proxy.control.admin.web import Answer, Request, Route
from proxy.control.annex import Annex
from proxy.core import tasks
from proxy.core.model import Snapshot
from proxy.worker import Worker
from tests.line.harness import Raw, until

if TYPE_CHECKING:
    from proxy.control.admin.services import Services


@pytest.fixture
async def services() -> Services:
    """Of a worker that has nothing but a snapshot."""
    return Worker(Snapshot(), "7")._services()


async def _hello(_request: Request, _services: Services) -> Answer:
    return Answer(b"hello", kind="text/plain")


def _app(services: Services, *paths: str) -> AdminApp:
    routes = [Route("GET", path, Permission.PUBLIC, _hello, path) for path in paths]
    return AdminApp(routes, services)


class Making:
    """What `make` is: how often it was called, and where."""

    def __init__(self, services: Services, *, fails: int = 0) -> None:
        self._services = services
        self.threads: list[str] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self._fails = fails

    def __call__(self) -> tuple[AdminApp, AdminApp]:
        self.threads.append(threading.current_thread().name)
        assert self.goes_on.wait(10)
        if len(self.threads) <= self._fails:
            raise RuntimeError("it cannot be made")
        documentation = "/docs", "/assets/{name}"
        return _app(self._services, "/", *documentation), _app(self._services, *documentation)


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


async def ask(bound: socket.socket, path: str = "/") -> tuple[int, bytes]:
    client = await Raw.open(bound.getsockname()[1])
    try:
        client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        answer = await asyncio.wait_for(client.answer(), 10)
        return answer.status, answer.body
    finally:
        client.close()


async def settled() -> None:
    await until(lambda: not tasks.running())


async def test_nothing_is_made_before_somebody_asks(
    services: Services, bound: socket.socket
) -> None:
    make = Making(services)
    annex = Annex(make)

    annex.listen(bound)
    before = list(make.threads)
    answers = [await ask(bound) for _ in range(3)]
    annex.close()

    assert before == []
    assert answers == [(200, b"hello")] * 3
    assert len(make.threads) == 1
    assert make.threads[0] != threading.main_thread().name


async def test_who_comes_while_it_is_made_is_answered_too(
    services: Services, bound: socket.socket
) -> None:
    make = Making(services)
    make.goes_on.clear()
    annex = Annex(make)
    annex.listen(bound)

    waiting = [asyncio.ensure_future(ask(bound)) for _ in range(3)]
    await until(lambda: bool(make.threads))
    make.goes_on.set()
    answers = await asyncio.gather(*waiting)
    annex.close()

    assert answers == [(200, b"hello")] * 3
    assert len(make.threads) == 1


async def test_of_several_that_listen_one_makes_it(
    services: Services, bound: socket.socket
) -> None:
    makes = [Making(services), Making(services), Making(services)]
    annexes = [Annex(make) for make in makes]
    for annex in annexes:
        annex.listen(bound.dup())

    answer = await ask(bound)
    made = [len(make.threads) for make in makes]
    for annex in annexes:
        annex.close()

    assert answer == (200, b"hello")
    assert sorted(made) == [0, 0, 1]


async def test_there_is_an_end_to_how_many_it_takes_in(
    services: Services, bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MOST", 2)
    annex = Annex(Making(services))
    annex.listen(bound)
    await ask(bound)

    idle = [await Raw.open(bound.getsockname()[1]) for _ in range(3)]
    try:
        async with asyncio.timeout(3):
            assert await idle[0].reader.read() == b""
    finally:
        for client in idle:
            client.close()
        annex.close()


async def test_what_could_not_be_made_is_tried_again_for_the_next(
    services: Services, bound: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    make = Making(services, fails=1)
    annex = Annex(make)
    annex.listen(bound)

    client = await Raw.open(bound.getsockname()[1])
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    with pytest.raises(ConnectionError):  # what it sent was not read
        await asyncio.wait_for(client.reader.read(), 10)
    client.close()
    answer = await ask(bound)
    annex.close()

    assert answer == (200, b"hello")
    assert "it cannot be made" in caplog.text


@pytest.mark.parametrize("asked", [False, True])
async def test_nobody_is_taken_in_after_it_is_closed(
    services: Services, bound: socket.socket, asked: bool
) -> None:
    port = bound.getsockname()[1]
    annex = Annex(Making(services))
    annex.listen(bound)
    if asked:
        assert (await ask(bound))[0] == 200

    annex.close()
    annex.close()

    with pytest.raises(ConnectionRefusedError):
        await Raw.open(port)


async def test_who_was_taken_in_when_it_is_closed_is_answered(
    services: Services, bound: socket.socket
) -> None:
    make = Making(services)
    make.goes_on.clear()
    annex = Annex(make)
    annex.listen(bound)

    waiting = asyncio.ensure_future(ask(bound))
    await until(lambda: bool(make.threads))
    annex.close()
    make.goes_on.set()

    assert await waiting == (200, b"hello")


async def test_without_a_descriptor_it_looks_again(
    services: Services, bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.control.annex.AGAIN", 0.01)
    refused = 0

    class Short(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            nonlocal refused
            if refused < 2:
                refused += 1
                raise OSError(24, "Too many open files")
            return super().accept()

    short = Short(fileno=bound.detach())
    annex = Annex(Making(services))
    annex.listen(short)

    answer = await ask(short)
    annex.close()

    assert (refused, answer) == (2, (200, b"hello"))


# --- on the port of the API ---


@asynccontextmanager
async def beside(make: Making) -> AsyncIterator[socket.socket]:
    """A worker without an admin port, whose API has what is made."""
    worker = Worker(Snapshot(), "7")
    bound = socket.create_server(("127.0.0.1", 0))
    await worker.start(bound, None)
    worker.gateway.beyond = Annex(make).beyond
    try:
        yield bound
    finally:
        await worker.close(0.2)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/docs", 200), ("/assets/a.css", 200), ("/admin/keys", 404), ("/none", 404)],
)
async def test_of_the_api_port_only_the_documentation_makes_it(
    services: Services, path: str, status: int
) -> None:
    make = Making(services)
    async with beside(make) as bound:
        answer = await ask(bound, path)

    assert answer[0] == status
    assert len(make.threads) == (status == 200)


async def test_the_paths_of_the_documentation_are_those_it_has(services: Services) -> None:
    from proxy.control.annex import ASSETS, DOCUMENTATION

    app = listening.documentation(listening.admin_app(services, {}, []), services)
    paths = {path for route in app.routes for path in (route.path, *route.aliases)}

    assert {path for path in paths if not path.startswith(ASSETS)} == DOCUMENTATION
    assert any(path.startswith(ASSETS) for path in paths)
