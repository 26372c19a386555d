"""Streams that break off and go on elsewhere: whole, or with a loud error, and never with a seam that is not right."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import orjson
import pytest
from google import genai
from google.genai import types

from proxy.simulator import words
from proxy.simulator.grammar import Steer
from tests.line.asking import DIALECTS
from tests.line.harness import (
    KEY,
    Answer,
    Proxy,
    Simulator,
    config,
    read_request,
    scripted,
    serving,
)
from tests.line.streams import CHUNKED, LAST_CHUNK, STREAMS, TEXT, Stream, chunk

CANONICAL = words.whole(Steer(tokens=60), 60)
SHORT = words.whole(Steer(tokens=18), 18)
"""No words come twice in it, so its end is found wherever it is repeated."""
SAID = "".join(orjson.loads(f'"{text}"') for text in TEXT)
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
USAGE = {"stream_options": {"include_usage": True}}
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
BROKEN = ("chunk_fin", "rst", "stall", "half_stall", "err_mid", "eof_half")


def settings(
    rungs: list[str], *models: str, urls: list[str], dialects: dict[int, list[str]] | None = None
) -> dict[str, Any]:
    """The model `m`: one deployment for each of these names, each at a provider of its own, all of which may prefill."""
    content = config(*(urls[index % len(urls)] for index in range(len(models))))
    for index, names in (dialects or {}).items():
        content["providers"][f"p{index}"]["dialects"] = names
    content["defaults"] |= {"timeouts": {"idle": 0.15}}
    content["defaults"]["retry"] |= {"budget": 10}
    content["health"] = {"enabled": False}
    content["models"] = {
        "m": {
            "continuation": rungs,
            "deployments": [
                {
                    "provider": f"p{index}",
                    "model": name,
                    "priority": index,
                    "continuation": "prefill",
                }
                for index, name in enumerate(models)
            ],
        }
    }
    return content


async def ask(proxy: Proxy, dialect: str = "chat", **fields: Any) -> Answer:
    """One streamed request for `m`."""
    if dialect == "gemini":
        return await DIALECTS[dialect].ask(proxy, stream=True)
    body = {**ASK, "model": "m", **fields}
    if dialect == "messages":
        body["max_tokens"] = 500
    if dialect == "responses":
        body |= {"input": "hi", "store": False}
        del body["messages"]
    return await proxy.post(PATHS[dialect], body)


def pieces(event: Any) -> Iterator[str]:
    """The text of one event of any dialect."""
    if isinstance(event, dict):
        for choice in event.get("choices", ()):
            yield choice["delta"].get("content") or ""
        for candidate in event.get("candidates", ()):
            yield from (part.get("text", "") for part in candidate["content"]["parts"])
        if event.get("type") == "response.output_text.delta":
            yield event["delta"]
        if event.get("type") == "content_block_delta":
            yield event["delta"]["text"]


def text_of(answer: Answer) -> str:
    return "".join(piece for event in answer.events for piece in pieces(event))


_ONCE_MESSAGES = (
    "message_start",
    "content_block_start",
    "content_block_stop",
    "message_delta",
    "message_stop",
)
_ONCE_RESPONSES = ("response.created", "response.output_item.added", "response.completed")


def assert_one_stream(dialect: str, answer: Answer) -> None:
    """It is one legal stream, as if nothing had happened."""
    kinds = [event.get("type") for event in answer.events if isinstance(event, dict)]
    if dialect == "chat":
        chunks = [event for event in answer.events if event != "[DONE]"]
        assert len({(one["id"], one["created"], one["model"]) for one in chunks}) == 1
        choices = [choice for one in chunks for choice in one["choices"]]
        assert [choice["delta"].get("role") for choice in choices].count("assistant") == 1
        assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["stop"]
        assert answer.events[-1] == "[DONE]"
        assert answer.events.count("[DONE]") == 1
    elif dialect == "messages":
        assert [kinds.count(kind) for kind in _ONCE_MESSAGES] == [1] * 5
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
        assert {event["index"] for event in answer.events if "index" in event} == {0}
    elif dialect == "responses":
        assert [kinds.count(kind) for kind in _ONCE_RESPONSES] == [1, 1, 1]
        numbers = [event["sequence_number"] for event in answer.events]
        assert numbers == sorted(set(numbers))
        last = answer.events[-1]["response"]
        assert last["id"] == answer.events[0]["response"]["id"]
        assert last["output"][0]["content"][0]["text"] == text_of(answer)
    assert answer.complete


def assert_loud(answer: Answer) -> None:
    """Nobody takes it for whole."""
    assert not answer.complete
    assert b'"error"' in answer.body.splitlines()[-2], answer
    for terminal in (b"[DONE]", b"message_stop", b"response.completed", b'"STOP"'):
        assert terminal not in answer.body


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("fault", BROKEN)
async def test_the_same_answer_again_is_found_to_match(
    sim: Simulator, tmp_path: Path, fault: str, dialect: str
) -> None:
    models = (f"sim-n60-at40-d0.2-{fault}", "sim-n60")
    async with serving(settings(["match"], *models, urls=[sim.url]), tmp_path) as proxy:
        answer = await ask(proxy, dialect)

        assert text_of(answer) == CANONICAL
        assert_one_stream(dialect, answer)
        assert answer.body.count(b": continued\n\n") == 1
        spliced = proxy.metric("headrace_continuations_total", rung="match", outcome="spliced")
        assert spliced == 1
        ends = "headrace_stream_terminations_total"
        assert proxy.metric(ends) == 2, "each part has its end"
        assert proxy.metric(ends, reason="done") == 1


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("rung", ["anchor", "prefill"])
async def test_a_model_is_asked_for_the_rest(
    sim: Simulator, tmp_path: Path, rung: str, dialect: str
) -> None:
    models = ("sim-n18-at9-d0.2-rst", f"sim-n18-resume-{rung}")
    async with serving(settings([rung], *models, urls=[sim.url]), tmp_path) as proxy:
        answer = await ask(proxy, dialect)

    assert text_of(answer) == SHORT
    assert_one_stream(dialect, answer)


async def test_a_refused_prefill_is_never_shown(sim: Simulator, tmp_path: Path) -> None:
    models = ("sim-n60-at40-d0.2-rst", "sim-n60-resume-noprefill")
    async with serving(settings(["prefill", "match"], *models, urls=[sim.url]), tmp_path) as proxy:
        answer = await ask(proxy)

        assert text_of(answer) == CANONICAL
        assert_one_stream("chat", answer)
        outcomes = {"refused": 1, "spliced": 1}
        for outcome, count in outcomes.items():
            assert proxy.metric("headrace_continuations_total", outcome=outcome) == count


async def test_who_says_something_else_is_asked_in_another_way(
    sim: Simulator, tmp_path: Path
) -> None:
    # The words of the second are padded: another answer, which knows how to go on with its own only.
    models = ("sim-n18-at9-d0.2-rst", "sim-n18-s3-resume", "sim-n18-resume")
    async with serving(settings(["match", "anchor"], *models, urls=[sim.url]), tmp_path) as proxy:
        answer = await ask(proxy)

        assert_loud(answer)
        assert proxy.metric("headrace_continuations_total", outcome="mismatch") == 2
        assert text_of(answer) == SHORT[: len(text_of(answer))]


async def test_it_breaks_off_twice_and_no_more(sim: Simulator, tmp_path: Path) -> None:
    cut = "sim-n60-at{}-d0.2-rst"
    models = (cut.format(10), cut.format(25), "sim-n60")
    async with serving(settings(["match"], *models, urls=[sim.url]), tmp_path) as proxy:
        answer = await ask(proxy)
        assert text_of(answer) == CANONICAL
        assert_one_stream("chat", answer)

    thrice = (*models[:2], cut.format(40), "sim-n60")
    async with serving(settings(["match"], *thrice, urls=[sim.url]), tmp_path) as proxy:
        answer = await ask(proxy)
        assert_loud(answer)
        assert text_of(answer) == words.whole(Steer(tokens=40), 40)


async def test_the_same_deployment_is_asked_again_when_there_is_no_other(
    sim: Simulator, tmp_path: Path
) -> None:
    models = ("sim-n60-at41-d0.2-rstx1",)
    async with serving(settings(["match"], *models, urls=[sim.url]), tmp_path) as proxy:
        answer = await ask(proxy)
    assert text_of(answer) == CANONICAL
    assert_one_stream("chat", answer)


async def test_a_fallback_goes_on(sim: Simulator, tmp_path: Path) -> None:
    content = settings(["match"], "sim-n60-at42-d0.2-chunk_fin", urls=[sim.url])
    content["models"]["other"] = {"deployments": [{"provider": "p0", "model": "sim-n60"}]}
    content["models"]["m"]["fallbacks"] = ["other"]
    async with serving(content, tmp_path) as proxy:
        answer = await ask(proxy)
    assert text_of(answer) == CANONICAL
    assert_one_stream("chat", answer)


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"response_format": {"type": "json_object"}},
        {"tools": [TOOL], "tool_choice": "required"},
        {"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_what_is_no_plain_text_is_not_continued(
    sim: Simulator, tmp_path: Path, fields: dict[str, Any]
) -> None:
    models = ("sim-n20-at9-d0.2-rst", "sim-n20")
    async with serving(settings(["match"], *models, urls=[sim.url]), tmp_path) as proxy:
        answer = await ask(proxy, **fields)

        assert_loud(answer)
        assert proxy.metric("headrace_continuations_total") == 0


async def test_a_model_that_did_not_ask_for_it_is_left_alone(
    sim: Simulator, tmp_path: Path
) -> None:
    models = ("sim-n20-at9-d0.2-rst", "sim-n20")
    async with serving(settings([], *models, urls=[sim.url]), tmp_path) as proxy:
        assert_loud(await ask(proxy))


@pytest.mark.parametrize(
    ("client", "first", "second"),
    [
        ("chat", "anthropic.messages", "openai.chat"),
        ("chat", "openai.chat", "anthropic.messages"),
        ("messages", "openai.chat", "gemini.generate"),
        ("messages", "anthropic.messages", "openai.responses"),
        ("responses", "openai.chat", "openai.responses"),
        ("gemini", "gemini.generate", "gemini.generate"),
        ("gemini", "openai.chat", "gemini.generate"),
    ],
)
async def test_providers_of_any_dialect_go_on(
    sim: Simulator, tmp_path: Path, client: str, first: str, second: str
) -> None:
    models = ("sim-n60-at40-d0.2-rst", "sim-n60")
    content = settings(["match"], *models, urls=[sim.url], dialects={0: [first], 1: [second]})
    async with serving(content, tmp_path) as proxy:
        answer = await ask(proxy, client)

    assert text_of(answer) == CANONICAL
    assert_one_stream(client, answer)


# --- every place where a stream can break ---


@asynccontextmanager
async def cutting(stream: Stream) -> AsyncIterator[str]:
    """A provider whose answer ends after so many bytes as the question says."""
    whole = stream.whole

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await read_request(reader)
            found = re.search(rb"cut:(\d+)", body)
            assert found is not None
            at = int(found[1])
            writer.write(CHUNKED + chunk(whole[:at]))
            if at >= len(whole):
                writer.write(LAST_CHUNK)
            else:
                # Both must be read: a gate that is open lets the beginning pass.
                await writer.drain()
                return

    async with scripted(answer) as url:
        yield url


@asynccontextmanager
async def answering(stream: Stream) -> AsyncIterator[str]:
    """A provider whose answer is always whole."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(CHUNKED + chunk(stream.whole) + LAST_CHUNK)

    async with scripted(answer) as url:
        yield url


