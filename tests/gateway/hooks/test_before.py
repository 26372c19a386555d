"""A request as its hooks leave it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.errors import ProxyError
from proxy.gateway.exchange import Exchange
from proxy.gateway.hooks import before
from proxy.gateway.meter import Meter
from proxy.hooks import Point, Request
from proxy.hooks.chain import Hook, Hooks
from tests.gateway import asked
from tests.gateway.hooks.made import hook, request


async def led(exchange: Exchange, *hooks: Hook) -> Exchange:
    meter = Meter(exchange, asked.state(asked.snapshot(asked.provider())))
    await before.route(exchange, Hooks(hooks), meter)
    return exchange


def sets(**fields: Any) -> Hook:
    def act(request: Request) -> None:
        for name, value in fields.items():
            request.set(name, value)

    return hook(Point.BEFORE_ROUTE, act)


async def test_one_that_changes_nothing_leaves_the_bytes_as_they_came() -> None:
    exchange = request(seed=1)
    body, envelope = exchange.body, exchange.envelope

    await led(exchange, hook(Point.BEFORE_ROUTE, lambda request: request.field("seed")))

    assert exchange.body is body
    assert exchange.envelope is envelope


async def test_the_next_sees_what_the_one_before_it_left() -> None:
    seen = []
    last = hook(Point.BEFORE_ROUTE, lambda request: seen.append(request.field("seed")))

    exchange = await led(request(seed=1), sets(seed=2), sets(seed=3), last)

    assert seen == [3]
    assert orjson.loads(exchange.body) == {"model": "m", "seed": 3}
    assert exchange.envelope is not None
    assert exchange.envelope.body == exchange.body


@pytest.mark.parametrize("how", ["field", "attribute"])
async def test_the_model_is_changed_in_both_places(how: str) -> None:
    def act(request: Request) -> None:
        if how == "field":
            request.set("model", "other")
        else:
            request.model = "other"

    exchange = await led(request(), hook(Point.BEFORE_ROUTE, act))

    assert exchange.model == "other"
    assert orjson.loads(exchange.body) == {"model": "other"}


async def test_a_model_in_the_path_is_not_put_into_the_body() -> None:
    def act(request: Request) -> None:
        request.model = "other"

    exchange = request("/v1beta/models/m:generateContent")
    body = exchange.body

    await led(exchange, hook(Point.BEFORE_ROUTE, act))

    assert (exchange.model, exchange.body) == ("other", body)


DEEP: Any = 1
for _ in range(100):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "fields", [{"model": ""}, {"model": 7}, {"stream": True}, {"x": DEEP}, {"x": object()}]
)
async def test_what_may_not_be_is_a_failure_and_changes_nothing(fields: dict[str, Any]) -> None:
    exchange = request(seed=1)
    body = exchange.body

    with pytest.raises(ProxyError) as raised:
        await led(exchange, sets(**fields))

    assert raised.value.ref == "hook_failed"
    assert (exchange.body, exchange.model) == (body, "m")


async def test_a_form_is_seen_and_not_changed() -> None:
    data = (
        b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nA\r\n--x--\r\n'
    )
    path = "/v1/audio/transcriptions"
    kind = "Content-Type: multipart/form-data; boundary=x"
    seen = []
    looks = hook(Point.BEFORE_ROUTE, lambda request: seen.append((request.model, request.names)))

    await led(asked.exchange(asked.raw("POST", path, data, kind)), looks)
    assert seen == [("m", ())]
    with pytest.raises(ProxyError):
        await led(asked.exchange(asked.raw("POST", path, data, kind)), sets(x=1))


async def test_what_names_no_model_has_none() -> None:
    exchange = asked.exchange(asked.raw("GET", "/v1/responses/resp_1"))

    await led(exchange, sets(x=1))

    assert exchange.hooks is None


async def test_credentials_are_not_shown() -> None:
    seen: list[Request] = []
    fields = ["Authorization: Bearer k", "X-API-Key: k", "Cookie: c", "X-Mine: 1"]
    data = asked.raw("POST", asked.CHAT, b'{"model":"m"}', *fields)

    await led(asked.exchange(data), hook(Point.BEFORE_ROUTE, seen.append))

    headers = seen[0].headers
    assert headers["x-mine"] == "1"
    assert headers.keys().isdisjoint({"authorization", "x-api-key", "cookie"})
