"""Providers that cannot be reached, or hang up (fault rows A3, A4, A7, A9)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.gateway import attempt
from proxy.state.health import OPEN
from tests.line.asking import (
    CHAT,
    DIALECTS,
    GOOD,
    assert_error,
    assert_good,
    fleet,
    replying,
    row,
)
from tests.line.harness import (
    Proxy,
    Simulator,
    closed_port,
    read_request,
    request,
    scripted,
    serving,
    until,
)

SLOWLY_BACK = {"health__open_base": 20}
"""A circuit that has opened stays so for the whole test."""


def tried(proxy: Proxy, member: int, **labels: str) -> float:
    target = f"m/{member}:p{member}"
    return proxy.metric("headrace_upstream_attempts_total", target=target, **labels)


# A3: connection refused


@pytest.fixture
def closed() -> Iterator[str]:
    """An address where nobody listens, and nobody else can."""
    with closed_port() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_when_every_connection_is_refused_no_deployment_is_healthy(
    closed: str, tmp_path: Path, dialect: str, stream: bool
) -> None:
    async with serving(fleet((closed, "a"), (closed, "b")), tmp_path) as proxy:
        answer = await DIALECTS[dialect].ask(proxy, stream=stream)

        assert_error(DIALECTS[dialect], answer, "no_up")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert tried(proxy, 0, reason="connect") >= 1
        assert tried(proxy, 1, reason="connect") >= 1
        assert (await proxy.get("/health/live")).status == 200


async def test_a_refused_connection_costs_one_attempt_and_no_retry_token(
    sim: Simulator, closed: str, tmp_path: Path
) -> None:
    content = fleet((closed, "a"), (sim.url, "sim-n2"), health__enabled=False)
    async with serving(content, tmp_path) as proxy:
        budget = proxy.worker.state.live.budgets["m"].level

        for _ in range(30):
            assert_good(CHAT, await CHAT.ask(proxy))

        assert tried(proxy, 0) == tried(proxy, 0, reason="connect") == 30
        assert tried(proxy, 1) == 30
        assert proxy.worker.state.live.budgets["m"].level >= budget


async def test_a_deployment_that_refuses_connections_is_left_alone(
    sim: Simulator, closed: str, tmp_path: Path
) -> None:
    content = fleet((closed, "a"), (sim.url, "sim-n2"), health__max_errors=3, **SLOWLY_BACK)
    async with serving(content, tmp_path) as proxy:
        for _ in range(10):
            assert_good(CHAT, await CHAT.ask(proxy))

        assert tried(proxy, 0) == 3


# A4: the handshake is never answered


@pytest.fixture
def hole() -> Iterator[str]:
    """A listener whose queue of connections is full: the kernel drops every further SYN."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(0)
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(one.getsockname())
        yield f"http://127.0.0.1:{one.getsockname()[1]}"
        for caller in callers:
            caller.close()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_unanswered_handshake_ends_in_a_timeout(
    hole: str, tmp_path: Path, dialect: str
) -> None:
    content = fleet((hole, "a"), defaults__timeouts={"connect": 0.05})
    async with serving(content, tmp_path) as proxy:
        answer = await DIALECTS[dialect].ask(proxy)

        assert_error(DIALECTS[dialect], answer, "up_time")
        assert tried(proxy, 0) == tried(proxy, 0, reason="timeout_connect") == 1