def places(stream: Stream) -> list[int]:
    """Around the end of every event, and inside of each; `tests/gateway/continuation` has every byte, without sockets."""
    ends = [match.end() for match in re.finditer(rb"(\r?\n){2}", stream.whole)]
    near = {at + step for at in ends for step in (-2, -1, 0, 1)}
    return sorted(at for at in near | {*range(0, len(stream.whole), 61)} if at < len(stream.whole))


@pytest.mark.parametrize("name", ["chat", "messages", "gemini", "responses"])
async def test_cut_anywhere_the_answer_is_right_or_the_error_is_loud(
    tmp_path: Path, name: str
) -> None:
    stream = STREAMS[name]
    dialect = DIALECTS[name]
    path = dialect.stream_path.format(model="m")
    finished = len(stream.whole) - len(stream.end)
    whole = continued = 0
    async with cutting(stream) as bad, answering(stream) as good:
        content = settings(["match"], "m", "m", urls=[bad, good])
        async with serving(content, tmp_path) as proxy:
            for at in places(stream):
                text = orjson.dumps({**dialect.body, "model": "m", "stream": True})
                body = text.replace(b'"hi"', b'"cut:%d"' % at)
                answer = await proxy.post(path, body)
                said = text_of(answer)
                if answer.complete:
                    assert said == SAID, at
                    assert dialect.terminal in answer.body, at
                    whole += 1
                else:
                    # Broken behind the reason why it ended there is nothing to go on with; else the
                    # stream written by hand has fewer events than a client must be told of.
                    assert at >= finished or name == "responses"
                    assert_loud(answer)
                    assert SAID.startswith(said), at
                continued += b": continued" in answer.body
    assert whole > 0
    assert continued > 10 or name in ("gemini", "responses")


