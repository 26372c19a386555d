"""Names that lead nowhere, certificates nobody should trust, full pools, moved and half-dead hosts (fault rows A1, A2, A4
to A6, A8, A11, A12)."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp.connector
import pytest
import yaml

from proxy import commands
from proxy.core.clock import Hands
from proxy.core.model import Timeouts
from proxy.gateway import attempt
from proxy.upstream import names, slots
from proxy.upstream.names import NEGATIVE
from proxy.upstream.pool import DNS_TTL, MAX_AGE
from tests.line.asking import CHAT, DIALECTS, GOOD, assert_error, assert_good, fleet, replying
from tests.line.harness import (
    Proxy,
    Script,
    Simulator,
    read_request,
    scripted,
    serving,
    until,
)
from tests.upstream.certificates import BAD, Authority
from tests.upstream.places import exchange, secured, upstream

NAME = "provider.example"
SLOWLY_BACK = {"health__open_base": 20}


def tried(proxy: Proxy, member: int, **labels: str) -> float:
    target = f"m/{member}:p{member}"
    return proxy.metric("headrace_upstream_attempts_total", target=target, **labels)


class Names:
    """Stands where the system's resolver is: what it says of NAME. Other names are as ever."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.hangs = False
        self.open = threading.Event()
        self.asked: Counter[str] = Counter()
        self._system = socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *rest: Any, **how: Any) -> list[Any]:
        if host != NAME:
            return list(self._system(host, port, *rest, **how))
        self.asked[host] += 1
        if self.hangs:
            self.open.wait(10)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, 0, 0, 0))
            if ":" in one
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 0))
            for one in self.addresses
        ]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    stand_in = Names()
    monkeypatch.setattr(socket, "getaddrinfo", stand_in)
    yield stand_in
    stand_in.open.set()


# A1: the name does not exist


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_name_that_does_not_exist_is_asked_once_and_no_deployment_is_healthy(
    resolver: Names, tmp_path: Path, dialect: str
) -> None:
    url = f"http://{NAME}:1"
    async with serving(fleet((url, "a"), (url, "b")), tmp_path) as proxy:
        for _ in range(3):
            assert_error(DIALECTS[dialect], await DIALECTS[dialect].ask(proxy), "no_up")

        assert tried(proxy, 0, reason="connect") >= 3
        assert resolver.asked[NAME] == 1


async def test_a_name_that_does_not_exist_costs_no_retry_token(
    sim: Simulator, resolver: Names, tmp_path: Path
) -> None:
    content = fleet((f"http://{NAME}:1", "a"), (sim.url, "sim-n2"), health__enabled=False)
    async with serving(content, tmp_path) as proxy:
        budget = proxy.worker.state.live.budgets["m"].level
        for _ in range(10):
            assert_good(CHAT, await CHAT.ask(proxy))

        assert tried(proxy, 0) == tried(proxy, 0, reason="connect") == 10
        assert proxy.worker.state.live.budgets["m"].level >= budget
        assert resolver.asked[NAME] == 1


async def test_a_name_that_exists_again_is_found_when_the_failure_is_forgotten(
    resolver: Names, tmp_path: Path, hands: Hands
) -> None:
    async with scripted(replying(lambda _head, _body: GOOD)) as url:
        port = url.rpartition(":")[2]
        content = fleet((f"http://{NAME}:{port}", "a"), health__enabled=False)
        async with serving(content, tmp_path) as proxy:
            assert (await CHAT.ask(proxy)).status == 503
            resolver.addresses = ["127.0.0.1"]
            assert (await CHAT.ask(proxy)).status == 503

            hands.advance(NEGATIVE)
            assert_good(CHAT, await CHAT.ask(proxy))
            assert resolver.asked[NAME] == 2


# A2: the resolver hangs


async def test_a_silent_resolver_moves_the_request_to_another_deployment(
    sim: Simulator, resolver: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "PATIENCE", 0.05)
    resolver.hangs = True
    content = fleet((f"http://{NAME}:1", "a"), (sim.url, "sim-n2"), health__enabled=False)
    content["defaults"]["timeouts"] = {"connect": 60}
    async with serving(content, tmp_path) as proxy, asyncio.timeout(5):
        for answer in await asyncio.gather(*(CHAT.ask(proxy) for _ in range(20))):
            assert_good(CHAT, answer)
        assert_good(CHAT, await CHAT.ask(proxy))

        assert tried(proxy, 0, reason="timeout_connect") == 21
        assert resolver.asked[NAME] == 1, "one thread hangs, whoever asks"
        # What else is done in threads goes on: this one is the loop's.
        await asyncio.to_thread(lambda: None)


def test_a_resolver_is_given_two_of_the_five_seconds() -> None:
    assert (names.PATIENCE, names.THREADS) == (2.0, 8)
    assert Timeouts().connect > names.PATIENCE


# A4: what the limits are


