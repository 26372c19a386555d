"""What an answer used, and what of that is charged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core import prices
from proxy.core.model import Deployment, Model, Price, Snapshot
from proxy.core.model import Ledger as Settings
from proxy.dialects.base import Usage
from proxy.dialects.usage import USUAL, USUAL_IMAGES, USUAL_SECONDS
from proxy.gateway.charging import ESTIMATED, REPORTED, UNKNOWN, Bill, bill, both, prompt
from proxy.gateway.plausibility import Doubt
from proxy.ledger.records import End, Tokens
from tests.gateway.asked import CHAT, exchange, provider, raw, snapshot
from tests.gateway.recorded import Ledger, recording
from tests.gateway.served import STREAM, Provider, chunk, whole
from tests.line.harness import read_request, scripted

PRICE = Price(input=2.5, cached=1.25, output=10.0)
CLAUDE = Price(input=3.0, cached=0.3, cache_write=3.75, output=15.0, cache_write_1h=6.0)
GEMINI = Price(
    input=1.25, cached=0.31, output=10.0, above=((200_000, Price(input=2.5, output=15.0)),)
)
HI = [{"role": "user", "content": "hi"}]


def message(usage: Mapping[str, object]) -> bytes:
    content = [{"type": "text", "text": "hello"}]
    return orjson.dumps(
        {
            "type": "message",
            "role": "assistant",
            "content": content,
            "stop_reason": "end_turn",
            "usage": usage,
        }
    )


def completion(usage: Mapping[str, object]) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "hello"},
        "finish_reason": "stop",
    }
    return orjson.dumps({"id": "c", "choices": [choice], "usage": usage})


def generated(usage: Mapping[str, object]) -> bytes:
    candidate = {"content": {"parts": [{"text": "hello"}]}, "finishReason": "STOP"}
    return orjson.dumps({"candidates": [candidate], "usageMetadata": usage})


async def charged(
    ledger: Ledger,
    answer: bytes,
    path: str = CHAT,
    price: Price | None = PRICE,
    settings: Settings | None = None,
    unknown: Price | None = None,
) -> End:
    """The end of one request that is answered so."""
    body = orjson.dumps({"model": "m", "max_tokens": 9, "messages": HI, "contents": []})
    async with scripted(Provider(answer)) as url:
        known = replace(
            snapshot(provider(url), price=price),
            ledger=settings or Settings(),
            price_unknown=unknown,
        )
        async with recording(known, ledger) as served:
            await served.ask(raw("POST", path, body))
            return await ledger.end()


@pytest.mark.parametrize(
    ("path", "price", "body", "tokens", "micro"),
    [
        pytest.param(
            CHAT,
            PRICE,
            completion(
                {
                    "prompt_tokens": 1117,
                    "completion_tokens": 46,
                    "total_tokens": 1163,
                    "prompt_tokens_details": {"cached_tokens": 1024},
                    "completion_tokens_details": {"reasoning_tokens": 40},
                }
            ),
            Tokens(93, 1024, 0, 46, 40),
            1973,  # 93 x 2.5 + 1024 x 1.25 + 46 x 10 = 1972.5
            id="openai counts what is cached in the prompt",
        ),
        pytest.param(
            "/v1/messages",
            CLAUDE,
            message(
                {
                    "input_tokens": 10,
                    "cache_read_input_tokens": 2000,
                    "cache_creation_input_tokens": 500,
                    "cache_creation": {"ephemeral_1h_input_tokens": 100},
                    "output_tokens": 20,
                }
            ),
            Tokens(10, 2000, 500, 20, 0, 0, 0, 0, 0.0, 100),
            3030,  # 10 x 3 + 2000 x 0.3 + 400 x 3.75 + 100 x 6 + 20 x 15
            id="anthropic counts it beside the prompt",
        ),
        pytest.param(
            "/v1beta/models/m:generateContent",
            GEMINI,
            generated(
                {
                    "promptTokenCount": 300_000,
                    "candidatesTokenCount": 10,
                    "thoughtsTokenCount": 30,
                    "totalTokenCount": 300_040,
                }
            ),
            Tokens(300_000, 0, 0, 40, 30),
            750_600,  # 300,000 x 2.5 + 40 x 15, all of it at the price of long prompts
            id="google counts thoughts beside the answer, and has a price for long prompts",
        ),
    ],
)
async def test_what_is_reported_is_charged_to_the_microdollar(
    path: str, price: Price, body: bytes, tokens: Tokens, micro: int, ledger: Ledger
) -> None:
    end = await charged(ledger, whole(body), path, price)

    assert (end.tokens, end.source) == (tokens, "reported")
    assert (end.cost, end.estimate, end.cost_upstream) == (micro, -1, micro)


async def test_what_is_not_reported_is_estimated_and_charged(ledger: Ledger) -> None:
    answer = completion({}).replace(b"hello", b"word " * 400)
    end = await charged(ledger, whole(answer))

    assert end.source == "estimated"
    assert 300 < end.tokens.output < 600
    assert end.tokens.input == ledger.starts[0].prompt
    assert end.cost == end.estimate == end.cost_upstream == prices.cost(PRICE, end.tokens)


async def test_a_price_that_nobody_knows_is_not_nothing(ledger: Ledger) -> None:
    end = await charged(
        ledger, whole(completion({"prompt_tokens": 5, "completion_tokens": 1})), price=None
    )

    assert (end.cost, end.cost_upstream, end.source) == (-1, -1, "reported")
    assert ledger.starts[0].likely == -1


async def test_the_client_may_be_charged_a_price_instead(ledger: Ledger) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    end = await charged(
        ledger, whole(completion(usage)), price=None, unknown=Price(input=1, output=2)
    )

    assert (end.cost, end.cost_upstream) == (7, -1)


async def test_of_a_wildcard_what_it_matched_has_its_price(ledger: Ledger) -> None:
    async with scripted(Provider(whole())) as url:
        place = provider(url)
        deployment = Deployment("w/*/0:p", place, "*")
        known = Snapshot(
            providers={"p": place},
            wildcards=(("w/", Model("w/*", ((deployment,),))),),
            prices={"one": Price(input=1.0), "two": Price(input=2.0)},
        )
        async with recording(known, ledger) as served:
            for name in ("w/one", "w/two", "w/one", "w/other"):
                await served.ask(raw("POST", CHAT, orjson.dumps({"model": name, "messages": HI})))

    assert [end.cost for end in ledger.ends] == [7, 14, 7, -1]
    assert [end.upstream_model for end in ledger.ends] == ["one", "two", "one", "other"]


START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":100,'
    b'"cache_read_input_tokens":50,"output_tokens":1}}}\n\n'
)
DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    b'"text":"words and words and words"}}\n\n'
)


@pytest.mark.parametrize(
    ("settings", "charges"),
    [(Settings(), False), (Settings(failed="estimate"), True)],
    ids=["free", "estimate"],
)
async def test_a_failed_answer_is_free_unless_it_is_wanted_otherwise(
    settings: Settings, charges: bool, ledger: Ledger
) -> None:
    broken = STREAM + chunk(START) + chunk(DELTA) * 5
    body = orjson.dumps({"model": "m", "max_tokens": 9, "stream": True, "messages": HI})

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(broken)

    async with scripted(script) as url:
        known = replace(snapshot(provider(url), price=CLAUDE), ledger=settings)
        async with recording(known, ledger) as served:
            await served.ask(raw("POST", "/v1/messages", body))
            end = await ledger.end()
            wasted = served.state.metrics.wasted_cost.child("m", "p", "truncated").value

    # What the provider said of the prompt is believed; what it said of the answer was only the beginning.
    assert (end.tokens.input, end.tokens.cache_read) == (100, 50)
    assert end.tokens.output > 5
    assert (end.outcome, end.source, end.estimate) == (
        "truncated",
        "estimated",
        prices.cost(CLAUDE, end.tokens),
    )
    assert end.cost == (end.estimate if charges else 0)
    assert end.cost_upstream == -1
    assert wasted == pytest.approx(0 if charges else end.estimate / 1e6)


@pytest.mark.parametrize(("policy", "source"), [("cancel", "reported"), ("estimate", "estimated")])
async def test_of_a_client_that_left_the_report_so_far_is_charged_at_least(
    policy: str, source: str, ledger: Ledger
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + chunk(START) + chunk(DELTA) * 5)
        await reader.read()

    body = orjson.dumps({"model": "m", "max_tokens": 9, "stream": True, "messages": HI})
    async with scripted(script) as url:
        known = snapshot(provider(url), price=CLAUDE)
        known = replace(known, ledger=Settings(client_gone=policy))
        async with recording(known, ledger) as served:
            client = await served.client()
            client.send(raw("POST", "/v1/messages", body))
            await client.reader.readuntil(b'words"')
            client.reset()
            end = await ledger.end()

    assert (end.outcome, end.source) == ("client_gone", source)
    assert (end.tokens.output == 1) is (policy == "cancel")
    assert end.cost == prices.cost(CLAUDE, end.tokens)


@pytest.mark.parametrize("words", [10, 5_000])
async def test_a_prompt_is_estimated_by_its_size(words: int) -> None:
    text = "word " * words
    one = exchange(raw("POST", CHAT, orjson.dumps({"model": "m", "messages": [text]})))

    assert words <= prompt(one) <= 2 * words + 20


async def test_a_picture_is_not_taken_for_text() -> None:
    url = "data:image/png;base64," + "iVBORw0KGgo" * 5_000
    image = {"type": "image_url", "image_url": {"url": url}}
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": [image]}]})

    assert prompt(exchange(raw("POST", CHAT, body))) < 5_000


async def test_a_tenth_of_a_dollar_is_no_float(ledger: Ledger) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    end = await charged(ledger, whole(completion(usage)), price=Price(input=0.1, output=0.2))

    assert end.cost == 1  # 0.5, rounded half up
    assert isinstance(end.cost, int)


# --- what cannot be true ---


LIE = {"prompt_tokens": 10**9, "completion_tokens": 10**9, "total_tokens": 2 * 10**9}


async def test_what_cannot_be_true_is_estimated(ledger: Ledger) -> None:
    end = await charged(ledger, whole(completion(LIE)))

    assert end.source == "suspect"
    assert end.tokens.input == ledger.starts[0].prompt
    assert end.tokens.output < 50
    assert end.cost == end.estimate == end.cost_upstream == prices.cost(PRICE, end.tokens)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 3}, (True, 3)),
        ({"completion_tokens": 3}, (True, 3)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (True, None)),
        ({"prompt_tokens": 5000}, (False, None)),
    ],
)
async def test_a_half_that_is_missing_is_estimated(
    usage: Mapping[str, object], tokens: tuple[bool, int | None], ledger: Ledger
) -> None:
    prompt_is_guessed, output = tokens
    answer = completion(usage)
    if output is None:
        answer = answer.replace(b"hello", b"word " * 2000)
    end = await charged(ledger, whole(answer))

    assert end.source == "estimated"
    assert end.tokens.input == (ledger.starts[0].prompt if prompt_is_guessed else 5000)
    assert end.tokens.output == output if output else 1500 < end.tokens.output < 3000
    assert end.cost == prices.cost(PRICE, end.tokens)


async def test_of_an_attempt_in_vain_nothing_is_believed_that_cannot_be_true(
    ledger: Ledger,
) -> None:
    broken = STREAM + chunk(b"data: %b\n\n" % orjson.dumps({"choices": [], "usage": LIE}))
    body = orjson.dumps({"model": "m", "stream": True, "messages": HI})
    async with (
        scripted(Provider(broken + b"0\r\n\r\n")) as bad,
        scripted(Provider(whole(completion({"prompt_tokens": 7, "completion_tokens": 2})))) as good,
        recording(snapshot(provider(bad), provider(good, "q"), price=PRICE), ledger) as served,
    ):
        await served.ask(raw("POST", CHAT, body))
        end = await ledger.end()

    assert end.tries[0].cost == -1
    assert (end.tries[-1].cost, end.cost_upstream) == (38, -1)  # 7 x 2.5 + 2 x 10 = 37.5


@pytest.mark.parametrize("policy", ["cancel", "estimate"])
async def test_nor_of_an_answer_whose_client_left(policy: str, ledger: Ledger) -> None:
    lie = START.replace(b'"input_tokens":100', b'"input_tokens":100000000')

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + chunk(lie) + chunk(DELTA) * 5)
        await reader.read()

    body = orjson.dumps({"model": "m", "max_tokens": 9, "stream": True, "messages": HI})
    async with scripted(script) as url:
        known = replace(snapshot(provider(url), price=CLAUDE), ledger=Settings(client_gone=policy))
        async with recording(known, ledger) as served:
            client = await served.client()
            client.send(raw("POST", "/v1/messages", body))
            await client.reader.readuntil(b'words"')
            client.reset()
            end = await ledger.end()

    assert end.source == "suspect"
    assert end.tokens.input == ledger.starts[0].prompt
    assert end.estimate == prices.cost(CLAUDE, end.tokens) < 10_000
    assert end.cost == (0 if policy == "cancel" else end.estimate)


async def test_a_recording_without_a_report_is_as_long_as_its_bytes_say(ledger: Ledger) -> None:
    sound = b"s" * 160_000
    form = (
        b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n%b\r\n--b--\r\n'
    ) % sound
    head = "Content-Type: multipart/form-data; boundary=b"
    for told in (
        b'{"text":"hi"}',
        b'{"text":"hi","duration":-8}',
        b'{"text":"hi","duration":1e200}',
    ):
        async with (
            scripted(Provider(whole(told))) as url,
            recording(snapshot(provider(url), price=Price(second=100.0)), ledger) as served,
        ):
            assert (
                await served.ask(raw("POST", "/v1/audio/transcriptions", form, head))
            ).status == 200

    assert [end.source for end in ledger.ends] == ["estimated", "suspect", "suspect"]
    for end in ledger.ends:
        assert 10 <= end.tokens.seconds < 10.1
        assert 1000 <= end.cost <= 1010


async def test_pictures_are_as_many_as_were_asked_for(ledger: Ledger) -> None:
    flood = orjson.dumps({"created": 1, "data": [{}] * 5000})
    body = orjson.dumps({"model": "m", "prompt": "a cat", "n": 2})
    async with (
        scripted(Provider(whole(flood))) as url,
        recording(snapshot(provider(url), price=Price(image=40_000.0)), ledger) as served,
    ):
        await served.ask(raw("POST", "/v1/images/generations", body))
        end = await ledger.end()

    assert (end.source, end.tokens.images, end.cost) == ("suspect", 2, 80_000)


COUNT = st.integers(0, 10**12) | st.integers(0, 100)


@given(
    st.builds(
        Usage,
        *(COUNT,) * 5,
        suspect=st.sampled_from(("", "absurd", "torn", "large")),
        images=COUNT,
        seconds=st.floats(0, 1e9),
    ),
    st.sampled_from(("ok", "client_gone", "truncated", "upstream_error")),
    st.sampled_from(("chat", "images", "embeddings", "transcriptions", "count_tokens")),
    st.sampled_from((PRICE, CLAUDE, GEMINI, Price(image=4e4, second=1e2), None)),
    st.sampled_from(("cancel", "estimate", "drain")),
    st.sampled_from(("free", "estimate")),
    st.booleans(),
)
def test_whatever_is_said_a_bill_is_a_price_or_none_at_all(
    usage: Usage,
    outcome: str,
    operation: str,
    price: Price | None,
    gone: str,
    failed: str,
    whole: bool,
) -> None:
    prompt = usage.input + usage.cache_read + usage.cache_write
    if not usage.suspect and (
        max(prompt, usage.output) > USUAL
        or usage.images > USUAL_IMAGES
        or usage.seconds > USUAL_SECONDS
    ):
        usage = replace(usage, suspect="large")  # as whoever reads reports does
    tap = SimpleNamespace(usage=usage, complete=lambda: whole)
    gate = SimpleNamespace(tap=tap, received=500, kind=None, held=b"")
    deployment = Deployment("m/0:p", provider(), "up", price=price)
    candidate = SimpleNamespace(deployment=deployment, slot=SimpleNamespace(pattern=False))
    one: Any = SimpleNamespace(
        gate=gate, connected_at=1.0, candidate=candidate, relay=None, late_events=0, late_bytes=0
    )
    asked: Any = SimpleNamespace(
        body=b"{}",
        bytes_out=0,
        envelope=None,
        form=None,
        endpoint=SimpleNamespace(operation=operation, upgrades=False),
    )
    known = Snapshot(ledger=Settings(client_gone=gone, failed=failed))
    found = bill(asked, one, outcome, known)

    for micro in (found.cost, found.estimate, found.spent):
        assert isinstance(micro, int)
        assert -1 <= micro <= 10**8
        assert price is not None or micro <= 0
    assert found.tokens.total <= 3_000_000
    assert found.source in ("reported", "estimated", "suspect", "none")
    assert (found.source == "suspect") is (found.doubt not in (None, Doubt.PARTS, Doubt.MISSING))


# --- an answer that went on elsewhere ---

HALF = Bill(Tokens(10, output=4), ESTIMATED, 70, 70, 70)
REST = Bill(Tokens(14, output=6, reasoning=2), REPORTED, 100, UNKNOWN, 100)


def test_two_attempts_are_charged_for_one_answer() -> None:
    assert both(REST, HALF) == Bill(Tokens(24, output=10, reasoning=2), ESTIMATED, 170, 170, 100)
    assert both(both(REST, HALF), HALF).cost == 240


def test_what_has_no_price_has_none_together() -> None:
    unknown = replace(HALF, cost=UNKNOWN, estimate=UNKNOWN)
    found = both(REST, unknown)
    assert (found.cost, found.estimate, found.spent) == (UNKNOWN, UNKNOWN, 100)


@pytest.mark.parametrize(("charged", "cost"), [(0, 0), (30, 100)], ids=["free", "estimated"])
def test_halves_that_came_to_nothing_are_charged_alike(charged: int, cost: int) -> None:
    broken = Bill(Tokens(5, output=5), ESTIMATED, charged, 30, UNKNOWN)
    found = both(broken, HALF, whole=False)
    assert (found.cost, found.estimate) == (cost, 100)
