"""Deployments are asked one after another until one answers, and each gives back what it took."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.model import Retry, Snapshot
from proxy.gateway import routing
from proxy.gateway.attempt import CUT, Attempt, End
from proxy.gateway.attempts import ended, first_answer
from proxy.gateway.event_relay import EventRelay
from proxy.gateway.meter import Meter
from proxy.gateway.plan import Plan
from proxy.state.state import State
from proxy.upstream.pool import UpstreamPool
from tests.gateway.asked import CHAT, exchange, provider, raw, snapshot, state
from tests.gateway.rig import Client
from tests.gateway.served import CHUNK, COMPLETION, STREAM, Provider, chunk, silent, whole
from tests.line.harness import free_port, read_request, scripted, until

BODY = b'{"model":"m","messages":[]}'
STREAMING = b'{"model":"m","messages":[],"stream":true}'


class Request:
    """One request and the plan for it."""

    def __init__(self, settings: Snapshot, body: bytes = BODY, worker: State | None = None) -> None:
        self.state = worker or state(settings)
        self.exchange = exchange(raw("POST", CHAT, body))
        self.plan: Plan = routing.plan(
            settings, self.state.live, "m", None, "openai.chat", random.Random(1)
        )
        self.meter = Meter(self.exchange, self.state)
        self.pool = UpstreamPool()

    async def answer(self) -> Attempt:
        return await first_answer(self.exchange, self.plan, self.pool, self.meter)

    @property
    def inflight(self) -> int:
        live = self.state.live
        deployments = sum(one.inflight for one in live.deployments.values())
        accounts = live.accounts.values()
        return deployments + sum(
            one.inflight for account in accounts for one in account.states.values()
        )

    def attempts(self, outcome: str, reason: str = "") -> float:
        """How often an attempt at any deployment came to this."""
        family = self.state.metrics.upstream_attempts
        return sum(
            family.child("m", target, outcome, reason).value
            for target in self.state.live.deployments
        )


@asynccontextmanager
async def request(settings: Snapshot, body: bytes = BODY) -> AsyncIterator[Request]:
    one = Request(settings, body)
    try:
        yield one
    finally:
        await one.pool.close()


async def test_the_first_deployment_that_answers_is_the_answer() -> None:
    upstream = Provider(whole())
    async with scripted(upstream) as url, request(snapshot(provider(url))) as one:
        attempt = await one.answer()

        assert attempt.gate.held == COMPLETION
        assert (one.meter.attempts, one.attempts("ok")) == (1, 1)
        assert one.inflight == 2  # until its answer is over

        ended(one.plan, attempt)
        assert one.inflight == 0


async def test_one_that_fails_is_followed_by_the_next() -> None:
    async with (
        scripted(Provider(whole(b"{}", 503))) as bad,
        scripted(Provider(whole())) as good,
        request(snapshot(provider(bad), provider(good, "q"))) as one,
    ):
        attempt = await one.answer()

        assert attempt.candidate.deployment.id == "m/1:q"
        assert one.attempts("ok") == 1
        assert one.attempts("switch", "http_5xx") == 1
        ended(one.plan, attempt)
        assert one.inflight == 0


async def test_the_way_leads_past_all_that_fail() -> None:
    refused = f"http://127.0.0.1:{free_port()}"
    answers = [whole(b"{}", 500), whole(b""), whole(b"nonsense"), whole(b"{}", 401)]
    async with (
        scripted(Provider(answers[0])) as a,
        scripted(Provider(answers[1])) as b,
        scripted(Provider(answers[2])) as c,
        scripted(Provider(answers[3])) as d,
        scripted(Provider(whole())) as good,
    ):
        urls = [refused, a, b, c, d, good]
        places = [provider(url, f"p{at}") for at, url in enumerate(urls)]
        settings = snapshot(*places, retry=Retry(base=0.0, cap=0.0, max_attempts=20, budget=5.0))
        async with request(settings) as one:
            attempt = await one.answer()

            assert attempt.candidate.deployment.provider.name == "p5"
            ended(one.plan, attempt)
            assert one.inflight == 0


async def test_when_all_fail_the_last_word_is_ours() -> None:
    async with (
        scripted(Provider(whole(b"{}", 503))) as url,
        request(snapshot(provider(url), provider(url, "q"))) as one,
    ):
        with pytest.raises(ProxyError) as failed:
            await one.answer()

        assert failed.value.row.status >= 500
        assert one.attempts("final_error", "http_5xx") == 1
        assert one.inflight == 0


async def test_a_refusal_of_the_request_itself_is_nobodys_failure() -> None:
    other = Provider(whole())
    refusal = b'{"error":{"message":"no","type":"invalid_request_error"}}'
    async with (
        scripted(Provider(whole(refusal, 422))) as url,
        scripted(other) as second,
        request(snapshot(provider(url), provider(second, "q"))) as one,
    ):
        with pytest.raises(UpstreamError) as refused:
            await one.answer()

        error = refused.value
        assert (error.cause, error.status, error.body) == (Cause.CLIENT, 422, refusal)
        assert (other.requests, one.inflight) == ([], 0)


async def test_a_pause_between_two_attempts_is_no_overhead_of_ours() -> None:
    pause = random.Random(1).uniform(0.0, 0.1)  # what the plan, with the same seed, will draw
    retry = Retry(count=1, base=0.1, cap=0.1)
    async with (
        scripted(Provider(whole(b"{}", 503), whole())) as url,
        request(snapshot(provider(url), retry=retry)) as one,
    ):
        attempt = await one.answer()

        assert one.meter.attempts == 2
        assert one.attempts("retry", "http_5xx") == 1
        assert one.meter.waited >= pause
        ended(one.plan, attempt)


@pytest.mark.parametrize("body", [BODY, STREAMING], ids=["whole", "stream"])
async def test_a_client_that_leaves_gives_its_candidate_back(body: bytes) -> None:
    async with scripted(silent) as url, request(snapshot(provider(url)), body) as one:
        answering = asyncio.ensure_future(one.answer())
        await until(lambda: any(place.busy for place in one.pool.upstreams()))

        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering

        assert one.inflight == 0
        assert one.attempts("cancelled") == 1
        assert not any(place.busy for place in one.pool.upstreams())


async def test_a_client_that_leaves_during_a_pause_gives_its_candidate_back() -> None:
    retry = Retry(count=1, base=60.0, cap=60.0)
    async with (
        scripted(Provider(whole(b"{}", 503))) as url,
        request(snapshot(provider(url), retry=retry)) as one,
    ):
        answering = asyncio.ensure_future(one.answer())
        await until(lambda: one.attempts("retry", "http_5xx") == 1)

        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering

        assert one.inflight == 0


async def test_a_mistake_of_ours_gives_the_candidate_back() -> None:
    async with request(snapshot(provider(), param_defaults={"x": object()})) as one:
        with pytest.raises(TypeError):
            await one.answer()

        assert one.inflight == 0


# --- the end of an answer ---


def test_every_end_that_is_the_providers_doing_has_a_cause() -> None:
    ours = {
        End.DONE,
        End.FINISH_NO_DONE,
        End.CLIENT_DEADLINE,
        End.CLIENT_GONE,
        End.RESTART,
        End.REFUSED,
    }

    assert set(CUT) == set(End) - ours


@pytest.mark.parametrize("end", list(End))
async def test_an_answer_cut_short_counts_against_its_deployment(end: End) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + chunk(CHUNK))
        await reader.read()

    async with scripted(script) as url, request(snapshot(provider(url)), STREAMING) as one:
        attempt = await one.answer()
        deployment = attempt.candidate.state
        healthy = deployment.cost(monotonic())
        client: Client = Client()
        attempt.relay = EventRelay(one.exchange, attempt, client, 60.0)  # type: ignore[arg-type]
        attempt.relay.reason = end

        attempt.close()
        attempt.relay.reason = end
        ended(one.plan, attempt)

        assert one.inflight == 0
        assert (deployment.cost(monotonic()) > healthy + 1.0) is (end in CUT)
