"""Too many requests: who waits, who goes elsewhere, who is told to come again."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.core.clock import monotonic
from proxy.core.model import Deployment, Model, Overload, Snapshot
from proxy.gateway.overload import LARGE, turn, urgency
from proxy.state.lag import STANDING, TICK
from proxy.state.memory import ENOUGH, FULL, TIGHT
from proxy.state.waiting import Waiting
from tests.gateway.asked import CHAT, exchange, provider, raw, snapshot
from tests.gateway.served import COMPLETION, Provider, Served, serving, whole
from tests.line.harness import Answer, read_request, scripted, until

BODY = orjson.dumps({"model": "m", "messages": []})


def asked(*fields: str) -> bytes:
    return raw("POST", CHAT, BODY, *fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), 1),
        (("X-Priority: interactive",), 0),
        (("X-Priority: Batch",), 2),
        (("X-Priority: now",), 1),
    ],
)
async def test_how_urgent_it_is(fields: tuple[str, ...], expected: int) -> None:
    assert urgency(exchange(asked(*fields))) == expected


async def test_a_worker_that_cannot_keep_up_says_so() -> None:
    async with scripted(Provider(whole())) as url, serving(snapshot(provider(url))) as served:
        lag, now = served.state.lag, monotonic()
        for tick in range(STANDING + 1):
            lag.tick(now - 10.0 + 2 * TICK * tick)
        lag.quota = 0.0
        statuses = [(await served.ask(asked("X-Priority: batch"))) for _ in range(100)]

    refused = [one for one in statuses if one.status == 503]
    assert len(refused) > 10
    assert refused[0].json["error"]["code"] == "gateway_overloaded"
    assert refused[0].headers["retry-after"] == "1"


LARGER = b" " * (LARGE + 1 - len(BODY)) + BODY


@pytest.mark.parametrize(
    ("level", "content", "fields", "status"),
    [
        (TIGHT, BODY, (), 200),
        (TIGHT, LARGER[1:], (), 200),
        (TIGHT, LARGER, (), 503),
        (TIGHT, gzip.compress(LARGER), ("Content-Encoding: gzip",), 503),
        (FULL, BODY, (), 503),
        (ENOUGH, LARGER, (), 200),
    ],
    ids=["small", "not large", "large", "coded", "all", "enough"],
)
async def test_what_is_refused_while_memory_is_short(
    level: int, content: bytes, fields: tuple[str, ...], status: int
) -> None:
    async with scripted(Provider(whole())) as url, serving(snapshot(provider(url))) as served:
        served.state.memory.level = level
        answer = await served.ask(raw("POST", CHAT, content, *fields))

        assert answer.status == status
        assert served.state.metrics.shed.child("memory").value == (status == 503)
    if status == 503:
        assert answer.json["error"]["code"] == "gateway_overloaded"
        assert 1 <= int(answer.headers["retry-after"]) <= 3


class Patient:
    """A provider that answers each request when it is told to, and knows how many it had at once."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[bytes]] = []
        self.most = self.open = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            self.open += 1
            self.most = max(self.most, self.open)
            answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self.waiting.append(answer)
            writer.write(await answer)
            self.open -= 1

    def answer(self, data: bytes = b"") -> None:
        self.waiting.pop(0).set_result(data or whole(COMPLETION))


def limited(*urls: str, **fields: Any) -> Snapshot:
    made = snapshot(*(provider(url, name) for url, name in zip(urls, "pq", strict=False)))
    overload = Overload(**{"start": 2, "least": 2, "most": 2} | fields)
    tier = tuple(one for tier in made.models["m"].tiers for one in tier)
    return replace(made, models={"m": replace(made.models["m"], tiers=(tier,), overload=overload)})


def begin(served: Served, *fields: str) -> asyncio.Future[Answer]:
    return asyncio.ensure_future(served.ask(asked(*fields)))


async def test_more_than_a_deployment_takes_is_for_its_sibling_and_then_for_nobody() -> None:
    one, other = Patient(), Patient()
    async with (
        scripted(one) as first,
        scripted(other) as second,
        serving(limited(first, second)) as served,
    ):
        four = [begin(served) for _ in range(4)]
        await until(lambda: one.open + other.open == 4)
        refused = await served.ask(asked())
        for each in (one, other):
            for _ in range(2):
                each.answer()
        answers = await asyncio.gather(*four)

    assert (one.most, other.most) == (2, 2)
    assert {answer.status for answer in answers} == {200}
    assert refused.status == 429
    assert refused.headers["retry-after"] == "1"