async def test_an_unanswered_handshake_moves_the_request_to_another_deployment(
    sim: Simulator, hole: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The limit while others are left, instead of the one of the configuration.
    monkeypatch.setattr(attempt, "CONNECT_WITH_ALTERNATIVES", 0.05)
    content = fleet((hole, "a"), (sim.url, "sim-n2"), health__max_errors=2, **SLOWLY_BACK)
    content["defaults"]["timeouts"] = {"connect": 60}
    async with serving(content, tmp_path) as proxy, asyncio.timeout(5):
        for _ in range(4):
            assert_good(CHAT, await CHAT.ask(proxy))

        assert tried(proxy, 0) == tried(proxy, 0, reason="timeout_connect") == 2
        assert tried(proxy, 1) == 4


async def test_a_client_that_leaves_during_the_handshake_ends_the_attempt(
    hole: str, tmp_path: Path
) -> None:
    async with serving(fleet((hole, "a")), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(request("POST", "/v1/chat/completions", b'{"model":"m","messages":[]}'))
        state = proxy.worker.state.live.deployments["m/0:p0"]
        await until(lambda: state.inflight == 1)
        client.reset()

        await until(lambda: tried(proxy, 0, outcome="cancelled") == 1)
        assert state.inflight == 0


# A8: no connection to be had


async def test_a_handshake_nobody_answers_counts_though_others_wait_for_its_place(
    sim: Simulator, hole: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "CONNECT_WITH_ALTERNATIVES", 0.1)
    content = fleet((hole, "a"), (sim.url, "sim-n2"), health__max_errors=2, **SLOWLY_BACK)
    content["providers"]["p0"]["max_connections"] = 2
    async with serving(content, tmp_path) as proxy:
        for answer in await asyncio.gather(*(CHAT.ask(proxy) for _ in range(8))):
            assert_good(CHAT, answer)

        assert tried(proxy, 0, reason="timeout_connect") >= 2
        assert tried(proxy, 0, reason="pool") >= 1
        assert proxy.worker.state.live.deployments["m/0:p0"].phase == OPEN


# A7: a pooled connection closed by the provider


@pytest.mark.parametrize("fault", ["ok_then_close", "ok_then_rst_next"])
@pytest.mark.parametrize("clients", [1, 6])
async def test_a_connection_that_went_stale_costs_nobody_anything(
    sim: Simulator, tmp_path: Path, fault: str, clients: int
) -> None:
    count = 240 // clients
    async with row(sim, tmp_path, fault) as one:

        async def client() -> None:
            raw = await one.proxy.raw()
            for turn in range(count):
                stream = b"true" if turn % 2 else b"false"
                body = b'{"model":"m","messages":[],"stream":' + stream + b"}"
                raw.send(request("POST", "/v1/chat/completions", body))
                assert_good(CHAT, await raw.answer(), stream=turn % 2 == 1)
            raw.close()

        await asyncio.gather(*(client() for _ in range(clients)))

        assert len(await one.seen()) == clients * count, "each request was carried out once"
        assert one.tried() == one.tried(outcome="ok") == clients * count
        assert one.failures() == 0


async def test_a_stale_connection_is_no_failure_even_where_connections_are_few(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "ok_then_rst_next", providers__p0__max_connections=2) as one:
        for _ in range(10):
            answers = await asyncio.gather(*(CHAT.ask(one.proxy) for _ in range(8)))
            for answer in answers:
                assert_good(CHAT, answer)

        assert len(await one.seen()) == 80
        assert one.tried() == one.tried(outcome="ok") == 80


async def test_the_second_hang_up_in_a_row_is_a_failure(sim: Simulator, tmp_path: Path) -> None:
    seen: list[str] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fresh = not seen
        while True:
            await read_request(reader)
            seen.append("fresh" if fresh else "hung up")
            if not fresh:
                return
            writer.write(GOOD)
            fresh = False

    async with (
        scripted(script) as url,
        serving(fleet((url, "a"), (sim.url, "sim-n2")), tmp_path) as proxy,
    ):
        assert (await CHAT.ask(proxy)).json["choices"][0]["message"]["content"] == "good"
        assert_good(CHAT, await CHAT.ask(proxy))

        assert seen == ["fresh", "hung up", "hung up"]
        assert tried(proxy, 0, outcome="switch", reason="connect") == 1
        assert tried(proxy, 1, outcome="ok") == 1


async def test_a_reused_connection_that_breaks_within_its_answer_is_not_stale(
    sim: Simulator, tmp_path: Path
) -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(GOOD)
        await read_request(reader)
        seen.append(b"second")
        writer.write(GOOD[:20])

    async with (
        scripted(script) as url,
        serving(fleet((url, "a"), (sim.url, "sim-n2")), tmp_path) as proxy,
    ):
        await CHAT.ask(proxy)
        assert_good(CHAT, await CHAT.ask(proxy))

        # The provider may have done the work: it is not asked the same again behind the plan's back.
        assert seen == [b"second"]
        assert tried(proxy, 0, outcome="switch") == 1


# A9: a fresh connection closed before the response head


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_when_every_provider_hangs_up_its_answer_is_unusable(
    sim: Simulator, tmp_path: Path, dialect: str, stream: bool
) -> None:
    async with row(sim, tmp_path, "close_now") as one:
        answer = await DIALECTS[dialect].ask(one.proxy, stream=stream)

        assert_error(DIALECTS[dialect], answer, "up_spent")
        assert len(await one.seen()) == 3
        assert one.failures() == 3


async def test_a_provider_that_hangs_up_is_left_for_another(sim: Simulator, tmp_path: Path) -> None:
    async with row(sim, tmp_path, "close_now", "", health__max_errors=2, **SLOWLY_BACK) as one:
        for _ in range(6):
            assert_good(CHAT, await CHAT.ask(one.proxy))

        assert len(await one.seen(0)) == 2
        assert len(await one.seen(1)) == 6


async def test_a_provider_that_hangs_up_before_reading_is_left_for_another(
    sim: Simulator, tmp_path: Path
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with (
        scripted(script) as url,
        serving(fleet((url, "a"), (sim.url, "sim-n2"), **SLOWLY_BACK), tmp_path) as proxy,
    ):
        for _ in range(8):
            assert_good(CHAT, await CHAT.ask(proxy))

        assert tried(proxy, 0) == tried(proxy, 0, reason="connect") == 5
        assert tried(proxy, 1, outcome="ok") == 8


async def test_a_provider_that_is_back_is_used_again(tmp_path: Path) -> None:
    alive = False

    def reply(head: bytes, body: bytes) -> bytes:
        return GOOD if alive else b""

    health = {"open_base": 0.02, "recover_after": 1, "max_errors": 1}
    async with (
        scripted(replying(reply)) as url,
        serving(fleet((url, "a"), health=health), tmp_path) as proxy,
    ):
        assert (await CHAT.ask(proxy)).status == 502
        alive = True
        async with asyncio.timeout(5):
            while (await CHAT.ask(proxy)).status != 200:
                await asyncio.sleep(0)
        assert_good(CHAT, await CHAT.ask(proxy))
