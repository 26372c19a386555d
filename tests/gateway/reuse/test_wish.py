"""What the configuration and the client make of a request."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.errors import ProxyError
from proxy.core.model import Cache, CacheRoom, Coalesce, Model, Snapshot
from proxy.gateway.reuse.wish import Wish, wish
from tests.gateway.asked import CHAT, exchange, raw

LOT = {"model": "m", "messages": []}
CERTAIN = LOT | {"temperature": 0}
HEADERS = Snapshot(cache=CacheRoom(header=True))
QUIET = Snapshot()
KEPT = Model("m", (), cache=Cache(60.0))
JOINED = Model("m", (), coalesce=Coalesce("all", "team", "all"))
PLAIN = Model("m", ())


def wished(
    model: Model, *fields: str, snapshot: Snapshot = HEADERS, body: Any = CERTAIN
) -> Wish | None:
    return wish(exchange(raw("POST", CHAT, orjson.dumps(body), *fields)), model, snapshot)


async def test_nobody_wants_anything() -> None:
    assert wished(PLAIN) is None


async def test_what_a_model_says() -> None:
    assert wished(KEPT) == Wish(60.0, take=True)
    assert wished(KEPT, body=LOT) is None
    assert wished(Model("m", (), cache=Cache(60.0, "all")), body=LOT) == Wish(60.0, take=True)
    assert wished(JOINED, body=LOT) == Wish(join=True, join_scope="team", all_pay=True)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (("X-Headrace-Cache: 5",), Wish(5.0, take=True)),
        (("X-Headrace-Cache: 0",), None),
        (("X-Headrace-Cache: no",), None),
        (("X-Headrace-Coalesce: yes",), Wish(join=True)),
        (("X-Headrace-Coalesce: no",), None),
    ],
)
async def test_what_a_client_says(fields: tuple[str, ...], expected: Wish | None) -> None:
    assert wished(PLAIN, *fields, body=LOT) == expected
    assert wished(PLAIN, *fields, snapshot=QUIET, body=LOT) is None


async def test_what_a_client_asks_for_is_its_keys_own() -> None:
    every = Model("m", (), cache=Cache(60.0, scope="all"), coalesce=Coalesce(scope="all"))

    assert wished(every) == Wish(60.0, take=True, join=True, scope="all", join_scope="all")
    assert wished(every, "X-Headrace-Cache: 5", "X-Headrace-Coalesce: yes", body=LOT) == Wish(
        5.0, take=True, join=True
    )


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("no-store", None),
        ("No-Cache", Wish(60.0)),
        ("max-age=7", Wish(60.0, take=True, max_age=7.0)),
        ('max-stale, max-age="7"', Wish(60.0, take=True, max_age=7.0)),
        ("max-age=7, no-store", None),
        ("only-if-cached", Wish(60.0, take=True)),
        ("=,;\t%%", Wish(60.0, take=True)),
    ],
)
async def test_cache_control_is_heard_without_permission(
    control: str, expected: Wish | None
) -> None:
    assert wished(KEPT, f"Cache-Control: {control}", snapshot=QUIET) == expected


@pytest.mark.parametrize(
    "field", ["X-Headrace-Cache: soon", "X-Headrace-Cache: -1", "X-Headrace-Coalesce: perhaps"]
)
async def test_a_header_that_says_nothing_is_refused(field: str) -> None:
    with pytest.raises(ProxyError) as refused:
        wished(PLAIN, field)
    assert field.partition(":")[0].lower() in refused.value.message
