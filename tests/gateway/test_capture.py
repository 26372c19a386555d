"""What was asked and answered is kept where that is wanted: its beginning, its text, and none of its secrets."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.model import Logging, Snapshot
from proxy.gateway.capture import text_in
from proxy.state.memory import TIGHT
from tests.gateway.asked import CHAT, provider, raw, snapshot
from tests.gateway.recorded import Ledger, recording
from tests.gateway.served import COMPLETION, STREAM, STREAMED, Provider, chunk, whole
from tests.line.harness import scripted, until
from tests.line.streams import STREAMS, TEXT

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
STREAMING = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
SECRET = "sk-proj-" + "a1B2c3D4" * 4


def keeping(url: str, most: int = 1000, **fields: Any) -> Snapshot:
    known = snapshot(provider(url, **fields))
    return replace(known, logging=Logging(detailed=True, max_content=most))


async def test_a_whole_answer_is_kept_with_its_question(ledger: Ledger) -> None:
    async with scripted(Provider(whole())) as url, recording(keeping(url), ledger) as served:
        await served.ask(raw("POST", CHAT, BODY))
        await until(lambda: bool(ledger.kept))

    [kept] = ledger.kept
    assert kept.rid == ledger.ends[0].rid
    assert (kept.request.encode(), kept.response.encode()) == (BODY, COMPLETION)


async def test_of_a_stream_its_text_is_kept(ledger: Ledger) -> None:
    async with scripted(Provider(STREAMED)) as url, recording(keeping(url), ledger) as served:
        answer = await served.ask(raw("POST", CHAT, STREAMING))
        await until(lambda: bool(ledger.kept))

    assert answer.complete
    assert [kept.response for kept in ledger.kept] == ["hello"]


async def test_so_is_that_of_a_translated_one(ledger: Ledger) -> None:
    body = b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
    async with scripted(Provider(STREAMED)) as url:
        settings = keeping(url, dialects={"openai.chat": "/v1"})
        async with recording(settings, ledger) as served:
            await served.ask(raw("POST", "/v1/messages", body))
            await until(lambda: bool(ledger.kept))

    assert [kept.response for kept in ledger.kept] == ["hello"]


async def test_what_we_refuse_is_kept_too(ledger: Ledger) -> None:
    async with (
        scripted(Provider(whole(b"{}", 500))) as url,
        recording(keeping(url), ledger) as served,
    ):
        answer = await served.ask(raw("POST", CHAT, BODY))
        await until(lambda: bool(ledger.kept))

    assert ledger.kept[0].response.encode() == answer.body


@pytest.mark.parametrize("most", [10, 100])
async def test_no_more_is_kept_than_was_wanted(most: int, ledger: Ledger) -> None:
    long = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "é" * 5000}]})
    stream = STREAM + chunk(_words("水" * 3000)) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    async with (
        scripted(Provider(stream)) as url,
        recording(keeping(url, most), ledger) as served,
    ):
        await served.ask(raw("POST", CHAT, long[:-1] + b',"stream":true}'))
        await until(lambda: bool(ledger.kept))

    [kept] = ledger.kept
    assert kept.request == long.decode()[:most]
    assert kept.response == "水" * most


def _words(text: str) -> bytes:
    delta = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
    return b"data: " + orjson.dumps(delta) + b"\n\n"


@pytest.mark.parametrize("at", [0, 50, 85, 95, 99])
async def test_no_secret_is_kept_wherever_it_stands(at: int, ledger: Ledger) -> None:
    text = "x" * at + " " + SECRET + " " + "y" * 200
    stream = STREAM + b"".join(chunk(_words(text[n : n + 3])) for n in range(0, len(text), 3))
    async with (
        scripted(Provider(stream + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")) as url,
        recording(keeping(url, 100), ledger) as served,
    ):
        body = orjson.dumps({"model": "m", "stream": True, "messages": [text]})
        await served.ask(raw("POST", CHAT, body))
        await until(lambda: bool(ledger.kept))

    [kept] = ledger.kept
    for text in (kept.request, kept.response):
        assert "sk-pro" not in text
        assert SECRET[8:14] not in text


@pytest.mark.parametrize("name", STREAMS)
def test_the_text_of_every_dialect_is_known(name: str) -> None:
    said = "".join(
        text_in(line.partition(b":")[2].strip())
        for event in STREAMS[name].content
        for line in event.splitlines()
        if line.startswith(b"data:")
    )
    assert said == "".join(orjson.loads(f'"{text}"') for text in TEXT)


@given(st.binary() | st.recursive(st.none() | st.text(), st.lists, max_leaves=8).map(orjson.dumps))
def test_nothing_that_is_no_event_has_text(data: bytes) -> None:
    assert isinstance(text_in(data), str)


def test_what_a_tool_is_called_with_is_text() -> None:
    call = {"function": {"name": "look", "arguments": '{"at":1}'}}
    event = orjson.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    assert text_in(event) == 'look{"at":1}'


async def test_bytes_that_are_no_text_are_not_kept(ledger: Ledger) -> None:
    sound = b"\x00\x01\x02" * 100
    answer = whole(sound, 200, kind=b"audio/mpeg")
    async with scripted(Provider(answer)) as url, recording(keeping(url), ledger) as served:
        await served.ask(raw("POST", "/v1/audio/speech", b'{"model":"m","input":"hi"}'))
        await until(lambda: bool(ledger.kept))

    assert [kept.response for kept in ledger.kept] == [""]


async def test_nothing_is_kept_unless_it_is_wanted(ledger: Ledger) -> None:
    async with (
        scripted(Provider(whole())) as url,
        recording(snapshot(provider(url)), ledger) as served,
    ):
        await served.ask(raw("POST", CHAT, BODY))
        await ledger.end()

    assert ledger.contents.written == 0


async def test_nothing_is_kept_while_memory_is_short(ledger: Ledger) -> None:
    async with scripted(Provider(whole())) as url, recording(keeping(url), ledger) as served:
        served.state.memory.level = TIGHT
        await served.ask(raw("POST", CHAT, BODY))
        await ledger.end()

    assert ledger.contents.written == 0
