"""A second attempt beside a slow first one: who wins, what becomes of the other, and when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, cast

import orjson
import pytest
from msgspec.structs import replace

from proxy.core.model import (
    Budget,
    Credential,
    Deployment,
    Health,
    Hedge,
    Limits,
    Model,
    Price,
    Provider,
    Snapshot,
)
from proxy.core.model import Ledger as Policy
from proxy.core.secret import Secret
from proxy.gateway import routing
from proxy.gateway.attempt import Attempt
from proxy.gateway.hedging import Race
from proxy.limits.accounts import Accounts, Ask
from proxy.limits.subjects import of_deployment
from proxy.state.health import HALF_OPEN
from proxy.state.live import Live
from proxy.upstream.pool import UpstreamPool
from tests.gateway.asked import CHAT, NO_PAUSE, PEPPER, exchange, provider, raw
from tests.gateway.recorded import Ledger, recording
from tests.gateway.served import CHUNK, FINISH, STREAM, Served, chunk, serving, virtual_key, whole
from tests.line.harness import read_request, scripted, until

MESSAGES: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
SOON = Hedge(after=0.03, share=1.0)
PRICE = Price(input=3.0, output=15.0)


class Source:
    """A provider that answers when it is told to, and says when it is left."""

    def __init__(self, *, open: bool = False) -> None:
        self.asked = 0
        self.left = 0
        self.go = asyncio.Event()
        self.status = 200
        if open:
            self.go.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            self.asked += 1
            going = asyncio.ensure_future(self.go.wait())
            leaving = asyncio.ensure_future(reader.read(1))
            try:
                await asyncio.wait((going, leaving), return_when=asyncio.FIRST_COMPLETED)
                if leaving.done():
                    self.left += 1
                    return
            finally:
                going.cancel()
                leaving.cancel()
            await asyncio.wait((leaving,))
            if self.status != 200:
                writer.write(whole(b'{"error":{"message":"no"}}', self.status))
                continue
            writer.write(STREAM + chunk(CHUNK) + chunk(FINISH) + b"0\r\n\r\n")


def model(*providers: Provider, hedge: Hedge | None = SOON, **fields: Any) -> Snapshot:
    """One model with these, the first one first."""
    tiers = tuple(
        (Deployment(f"m/{at}:{one.name}", one, "up", retry=NO_PAUSE, price=PRICE, **fields),)
        for at, one in enumerate(providers)
    )
    return Snapshot(
        providers={one.name: one for one in providers},
        models={"m": Model("m", tiers, retry=NO_PAUSE, hedge=hedge)},
        peppers=(PEPPER,),
    )


def ask(**fields: Any) -> bytes:
    return raw("POST", CHAT, orjson.dumps({**MESSAGES, "stream": True, **fields}))


def hedges(served: Served, outcome: str) -> float:
    return served.state.metrics.hedges.child("m", outcome).value


def suppressed(served: Served) -> dict[str, float]:
    """Why there was no second attempt, and how often."""
    family = served.state.metrics.hedges_suppressed
    reasons = ("budget", "slow", "losing", "effects", "unwell", "strict", "nobody", "limit")
    counts = {name: family.child("m", name).value for name in reasons}
    return {name: count for name, count in counts.items() if count}


def inflight(served: Served) -> int:
    live = served.state.live
    deployments = sum(abs(one.inflight) for one in live.deployments.values())
    states = [one for account in live.accounts.values() for one in account.states.values()]
    return deployments + sum(abs(one.inflight) for one in states)


async def test_an_attempt_counts_from_the_moment_it_is_begun() -> None:
    """Else a provider that is taken out of the configuration could be closed before it is asked."""
    one, pool = provider(), UpstreamPool()
    settings = model(one)
    asked = exchange(ask())
    live, dialect = Live(settings), asked.endpoint.dialect
    plan = routing.plan(settings, live, "m", None, dialect, Random(1))
    first = Attempt(asked, plan.first(0.0))
    race, upstream = Race(first, plan, pool, cast("Any", None)), pool.of(one)

    race._start(first, 5.0)

    assert upstream.attempts == 1
    race.stop()
    await upstream.quiet()
    assert upstream.attempts == 0
    await pool.close()


async def test_the_quicker_answer_is_the_answer_and_the_other_is_closed(ledger: Ledger) -> None:
    slow, quick = Source(), Source(open=True)
    async with (
        scripted(slow) as one,
        scripted(quick) as other,
        recording(model(provider(one), provider(other, "q")), ledger) as served,
    ):
        answer = await served.ask(ask())

        assert (answer.status, answer.complete, answer.text) == (200, True, "hello")
        await until(lambda: slow.left == 1)
        assert (slow.asked, quick.asked, hedges(served, "won")) == (1, 1, 1)
        end = await ledger.end()
        assert (end.outcome, end.deployment, end.provider) == ("ok", "m/1:q", "q")
        assert [(one.number, one.deployment, one.outcome) for one in end.tries] == [
            (1, "m/0:p", "hedged"),
            (2, "m/1:q", "ok"),
        ]
        assert [one.deployment for one in ledger.starts] == ["m/0:p", "m/1:q"]
        await until(lambda: not inflight(served))
        # What the slow one took is learned, and not held against it.
        state = served.state.live.deployments["m/0:p"]
        assert (state.streak, state.ewma_ttft > 0.0) == (0.0, True)


async def test_the_client_pays_for_one_and_the_books_know_of_both(ledger: Ledger) -> None:
    slow, quick = Source(), Source(open=True)
    async with (
        scripted(slow) as one,
        scripted(quick) as other,
        recording(model(provider(one), provider(other, "q")), ledger) as served,
    ):
        await served.ask(ask())
        end = await ledger.end()

        reported = 7 * 3 + 2 * 15
        loser = end.tries[0].cost
        assert (end.cost, end.tries[1].cost) == (reported, reported)
        assert loser > 0
        assert end.cost_upstream == reported + loser
        wasted = served.state.metrics.wasted_cost.child("m", "p", "hedge").value
        assert wasted == pytest.approx(loser / 1e6)


async def test_the_first_may_still_be_quicker(ledger: Ledger) -> None:
    first, second = Source(), Source()
    async with (
        scripted(first) as one,
        scripted(second) as other,
        recording(model(provider(one), provider(other, "q")), ledger) as served,
    ):
        asking = asyncio.ensure_future(served.ask(ask()))
        await until(lambda: second.asked == 1)
        first.go.set()
        answer = await asking

        assert (answer.complete, answer.text, hedges(served, "lost")) == (True, "hello", 1)
        await until(lambda: second.left == 1)
        end = await ledger.end()
        assert end.deployment == "m/0:p"
        assert [(one.deployment, one.outcome) for one in end.tries] == [
            ("m/1:q", "hedged"),
            ("m/0:p", "ok"),
        ]
        await until(lambda: not inflight(served))


async def test_a_first_that_fails_leaves_it_to_the_second() -> None:
    first, second = Source(), Source()
    first.status = 503
    async with (
        scripted(first) as one,
        scripted(second) as other,
        serving(model(provider(one), provider(other, "q"))) as served,
    ):
        asking = asyncio.ensure_future(served.ask(ask()))
        await until(lambda: second.asked == 1)
        first.go.set()
        attempts = served.state.metrics.upstream_attempts
        await until(lambda: attempts.child("m", "m/0:p", "switch", "http_5xx").value == 1)
        second.go.set()
        answer = await asking

        assert (answer.complete, answer.text) == (True, "hello")
        assert (first.asked, second.asked, hedges(served, "won")) == (1, 1, 1)
        assert served.state.live.deployments["m/0:p"].streak == 1.0
        await until(lambda: not inflight(served))


async def test_when_both_fail_the_next_is_asked() -> None:
    first, second, third = Source(), Source(), Source(open=True)
    first.status = second.status = 503
    async with (
        scripted(first) as one,
        scripted(second) as other,
        scripted(third) as last,
        serving(model(provider(one), provider(other, "q"), provider(last, "r"))) as served,
    ):
        asking = asyncio.ensure_future(served.ask(ask()))
        await until(lambda: second.asked == 1)
        first.go.set()
        second.go.set()
        answer = await asking

        assert (answer.status, answer.text) == (200, "hello")
        assert (third.asked, hedges(served, "failed")) == (1, 1)
        await until(lambda: not inflight(served))


async def test_a_refusal_of_the_request_is_the_answer_at_once() -> None:
    first, second = Source(), Source()
    first.status = 422
    async with (
        scripted(first) as one,
        scripted(second) as other,
        serving(model(provider(one), provider(other, "q"))) as served,
    ):
        asking = asyncio.ensure_future(served.ask(ask()))
        await until(lambda: second.asked == 1)
        first.go.set()
        answer = await asking

        assert answer.status == 422
        await until(lambda: second.left == 1)
        await until(lambda: not inflight(served))


async def test_a_client_that_leaves_closes_both(ledger: Ledger) -> None:
    first, second = Source(), Source()
    async with (
        scripted(first) as one,
        scripted(second) as other,
        recording(model(provider(one), provider(other, "q")), ledger) as served,
    ):
        client = await served.client()
        client.send(ask())
        await until(lambda: second.asked == 1)
        client.close()

        await until(lambda: first.left == second.left == 1)
        end = await ledger.end()
        assert end.outcome == "client_gone"
        assert [one.outcome for one in end.tries] == ["hedged", "cancelled"]
        assert hedges(served, "abandoned") == 1
        await until(lambda: not inflight(served))


async def test_of_an_answer_that_is_read_on_without_its_client_there_is_one(
    ledger: Ledger,
) -> None:
    first, second = Source(), Source()
    async with scripted(first) as one, scripted(second) as other:
        settings = model(provider(one), provider(other, "q"))
        settings = replace(settings, ledger=Policy(client_gone="drain"))
        async with recording(settings, ledger) as served:
            client = await served.client()
            client.send(ask())
            await until(lambda: second.asked == 1)
            client.close()
            await until(lambda: second.left == 1)
            first.go.set()

            end = await ledger.end()
            assert (end.outcome, end.source, end.deployment) == ("client_gone", "reported", "m/0:p")
            assert (end.tokens.input, end.tokens.output, first.left) == (7, 2, 0)
            await until(lambda: not inflight(served))


async def test_a_client_that_leaves_when_only_the_second_is_left_closes_that(
    ledger: Ledger,
) -> None:
    first, second = Source(), Source()
    first.status = 503
    async with (
        scripted(first) as one,
        scripted(second) as other,
        recording(model(provider(one), provider(other, "q")), ledger) as served,
    ):
        client = await served.client()
        client.send(ask())
        await until(lambda: second.asked == 1)
        first.go.set()
        attempts = served.state.metrics.upstream_attempts
        await until(lambda: attempts.child("m", "m/0:p", "switch", "http_5xx").value == 1)
        client.close()

        await until(lambda: second.left == 1)
        end = await ledger.end()
        assert (end.outcome, end.deployment) == ("client_gone", "m/1:q")
        assert [(one.deployment, one.outcome) for one in end.tries] == [
            ("m/0:p", "switch"),
            ("m/1:q", "cancelled"),
        ]
        await until(lambda: not inflight(served))


@pytest.mark.parametrize("which", ["first", "second"])
async def test_a_mistake_of_ours_closes_both_and_is_logged_once(
    which: str, caplog: pytest.LogCaptureFixture
) -> None:
    sources = Source(), Source()
    async with scripted(sources[0]) as one, scripted(sources[1]) as other:
        settings = model(provider(one), provider(other, "q"))
        tiers = list(settings.models["m"].tiers)
        at = which == "second"
        tiers[at] = (replace(tiers[at][0], param_defaults={"x": object()}),)
        settings = replace(
            settings, models={"m": replace(settings.models["m"], tiers=tuple(tiers))}
        )
        async with serving(settings) as served:
            answer = await served.ask(ask())

            assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
            await until(lambda: sources[0].left == sources[0].asked == at)
            await until(lambda: not inflight(served))
            assert len([one for one in caplog.records if one.exc_info]) == 1


async def test_another_credential_will_do_where_there_is_no_other_deployment() -> None:
    slow = Source()
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        heads.append(head)
        if len(heads) == 1:
            await reader.read()
            slow.left += 1
            return
        writer.write(STREAM + chunk(CHUNK) + chunk(FINISH) + b"0\r\n\r\n")
        await reader.read()

    keys = tuple(Credential(f"p#{at}", Secret(f"upstream-secret-{at}")) for at in range(2))
    async with (
        scripted(script) as url,
        serving(model(provider(url, credentials=keys))) as served,
    ):
        answer = await served.ask(ask())

        assert answer.text == "hello"
        await until(lambda: slow.left == 1)
        sent = {line for head in heads for line in head.split(b"\r\n") if b"uthorization" in line}
        assert len(sent) == 2


async def test_a_quick_answer_needs_no_second() -> None:
    first, second = Source(open=True), Source(open=True)
    async with (
        scripted(first) as one,
        scripted(second) as other,
        serving(model(provider(one), provider(other, "q"), hedge=Hedge(after=30.0))) as served,
    ):
        for _ in range(3):
            assert (await served.ask(ask())).text == "hello"

        assert (second.asked, suppressed(served)) == (0, {})


async def test_until_it_is_known_what_is_usual_there_is_none() -> None:
    first, second = Source(), Source(open=True)
    hedge = Hedge(floor=0.03, share=1.0)
    async with (
        scripted(first) as one,
        scripted(second) as other,
        serving(model(provider(one), provider(other, "q"), hedge=hedge)) as served,
    ):
        asking = asyncio.ensure_future(served.ask(ask()))
        await until(lambda: first.asked == 1)
        first.go.set()
        assert (await asking).text == "hello"
        first.go.clear()
        for state in served.state.live.deployments.values():
            for _ in range(20):
                state.by_size.observe(0.0, 0, 0.001)

        assert (await served.ask(ask())).text == "hello"
        assert (first.asked, second.asked, hedges(served, "won")) == (2, 1, 1)


async def test_there_are_never_more_than_their_share() -> None:
    first, second = Source(), Source()
    hedge = Hedge(after=0.02, share=0.5)
    async with (
        scripted(first) as one,
        scripted(second) as other,
        serving(model(provider(one), provider(other, "q"), hedge=hedge)) as served,
    ):
        for number in range(1, 7):
            asking = asyncio.ensure_future(served.ask(ask()))
            await until(lambda n=number: first.asked == n)  # type: ignore[misc]
            await until(
                lambda n=number: second.asked + suppressed(served).get("budget", 0) == n  # type: ignore[misc]
            )
            assert second.asked <= 0.5 * number
            first.go.set()
            await asking
            first.go.clear()

        assert (second.asked, suppressed(served)) == (3, {"budget": 3})


async def test_whatever_happens_nothing_is_left_and_everything_is_in_the_books_once(
    ledger: Ledger,
) -> None:
    rng = Random(11)
    asked = 0

    async def moody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while True:
            await read_request(reader)
            asked += 1
            await asyncio.sleep(rng.choice([0.0, 0.002, 0.01, 0.02]))
            mood = rng.random()
            if mood < 0.2:
                writer.write(whole(b"{}", 503))
            elif mood < 0.3:
                writer.write(whole(b""))
            else:
                writer.write(STREAM + chunk(CHUNK) + chunk(FINISH) + b"0\r\n\r\n")

    async def client(served: Served) -> None:
        one = await served.client()
        one.send(ask())
        if rng.random() < 0.3:
            await asyncio.sleep(rng.uniform(0.0, 0.02))
        else:
            await one.answer()
        one.close()

    async with scripted(moody) as one, scripted(moody) as other:
        settings = model(provider(one), provider(other, "q"), hedge=Hedge(after=0.004, share=1.0))
        async with recording(replace(settings, health=Health(enabled=False)), ledger) as served:
            for _ in range(10):
                await asyncio.gather(*(client(served) for _ in range(8)))
            await until(lambda: not inflight(served))
            await until(lambda: not any(place.busy for place in served.pool.upstreams()))
            await until(lambda: len(ledger.ends) >= len({one.rid for one in ledger.starts}))

            ends, starts = ledger.ends, ledger.starts
            assert len({end.rid for end in ends}) == len(ends)
            assert sum(hedges(served, name) for name in ("won", "lost", "failed")) > 5
            for end in ends:
                assert [one.number for one in end.tries] == list(range(1, len(end.tries) + 1))
                assert [one.outcome for one in end.tries].count("ok") == (end.outcome == "ok")
                begun = [one.deployment for one in starts if one.rid == end.rid]
                assert sorted(begun) == sorted(one.deployment for one in end.tries)
                spent = [one.cost for one in end.tries]
                assert end.cost_upstream in (sum(spent), -1)
            assert sum(len(end.tries) for end in ends) >= asked


# --- none at all ---


def other_out(served: Served) -> None:
    served.state.live.deployments["m/1:q"].phase = HALF_OPEN


def both_slow(served: Served) -> None:
    for state in served.state.live.deployments.values():
        for _ in range(20):
            state.by_size.observe(0.0, 0, 1.0)


def nothing(served: Served) -> None:
    """As it is."""


CASES: dict[str, tuple[str, dict[str, Any], Callable[[Served], None]]] = {
    "stored": ("effects", {"store": True}, nothing),
    "in the background": ("effects", {"background": True}, nothing),
    "a tool of the provider's": ("effects", {"tools": [{"type": "web_search"}]}, nothing),
    "the other is out": ("nobody", {}, other_out),
    "all of them are slow": ("slow", {}, both_slow),
}


async def refused(served: Served, first: Source, second: Source, reason: str, data: bytes) -> None:
    asking = asyncio.ensure_future(served.ask(data))
    await until(lambda: suppressed(served) == {reason: 1})
    first.go.set()
    answer = await asking
    assert (answer.text, second.asked) == ("hello", 0)
    await until(lambda: not inflight(served))


@pytest.mark.parametrize("case", CASES)
async def test_there_is_none_where_it_would_not_help_or_do_harm(case: str) -> None:
    reason, fields, prepare = CASES[case]
    first, second = Source(), Source(open=True)
    async with (
        scripted(first) as one,
        scripted(second) as other,
        serving(model(provider(one), provider(other, "q"))) as served,
    ):
        prepare(served)
        await refused(served, first, second, reason, ask(**fields))


async def test_a_degraded_deployment_has_none_beside_it() -> None:
    first, second = Source(), Source(open=True)
    async with (
        scripted(first) as one,
        scripted(second) as other,
        serving(model(provider(one), provider(other, "q"))) as served,
    ):
        state = served.state.live.deployments["m/0:p"]
        state.slow = True
        await refused(served, first, second, "unwell", ask())


async def test_a_strict_budget_does_not_pay_for_two() -> None:
    first, second = Source(), Source(open=True)
    async with scripted(first) as one, scripted(second) as other:
        keys = virtual_key("sk-hedged-key")
        keys = {
            digest: replace(key, id="k", budget=Budget(1.0, strict=True))
            for digest, key in keys.items()
        }
        settings = replace(model(provider(one), provider(other, "q")), keys=keys, require_auth=True)
        async with serving(settings) as served:
            served.state.accounts = Accounts.memory()
            body = orjson.dumps({**MESSAGES, "stream": True, "max_tokens": 5})
            data = raw("POST", CHAT, body, "Authorization: Bearer sk-hedged-key")
            await refused(served, first, second, "strict", data)


async def test_a_limit_of_ours_keeps_a_second_attempt_away() -> None:
    first, second = Source(), Source(open=True)
    async with scripted(first) as one, scripted(second) as other:
        settings = model(provider(one), provider(other, "q"), limits=Limits(rpm=60, burst=1))
        async with serving(settings) as served:
            accounts = served.state.accounts = Accounts.memory()
            full = of_deployment(settings.models["m"].tiers[1][0])
            assert full is not None
            accounts.admit((full,), Ask())
            await refused(served, first, second, "limit", ask())


async def test_a_whole_answer_is_not_hedged() -> None:
    first, second = Source(), Source(open=True)
    async with (
        scripted(first) as one,
        scripted(second) as other,
        serving(
            model(provider(one), provider(other, "q"), hedge=Hedge(after=0.001, share=1.0))
        ) as served,
    ):
        asking = asyncio.ensure_future(served.ask(raw("POST", CHAT, orjson.dumps(MESSAGES))))
        await until(lambda: first.asked == 1)
        first.status = 422
        first.go.set()

        assert ((await asking).status, second.asked, suppressed(served)) == (422, 0, {})