def test_a_connection_is_waited_for_five_seconds_or_two() -> None:
    assert attempt.CONNECT_WITH_ALTERNATIVES == 2.0
    assert Timeouts().connect == 5.0


async def test_the_limits_that_hold_are_those(sim: Simulator, tmp_path: Path) -> None:
    async with serving(fleet((sim.url, "a"), (sim.url, "b")), tmp_path) as proxy:
        model = proxy.worker.state.snapshot.models["m"]
        deployments = [one for tier in model.tiers for one in tier]
        assert {one.timeouts.connect for one in deployments} == {5.0}


# A5: certificates


@pytest.fixture
def trusted(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> tuple[Authority, Authority]:
    """An authority that this machine trusts, and one that it does not."""
    ours = Authority(tmp_path_factory.mktemp("ours"))
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", ours.trusted())
    return ours, Authority(tmp_path_factory.mktemp("theirs"), "Another authority")


@asynccontextmanager
async def behind_tls(context: ssl.SSLContext) -> AsyncIterator[tuple[str, list[bytes]]]:
    """(URL, the requests that came) of a provider that would answer."""
    heard: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            heard.append(head)
            writer.write(GOOD)

    async with secured(script, context) as url:
        yield url, heard


async def test_a_good_certificate_is_accepted(
    trusted: tuple[Authority, Authority], tmp_path: Path
) -> None:
    async with (
        behind_tls(trusted[0].server()) as (url, heard),
        serving(fleet((url, "a")), tmp_path) as proxy,
    ):
        assert_good(CHAT, await CHAT.ask(proxy))
        assert len(heard) == 1


@pytest.mark.parametrize("fault", BAD)
async def test_a_bad_certificate_gets_nothing_and_another_deployment_serves(
    sim: Simulator,
    trusted: tuple[Authority, Authority],
    tmp_path: Path,
    fault: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make, reason = BAD[fault]
    async with behind_tls(make(*trusted)) as (url, heard):
        content = fleet((url, "a"), (sim.url, "sim-n2"), health__max_errors=3, **SLOWLY_BACK)
        async with serving(content, tmp_path) as proxy:
            with caplog.at_level(logging.WARNING, "headrace"):
                for _ in range(6):
                    assert_good(CHAT, await CHAT.ask(proxy))

            assert heard == []
            assert tried(proxy, 0) == tried(proxy, 0, reason="tls") == 3
    told = [one.getMessage() for one in caplog.records if "no TLS" in one.getMessage()]
    assert len(told) == 1, "one line, however many requests"
    assert reason in told[0]
    assert "BEGIN" not in told[0]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_when_no_certificate_is_good_the_provider_is_unusable(
    trusted: tuple[Authority, Authority], tmp_path: Path, dialect: str
) -> None:
    async with behind_tls(trusted[1].server()) as (url, heard):
        async with serving(fleet((url, "a"), (url, "b")), tmp_path) as proxy:
            answer = await DIALECTS[dialect].ask(proxy)

            assert_error(DIALECTS[dialect], answer, "bad_up")
        assert heard == []


async def test_not_checking_is_possible_for_one_provider(
    trusted: tuple[Authority, Authority], tmp_path: Path
) -> None:
    async with behind_tls(trusted[1].server()) as (url, heard):
        content = fleet((url, "a"), providers__p0__verify_tls=False)
        async with serving(content, tmp_path) as proxy:
            assert_good(CHAT, await CHAT.ask(proxy))
        assert len(heard) == 1


def test_not_checking_is_said_at_each_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "headrace.yaml"
    content = fleet(("https://provider.example", "a"), providers__p0__verify_tls=False)
    path.write_text(yaml.safe_dump(content))

    commands.read(path)

    said = capsys.readouterr().err
    assert "providers.p0.verify_tls: certificates are not checked" in said


# A6: no TLS where TLS should be


async def stalls(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def speaks_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    await reader.read()


@pytest.mark.parametrize(
    ("script", "reason"), [(stalls, "timeout_connect"), (speaks_plainly, "tls")]
)
async def test_a_handshake_of_tls_that_fails_moves_the_request_to_another_deployment(
    sim: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: Script,
    reason: str,
) -> None:
    monkeypatch.setattr(attempt, "CONNECT_WITH_ALTERNATIVES", 0.1)
    async with scripted(script) as url:
        content = fleet((url.replace("http", "https"), "a"), (sim.url, "sim-n2"), **SLOWLY_BACK)
        async with serving(content, tmp_path) as proxy:
            assert_good(CHAT, await CHAT.ask(proxy))

            assert tried(proxy, 0) == tried(proxy, 0, reason=reason) == 1


# A8: no connection is free


@asynccontextmanager
async def holding() -> AsyncIterator[tuple[str, Callable[[], int], asyncio.Event]]:
    """(URL, requests under way, what lets them go) of a provider that keeps everybody waiting."""
    go = asyncio.Event()
    inside = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal inside
        while True:
            await read_request(reader)
            inside += 1
            await go.wait()
            inside -= 1
            writer.write(GOOD)

    async with scripted(script) as url:
        yield url, lambda: inside, go


async def test_where_no_connection_becomes_free_requests_are_shed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "LONGEST", 0.1)
    async with (
        holding() as (url, inside, go),
        serving(fleet((url, "a"), providers__p0__max_connections=2), tmp_path) as proxy,
    ):
        asked = [asyncio.ensure_future(CHAT.ask(proxy)) for _ in range(200)]
        await until(lambda: sum(one.done() for one in asked) == 198)
        assert inside() == 2
        go.set()
        answers = await asyncio.gather(*asked)

        served = [one for one in answers if one.status == 200]
        assert len(served) == 2
        for answer in answers:
            if answer.status != 200:
                assert_error(CHAT, answer, "shed")
                assert answer.headers["retry-after"]
        state = proxy.worker.state.live.deployments["m/0:p0"]
        assert (state.streak, state.inflight) == (0, 0), "it is not the provider's fault"
        assert_good(CHAT, await CHAT.ask(proxy))


async def test_where_no_connection_is_free_another_deployment_serves(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "LONGEST", 0.05)
    async with holding() as (url, inside, go):
        content = fleet((url, "a"), (sim.url, "sim-n2"))
        content["providers"]["p0"]["max_connections"] = 2
        async with serving(content, tmp_path) as proxy:
            asked = [asyncio.ensure_future(CHAT.ask(proxy)) for _ in range(20)]
            await until(lambda: sum(one.done() for one in asked) == 18)
            assert inside() == 2
            go.set()
            for answer in await asyncio.gather(*asked):
                assert_good(CHAT, answer)

            assert tried(proxy, 0, reason="pool") == 18


def test_a_place_is_waited_for_two_seconds() -> None:
    assert slots.LONGEST == 2.0


# A11: the provider moves


async def test_a_provider_that_moves_is_followed_though_its_old_connections_work(
    resolver: Names, hands: Hands
) -> None:
    def place(host: str, port: int, visits: list[str]) -> Any:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    await read_request(reader)
                    visits.append(host)
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
            except (ConnectionError, asyncio.IncompleteReadError):
                writer.close()

        return asyncio.start_server(connected, host, port)

    visits: list[str] = []
    old = await place("127.0.0.1", 0, visits)
    port = old.sockets[0].getsockname()[1]
    new = await place("127.0.0.2", port, visits)
    resolver.addresses = ["127.0.0.1"]
    async with upstream(f"http://{NAME}:{port}") as one:
        await exchange(one)
        resolver.addresses = ["127.0.0.2"]
        hands.advance(MAX_AGE - 1)
        one.drop_old()
        await exchange(one)
        assert visits == ["127.0.0.1"] * 2, "a connection is used while it is young"

        one._connector._cached_hosts._timestamps.clear()  # as DNS_TTL seconds later
        one._connector._cached_hosts._addrs_rr.clear()
        hands.advance(1)
        one.drop_old()
        await exchange(one)

        assert visits[2:] == ["127.0.0.2"]
        assert one._connector._cached_hosts._ttl == DNS_TTL == 60
    for server in (old, new):
        server.close()


# A12: a host whose IPv6 is dead


@pytest.fixture
def dead_six() -> Iterator[int]:
    """A port where nobody on ::1 answers a SYN."""
    try:
        six = socket.socket(socket.AF_INET6)
        six.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    six.listen(0)
    port: int = six.getsockname()[1]
    callers = [socket.socket(socket.AF_INET6) for _ in range(4)]
    for caller in callers:
        caller.setblocking(False)
        caller.connect_ex(("::1", port))
    yield port
    for one in (*callers, six):
        one.close()


async def test_a_dead_address_of_one_family_costs_a_quarter_of_a_second_and_nothing_else(
    resolver: Names, dead_six: int, tmp_path: Path
) -> None:
    heard: list[float] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_request(reader)
            heard.append(monotonic())
            writer.write(GOOD)
            await reader.read()
        finally:
            writer.close()

    resolver.addresses = ["::1", "127.0.0.1"]
    server = await asyncio.start_server(connected, "127.0.0.1", dead_six)
    content = fleet((f"http://{NAME}:{dead_six}", "a"))
    content["defaults"]["timeouts"] = {"connect": 30}
    async with serving(content, tmp_path) as proxy, asyncio.timeout(5):  # 30 s, were it waited for
        assert_good(CHAT, await CHAT.ask(proxy))

        assert tried(proxy, 0) == tried(proxy, 0, outcome="ok") == 1
        assert proxy.worker.state.live.deployments["m/0:p0"].streak == 0
        upstreams = proxy.worker.pool.upstreams()
        assert [one._connector._happy_eyeballs_delay for one in upstreams] == [0.25]
    assert len(heard) == 1
    server.close()