# --- around it ---


async def test_all_who_share_an_answer_see_it_go_on(sim: Simulator, tmp_path: Path) -> None:
    content = settings(["match"], "sim-n60-at40-d2-rst", "sim-n60-d2", urls=[sim.url])
    content["models"]["m"]["coalesce"] = {"requests": "all"}
    async with serving(content, tmp_path) as proxy:
        answers = await asyncio.gather(ask(proxy), ask(proxy))
        assert proxy.metric("headrace_continuations_total") == 1
    for answer in answers:
        assert text_of(answer) == CANONICAL
        assert_one_stream("chat", answer)


async def test_the_official_clients_see_one_answer(sim: Simulator, tmp_path: Path) -> None:
    models = ("sim-n60-at40-d0.2-rst", "sim-n60")
    async with (
        serving(settings(["match"], *models, urls=[sim.url]), tmp_path) as proxy,
        openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as chat,
        anthropic.AsyncAnthropic(api_key=KEY, base_url=proxy.url, max_retries=0) as claude,
    ):
        asked: list[Any] = [{"role": "user", "content": "hi"}]
        async with chat.chat.completions.stream(
            model="m", messages=asked, stream_options={"include_usage": True}
        ) as stream:
            completion = await stream.get_final_completion()
        async with claude.messages.stream(model="m", max_tokens=500, messages=asked) as messages:
            message = await messages.get_final_message()
        async with chat.responses.stream(model="m", input="hi", store=False) as responses:
            response = await responses.get_final_response()
        google = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=proxy.url))
        async with google.aio as gemini:
            generated = await gemini.models.generate_content_stream(model="m", contents="hi")
            said = "".join([piece.text or "" async for piece in generated])

    assert said == CANONICAL
    assert completion.choices[0].message.content == CANONICAL
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 60
    assert message.content[0].type == "text"
    assert message.content[0].text == CANONICAL
    assert message.usage.output_tokens == 60
    assert response.output_text == CANONICAL


test_the_official_clients_see_one_answer = pytest.mark.timeout(120)(
    test_the_official_clients_see_one_answer
)
test_the_official_clients_see_one_answer = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)(test_the_official_clients_see_one_answer)
