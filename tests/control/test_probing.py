"""Who is checked, when, how many at once, and what is made of the answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import pytest

from proxy.control.leading import Leading, Word, digest
from proxy.control.probing import AT_ONCE, PATIENCE, Prober
from proxy.core.clock import Hands, monotonic
from proxy.core.errors import Cause
from proxy.core.metrics import Metrics
from proxy.core.model import Credential, Deployment, Health, Model, Price, Provider, Snapshot
from proxy.core.secret import Secret
from proxy.core.surfaces import DIALECTS
from proxy.limits.board import Board
from proxy.state.checks import Check
from proxy.state.health import CLOSED, HALF_OPEN, NO_PROBE, OPEN
from proxy.state.live import DeploymentState, Live
from proxy.state.rests import Refusal
from proxy.state.sharing import Sharing
from proxy.state.state import State
from proxy.store import postgres  # noqa: F401 - imported here, where it blocks no loop
from proxy.store.opening import open_store
from proxy.upstream.pool import UpstreamPool
from tests.gateway.served import whole
from tests.line.harness import read_request, scripted, until

LIST = whole(b'{"object":"list","data":[]}')
CHAT = {"openai.chat": DIALECTS["openai.chat"]}


class Site:
    """Providers, all at one scripted server, and the prober that asks them."""

    def __init__(self) -> None:
        self.answer = LIST
        self.requests: list[str] = []
        """`GET /p/v1/models`, with the credential behind it."""
        self.bodies: list[bytes] = []
        self.now = self.most = 0
        self.go = asyncio.Event()
        self.go.set()
        self.pool = UpstreamPool()
        self.url = ""
        self.state: State
        self.prober: Prober

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await read_request(reader)
            line = head.decode().partition(" HTTP/1.1")[0]
            found = re.search(r"(?i)\r\nauthorization: Bearer (\S+)", head.decode())
            self.requests.append(f"{line} {found[1] if found else '-'}")
            self.bodies.append(body)
            self.now += 1
            self.most = max(self.most, self.now)
            await self.go.wait()
            self.now -= 1
            writer.write(self.answer)

    def serve(self, *deployments: Deployment, **health: Any) -> None:
        models = {one.id: Model(one.id, ((one,),)) for one in deployments}
        providers = {one.provider.name: one.provider for one in deployments}
        served = Snapshot(models=models, providers=providers, health=Health(**health))
        self.state = State(served, Live(served), Metrics())
        self.state.metrics.allow(models, providers, [one.id for one in deployments])
        self.prober = Prober(self.state, self.pool)
        self.prober.tick(monotonic())

    def provider(self, name: str = "p", keys: int = 1, dialects: Any = None) -> Provider:
        found = tuple(Credential(f"{name}#{at}", Secret(f"key-{at}")) for at in range(keys))
        url = f"{self.url}/{name}"
        return Provider(name, url, dialects or CHAT, found, allow_private=True)

    def deployment(
        self, name: str = "d", provider: Provider | None = None, **more: Any
    ) -> Deployment:
        return Deployment(name, provider or self.provider(), "up", **more)

    def at(self, name: str = "d") -> DeploymentState:
        return self.state.live.deployments[name]

    async def tick(self, hands: Hands, seconds: float = 0.0) -> None:
        """Let time pass, then everything that is begun by it end."""
        hands.advance(seconds)
        if self.prober.due <= hands.monotonic():
            self.prober.tick(hands.monotonic())
        await until(lambda: not self.prober._running)

    def counted(self, outcome: str) -> float:
        children = self.state.metrics.health_checks.children()
        return sum(one.value for (_, kind), one in children.items() if kind == outcome)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    one = Site()
    async with scripted(one) as one.url:
        yield one
        one.prober.close()
        await one.pool.close()


def trip(state: DeploymentState, at: float, rng: Any) -> None:
    for _ in range(5):
        state.bad(at, 1.0, NO_PROBE, rng)


async def test_who_is_asked_by_clients_is_not_checked(site: Site, hands: Hands) -> None:
    site.serve(site.deployment())

    for _ in range(30):
        site.at().last_used = hands.monotonic()
        await site.tick(hands, 30.0)

    assert site.requests == []


async def test_who_is_idle_is_checked_once_in_a_while(site: Site, hands: Hands) -> None:
    site.serve(site.deployment(), interval=300.0)
    times = []

    for second in range(1000):
        count = len(site.requests)
        await site.tick(hands, 1.0)
        if len(site.requests) > count:
            times.append(second)

    assert site.requests == ["GET /p/v1/models key-0"] * 3
    assert all(300 <= late - early <= 340 for early, late in pairwise(times))
    assert (site.at().checked, site.at().phase) == (Check.OK, CLOSED)
    assert site.counted("ok") == 3


async def test_who_is_out_is_checked_every_half_minute_and_comes_back(
    site: Site, hands: Hands
) -> None:
    site.serve(site.deployment(), open_base=1)
    trip(site.at(), hands.monotonic(), site.state.rng)
    times = []

    for second in range(120):
        count = len(site.requests)
        await site.tick(hands, 1.0)
        if len(site.requests) > count:
            times.append(second)
        if site.at().phase == CLOSED:
            break

    assert len(times) == 2
    assert 24 <= times[0] <= 36
    assert 24 <= times[1] - times[0] <= 37


async def test_a_check_waits_for_the_end_of_the_timer(site: Site, hands: Hands) -> None:
    site.serve(site.deployment())
    site.at().phase, site.at().until = OPEN, hands.monotonic() + 100.0

    await site.tick(hands, 90.0)
    assert site.requests == []

    await site.tick(hands, 11.0)
    assert (len(site.requests), site.at().phase) == (1, HALF_OPEN)


async def test_while_a_check_is_out_no_request_is_a_probe(site: Site, hands: Hands) -> None:
    site.serve(site.deployment())
    trip(site.at(), hands.monotonic(), site.state.rng)
    site.go.clear()
    hands.advance(40.0)
    site.prober.tick(hands.monotonic())
    await until(lambda: site.now == 1)

    assert not site.at().take_probe(hands.monotonic())

    site.go.set()
    await until(lambda: site.at().passes == 1)
    assert site.at().take_probe(hands.monotonic())


async def test_while_a_request_is_the_probe_nobody_checks(site: Site, hands: Hands) -> None:
    site.serve(site.deployment())
    trip(site.at(), hands.monotonic(), site.state.rng)
    site.at().take_probe()

    await site.tick(hands, 60.0)

    assert site.requests == []


async def test_a_check_that_fails_opens_anew_and_for_longer(site: Site, hands: Hands) -> None:
    site.answer = whole(b"{}", 500)
    site.serve(site.deployment())
    trip(site.at(), hands.monotonic(), site.state.rng)

    await site.tick(hands, 40.0)

    assert site.at().phase == OPEN
    assert 1.6 <= site.at().until - hands.monotonic() <= 2.4
    assert site.counted("failed") == 1


async def test_a_rate_limit_fails_a_probe_and_says_nothing_else(site: Site, hands: Hands) -> None:
    site.answer = whole(b"{}", 429)
    site.serve(site.deployment("d"), site.deployment("e"), interval=30.0)
    trip(site.at("d"), hands.monotonic(), site.state.rng)

    await site.tick(hands, 40.0)

    assert site.at("d").until > hands.monotonic()
    assert (site.at("e").phase, site.at("e").streak) == (CLOSED, 0.0)


@pytest.mark.parametrize("status", [401, 403, 404, 501])
async def test_what_says_nothing_of_completions_leaves_everything_as_it_was(
    status: int, site: Site, hands: Hands
) -> None:
    site.answer = whole(b"{}", status)
    site.serve(site.deployment())
    trip(site.at(), hands.monotonic(), site.state.rng)

    await site.tick(hands, 40.0)

    assert (site.at().phase, site.at().until, site.at().passes) == (HALF_OPEN, 0.0, 0)
    assert site.state.live.accounts["p#0"].state("up").until == 0.0


async def test_idle_and_dead_is_found_out_without_a_client(site: Site, hands: Hands) -> None:
    site.answer = whole(b"{}", 503)
    site.serve(site.deployment(), interval=300.0)
    await site.tick(hands, 340.0)
    await site.tick(hands, 40.0)
    assert site.at().streak >= 1.0

    for _ in range(5):
        await site.tick(hands, 40.0)

    assert site.at().phase == OPEN


async def test_a_list_of_models_does_not_undo_failures_of_requests(
    site: Site, hands: Hands
) -> None:
    site.serve(site.deployment())
    for _ in range(4):
        site.at().bad(hands.monotonic(), 1.0, NO_PROBE, site.state.rng)

    await site.tick(hands, 40.0)

    assert (len(site.requests), site.at().streak) == (1, 4.0)


async def test_one_question_stands_for_all_of_a_provider(site: Site, hands: Hands) -> None:
    p, q = site.provider("p"), site.provider("q")
    some = [site.deployment(f"p{at}", p) for at in range(3)] + [site.deployment("q", q)]
    site.serve(*some, interval=30.0)

    await site.tick(hands, 60.0)

    assert sorted(site.requests) == ["GET /p/v1/models key-0", "GET /q/v1/models key-0"]
    assert {site.at(one.id).checked for one in some} == {Check.OK}
    assert site.counted("ok") == 4


async def test_an_outage_of_a_host_has_one_check(site: Site, hands: Hands) -> None:
    some = [Deployment(f"d{at}", site.provider(f"p{at}"), f"up{at}") for at in range(3)]
    site.serve(*some)
    for one in some:
        trip(site.at(one.id), hands.monotonic(), site.state.rng)
    assert all(site.at(one.id).outage for one in some)

    await site.tick(hands, 40.0)

    assert len(site.requests) == 1


async def test_no_more_than_four_at_once(site: Site, hands: Hands) -> None:
    some = [site.deployment(f"d{at}", site.provider(f"p{at}")) for at in range(9)]
    site.serve(*some, interval=30.0)
    site.go.clear()
    hands.advance(60.0)

    for _ in range(3):
        site.prober.tick(hands.monotonic())
    await until(lambda: site.now == AT_ONCE)
    assert len(site.requests) == AT_ONCE

    site.go.set()
    for _ in range(3):
        await site.tick(hands)
    assert (len(site.requests), site.most) == (9, AT_ONCE)


async def test_masked_and_dear_ones_are_not_asked(site: Site, hands: Hands) -> None:
    dear = Price(output=75.0)
    site.serve(
        site.deployment("masked", site.provider("a"), health_check="masked"),
        site.deployment("off", site.provider("b"), health_check="off"),
        site.deployment("dear", site.provider("c"), price=dear),
        site.deployment("on", site.provider("d"), price=dear, health_check="on"),
        mask_above=50.0,
        interval=30.0,
    )
    trip(site.at("masked"), hands.monotonic(), site.state.rng)

    for _ in range(5):
        await site.tick(hands, 60.0)

    assert set(site.requests) == {"GET /d/v1/models key-0"}
    assert site.at("masked").phase == OPEN


async def test_nobody_is_asked_where_it_is_switched_off(site: Site, hands: Hands) -> None:
    for settings in ({"probe": "off"}, {"enabled": False}):
        site.serve(site.deployment(), interval=30.0, **settings)
        for _ in range(5):
            await site.tick(hands, 60.0)

    assert site.requests == []


async def test_credentials_are_used_in_turn_but_for_those_that_rest(
    site: Site, hands: Hands
) -> None:
    site.serve(site.deployment(provider=site.provider(keys=3)), interval=30.0)
    resting = site.state.live.accounts["p#1"].state("up")
    resting.cool(Refusal(Cause.QUOTA, hands.monotonic()), hands.monotonic() + 1.0, site.state.rng)

    for _ in range(4):
        await site.tick(hands, 60.0)

    assert [one.rpartition(" ")[2] for one in site.requests] == ["key-0", "key-2"] * 2


async def test_with_all_of_them_resting_nobody_is_asked(site: Site, hands: Hands) -> None:
    site.serve(site.deployment(), interval=30.0)
    held = site.state.live.accounts["p#0"].state("up")
    held.cool(Refusal(Cause.QUOTA, hands.monotonic()), hands.monotonic() + 1.0, site.state.rng)

    await site.tick(hands, 60.0)

    assert site.requests == []


async def test_a_completion_is_asked_of_each_deployment_and_proves_it(
    site: Site, hands: Hands
) -> None:
    provider = site.provider()
    some = [Deployment(f"d{at}", provider, f"up{at}") for at in range(2)]
    site.serve(*some, probe="completion", interval=30.0)
    site.at("d0").bad(hands.monotonic(), 1.0, NO_PROBE, site.state.rng)

    await site.tick(hands, 60.0)

    assert site.requests == ["POST /p/v1/chat/completions key-0"] * 2
    assert sorted(re.findall(rb'"model":"(\w+)"', b"".join(site.bodies))) == [b"up0", b"up1"]
    assert site.at("d0").streak == 0.0


@pytest.mark.parametrize(("status", "rest"), [(401, 300.0), (403, 300.0), (402, 600.0)])
async def test_a_completion_that_is_refused_rests_the_credential(
    status: int, rest: float, site: Site, hands: Hands
) -> None:
    site.answer = whole(b"{}", status)
    site.serve(site.deployment(), probe="completion", interval=30.0)

    await site.tick(hands, 60.0)

    assert site.state.live.accounts["p#0"].state("up").remaining(hands.monotonic()) == rest
    assert site.at().phase == CLOSED


async def test_what_cannot_be_asked_is_said_so(site: Site, hands: Hands) -> None:
    provider = site.provider(dialects={"bedrock.converse": "/model"})
    site.serve(site.deployment(provider=provider), interval=30.0)

    await site.tick(hands, 60.0)

    assert (site.requests, site.at().checked) == ([], Check.UNKNOWN)


async def test_a_new_configuration_is_followed(site: Site, hands: Hands) -> None:
    site.serve(site.deployment(), interval=30.0)
    new = site.deployment("new", site.provider("n"))
    served = Snapshot(
        models={"new": Model("new", ((new,),))},
        providers={"n": new.provider},
        health=Health(interval=30.0),
    )
    site.state.use(served)

    for _ in range(3):
        await site.tick(hands, 60.0)

    assert set(site.requests) == {"GET /n/v1/models key-0"}


async def test_what_waits_is_forgotten_with_its_configuration(site: Site, hands: Hands) -> None:
    some = [site.deployment(f"d{at}", site.provider(f"p{at}")) for at in range(9)]
    site.serve(*some, interval=30.0)
    site.go.clear()
    hands.advance(60.0)
    site.prober.tick(hands.monotonic())
    await until(lambda: site.now == AT_ONCE)

    site.state.use(Snapshot(health=Health(interval=30.0)))
    site.go.set()
    for _ in range(3):
        await site.tick(hands, 60.0)

    assert len(site.requests) == AT_ONCE


async def test_a_refusal_is_told_once(
    site: Site, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    site.answer = whole(b"{}", 403)
    site.serve(site.deployment(), interval=30.0)

    for _ in range(3):
        await site.tick(hands, 60.0)

    assert len(site.requests) == 3
    assert caplog.text.count("provider p refused a health check: 403") == 1
    assert "key-0" not in caplog.text


async def test_a_check_that_is_given_up_leaves_no_probe_out(site: Site, hands: Hands) -> None:
    site.serve(site.deployment())
    trip(site.at(), hands.monotonic(), site.state.rng)
    site.go.clear()
    hands.advance(40.0)
    site.prober.tick(hands.monotonic())
    await until(lambda: site.now == 1)

    site.prober.close()
    await until(lambda: not site.prober._running)

    assert (site.at().phase, site.at().until) == (HALF_OPEN, 0.0)


@pytest.fixture
def board() -> Iterator[Board]:
    one = Board.make()
    yield one
    one.close()


async def test_another_worker_has_taken_the_probe(site: Site, hands: Hands, board: Board) -> None:
    site.serve(site.deployment())
    served = site.state.live.snapshot
    assert served is not None
    mine, other = (Live(served, Sharing(board.sit(seat))) for seat in range(2))
    site.state.live = mine
    trip(mine.deployments["d"], hands.monotonic(), site.state.rng)
    assert other.deployments["d"].take_probe(hands.monotonic() + 39.0)

    await site.tick(hands, 40.0)

    assert site.requests == []


# --- several hosts ---


def follower(site: Site) -> Prober:
    """A prober of a host that does not lead: its contest never began."""
    leading = Leading(open_store("postgresql://nobody@127.0.0.1:1/none"))
    site.prober = Prober(site.state, site.pool, leading)
    site.prober.tick(monotonic())
    return site.prober


async def test_a_host_that_does_not_lead_waits_for_the_one_that_does(
    site: Site, hands: Hands
) -> None:
    site.serve(site.deployment(), interval=100)
    prober = follower(site)
    state = site.at()

    for _ in range(6):  # the leader looks, and says so
        await site.tick(hands, 99)
        prober.leading.hear(Word((digest(state), "of another"), doubt=False))
    assert not site.requests

    for _ in range(3):  # it does not any more
        await site.tick(hands, 99)
    await site.tick(hands, 5)
    await site.tick(hands, 30)
    assert len(site.requests) == 1


async def test_a_host_that_does_not_lead_looks_at_what_is_in_trouble_here(
    site: Site, hands: Hands
) -> None:
    site.serve(site.deployment(), interval=100)
    follower(site)
    trip(site.at(), hands.monotonic(), site.state.rng)

    for _ in range(4):
        await site.tick(hands, 30)

    assert site.requests


async def test_what_did_not_answer_the_leader_is_looked_at_from_here_at_once(
    site: Site, hands: Hands
) -> None:
    site.serve(site.deployment(), site.deployment("used"), interval=100)
    prober = follower(site)
    hands.advance(200)
    site.at("used").last_used = hands.monotonic()

    prober.leading.hear(Word((digest(site.at()), digest(site.at("used"))), doubt=True))
    await site.tick(hands, PATIENCE)

    assert len(site.requests) == 1
    # It answers here, so nothing is taken out.
    assert site.at().phase == CLOSED
    assert site.at("used").checked_at < 0 < site.at().checked_at
    await site.tick(hands, 30)
    assert len(site.requests) == 1