async def test_who_waits_has_the_next_place_the_most_urgent_first() -> None:
    one = Patient()
    async with scripted(one) as url, serving(limited(url, queue=20.0)) as served:
        begun = [begin(served) for _ in range(2)]
        await until(lambda: one.open == 2)
        queue = served.state.live.waiting["m"]
        batch = begin(served, "X-Priority: batch")
        await until(lambda: queue.live == 1)
        urgent = begin(served, "X-Priority: interactive")
        await until(lambda: queue.live == 2)
        one.answer()
        await until(lambda: queue.live == 1 and one.open == 2)
        one.answer()
        await until(lambda: queue.live == 0 and one.open == 2)
        one.answer()
        assert (await urgent).status == 200
        assert not batch.done()
        one.answer()
        answers = await asyncio.gather(batch, *begun)

    assert one.most == 2
    assert {answer.status for answer in answers} == {200}


async def test_a_ceiling_ends_with_its_configuration_and_who_waits_goes_on() -> None:
    one = Patient()
    async with scripted(one) as url:
        content = limited(url, queue=60.0)
        async with serving(content) as served:
            begun = [begin(served) for _ in range(2)]
            await until(lambda: one.open == 2)
            queue = served.state.live.waiting["m"]
            begun += [begin(served) for _ in range(2)]
            await until(lambda: queue.live == 2)
            without = replace(content.models["m"], overload=None)
            served.state.use(replace(content, models={"m": without}))
            begun.append(begin(served))
            await until(lambda: one.open == 5)
            for _ in begun:
                one.answer()
            answers = await asyncio.gather(*begun)

    assert {answer.status for answer in answers} == {200}


async def test_nobody_waits_longer_than_the_client_does() -> None:
    one = Patient()
    async with scripted(one) as url, serving(limited(url, queue=60.0)) as served:
        begun = [begin(served) for _ in range(2)]
        await until(lambda: one.open == 2)
        async with asyncio.timeout(20.0):
            late = await served.ask(asked("X-Request-Deadline-Ms: 100"))
        for _ in begun:
            one.answer()
        await asyncio.gather(*begun)

    assert late.status in (429, 504)


async def test_who_waited_in_vain_goes_to_another_model_or_is_refused() -> None:
    one = Patient()
    async with scripted(one) as url, scripted(Provider(whole())) as other:
        content = limited(url, queue=0.01)
        async with serving(content) as served:
            begun = [begin(served) for _ in range(2)]
            await until(lambda: one.open == 2)
            refused = await served.ask(asked())
        fallback = Model("n", ((Deployment("n-1", provider(other, "o"), "up"),),))
        model = replace(content.models["m"], fallbacks=("n",))
        for task in begun:
            task.cancel()
        one.open = 0
        one.waiting.clear()
        async with serving(replace(content, models={"m": model, "n": fallback})) as served:
            begun = [begin(served) for _ in range(2)]
            await until(lambda: one.open == 2)
            answer = await served.ask(asked())
            for task in begun:
                task.cancel()

    assert refused.status == 429
    assert answer.status == 200


async def test_nobody_waits_for_ever() -> None:
    waiting = Waiting(5.0, 1)

    assert not await turn(waiting, 1, 0.005)
    assert waiting.live == 0
    first = asyncio.ensure_future(turn(waiting, 1, 5.0))
    await until(lambda: waiting.live == 1)
    assert not await turn(waiting, 1, 5.0)  # too many
    waiting.call()
    assert await first


async def test_who_leaves_does_not_take_the_place_of_another() -> None:
    waiting = Waiting(5.0, 10)
    first, second = (asyncio.ensure_future(turn(waiting, 1, 5.0)) for _ in range(2))
    await until(lambda: waiting.live == 2)
    waiting.call()
    first.cancel()  # in the turn of the loop in which it was called

    assert await second
    assert first.cancelled()


async def test_what_a_provider_takes_is_learned() -> None:
    async with scripted(Provider(whole(b"{}", 503), whole())) as url:
        content = limited(url, start=10, least=2, most=20)
        async with serving(content) as served:
            await served.ask(asked())
            state = next(iter(served.state.live.deployments.values()))

    assert state.ceiling is not None
    assert state.ceiling.limit == pytest.approx(7.0)
