"""What of a provider's report cannot be true, and what only looks as if it could not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Deployment
from proxy.dialects.base import Usage
from proxy.dialects.realtime import RealtimeTap
from proxy.gateway.exchange import Exchange
from proxy.gateway.plausibility import BELIEVED, CHARGED, Doubt, answers, bounds, doubt
from tests.gateway.asked import CHAT, exchange, provider, raw

HI = [{"role": "user", "content": "hi"}]
MANY = 2_000_000


def asked(path: str = CHAT, **fields: Any) -> Exchange:
    return exchange(raw("POST", path, orjson.dumps({"model": "m", "messages": HI, **fields})))


def answer(exchange: Exchange, received: int = 1000, **deployment: Any) -> Any:
    """An attempt that got so many bytes."""
    one = Deployment("m/0:p", provider(), "up", **deployment)
    return SimpleNamespace(
        candidate=SimpleNamespace(deployment=one),
        exchange=exchange,
        gate=SimpleNamespace(received=received),
        late_bytes=0,
    )


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(7, 0, 0, 2), None),
        (Usage(7, 0, 0, 2, suspect="absurd"), Doubt.NO_NUMBER),
        (Usage(7, 9, 0, 2, suspect="torn"), Doubt.PARTS),
        (Usage(MANY, 0, 0, 2, suspect="large"), None),
        (Usage(0, MANY, 0, 2, suspect="large"), None),
        (Usage(MANY, MANY, 0, 2, suspect="large"), Doubt.INPUT),
        (Usage(0, 0, 2 * MANY, 2, suspect="large"), Doubt.INPUT),
        (Usage(7, 0, 0, 512_000, suspect="large"), None),
        (Usage(7, 0, 0, 600_000, suspect="large"), Doubt.OUTPUT),
        (Usage(7, 0, 0, 600_000, suspect="torn"), Doubt.OUTPUT),
        (Usage(7, 0, 0, 2, suspect="large", images=65), None),
        (Usage(7, 0, 0, 2, suspect="large", images=66), Doubt.IMAGES),
        (Usage(7, 0, 0, 2, suspect="large", seconds=86_400.5), None),
        (Usage(7, 0, 0, 2, suspect="large", seconds=86_500.0), Doubt.SECONDS),
        (Usage(0, 0, 0, 2), Doubt.MISSING),
        (Usage(0, 5, 0, 2), None),
        (Usage(7), None),
    ],
)
async def test_only_what_is_impossible_is_doubted(usage: Usage, expected: Doubt | None) -> None:
    one = asked()

    assert doubt(usage, one, answer(one), whole=True) == expected


async def test_a_session_reads_all_of_it_for_each_response() -> None:
    handshake = ("Upgrade: websocket", "Connection: Upgrade")
    one = exchange(raw("GET", "/v1/realtime?model=m", b"", *handshake))
    attempt = answer(one)
    attempt.gate.tap = RealtimeTap()
    attempt.gate.tap.responses = 3

    assert doubt(Usage(0, 3 * MANY, 0, 9, suspect="large"), one, attempt, whole=True) is None
    assert doubt(Usage(1, 3 * MANY, 0, 9, suspect="large"), one, attempt) is Doubt.INPUT


async def test_a_long_answer_has_tokens_and_an_unfinished_one_may_have_none_yet() -> None:
    one = asked()

    assert doubt(Usage(7), one, answer(one, 5000), whole=True) is Doubt.MISSING
    assert doubt(Usage(7), one, answer(one, 5000)) is None
    assert doubt(Usage(), one, answer(one, 5000)) is None


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/rerank", "/v1/moderations"])
async def test_who_writes_nothing_has_nothing_to_report(path: str) -> None:
    one = asked(path)

    assert doubt(Usage(7), one, answer(one, 5000), whole=True) is None
    assert doubt(Usage(), one, answer(one, 5000), whole=True) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "web_search"}]},
        {"previous_response_id": "resp_1"},
        {"web_search_options": {}},
    ],
)
async def test_who_may_go_round_reads_everything_again(fields: dict[str, Any]) -> None:
    one = asked("/v1/responses", **fields)

    assert doubt(Usage(30_000_000, 0, 0, 8_000_000, suspect="large"), one, answer(one)) is None
    assert doubt(Usage(40_000_000, suspect="large"), one, answer(one)) is Doubt.INPUT


async def test_so_does_whom_the_configuration_gives_tools() -> None:
    one, tools = asked(), {"tools": [{"type": "web_search"}]}

    much = Usage(MANY * 9, suspect="large")

    assert doubt(much, one, answer(one, param_defaults=tools)) is None
    assert doubt(much, one, answer(one, param_overrides=tools)) is None
    assert doubt(much, one, answer(one)) is Doubt.INPUT


async def test_a_context_that_is_said_to_be_larger_is() -> None:
    one, much = asked(), Usage(9_000_000, suspect="large")

    assert doubt(much, one, answer(one, max_context=10_000_000)) is None
    assert doubt(Usage(11_000_000, suspect="large"), one, answer(one, max_context=10_000_000))
    assert doubt(Usage(MANY, suspect="large"), one, answer(one, max_context=8_000)) is None


async def test_each_of_several_answers_has_its_thoughts() -> None:
    one = asked(n=4)

    assert doubt(Usage(7, 0, 0, 2_000_000, suspect="large"), one, answer(one)) is None
    assert doubt(Usage(7, 0, 0, 2_100_000, suspect="large"), one, answer(one)) is Doubt.OUTPUT
    assert answers(asked(n=10**6)) == 128


@given(st.integers(0, 10**7), st.integers(0, 10**8))
def test_what_is_longer_may_have_more(prompt: int, received: int) -> None:
    envelope: dict[str, Any] = {}
    one: Any = SimpleNamespace(
        body=b"x" * (prompt % 10_000),
        bytes_out=0,
        envelope=envelope,
        endpoint=SimpleNamespace(operation="models", upgrades=False),
    )
    tokens, output, images, seconds = bounds(one, answer(one, received))

    assert tokens >= MANY + len(one.body)
    assert output >= 512_000 + received
    assert images > 64
    assert seconds >= 86_400


def test_each_doubt_is_either_believed_or_not_and_has_words() -> None:
    assert set(CHARGED) == set(Doubt)
    assert {Doubt.PARTS, Doubt.MISSING, None} == BELIEVED
    for one in Doubt:
        assert ("estimate is charged" in CHARGED[one]) is (one not in BELIEVED)
