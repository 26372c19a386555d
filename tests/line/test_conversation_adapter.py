"""The whole proxy in front of a chat service that wants a conversation begun before it answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
import yaml

from proxy.core import tasks
from tests.docs.pages import DOCS, blocks
from tests.line.harness import KEY, Proxy, config, merged, read_request, scripted, serving, until

CONVERSATION: dict[str, Any] = {
    "create": {"path": "/api/conversations", "id_path": "data.id", "body": {"title": "new"}},
    "path": "/api/conversations/{conversation_id}/messages",
    "body": {
        "conversation": "{conversation_id}",
        "id": "{message_id}",
        "model": "{model}",
        "stream": "{stream}",
        "prompt": "{messages}",
    },
    "referer": "https://chat.example.com/c/{conversation_id}",
    "headers": {"x-conversation": "{conversation_id}"},
    "text_path": ["delta", "message.text"],
    "done": {"path": "type", "equals": "end"},
}
STREAM = [{"type": "start"}, {"delta": "The mill"}, {"delta": " turns."}, {"type": "end"}]
WHOLE = {"message": {"text": "The mill turns."}}


class Asked:
    """One request the service saw."""

    def __init__(self, head: bytes, body: bytes) -> None:
        line, _, rest = head.decode().partition("\r\n")
        self.method, self.path, _ = line.split(" ")
        pairs: list[tuple[str, str]] = re.findall(r"(?m)^([\w-]+): (.*)\r$", rest)
        self.headers = {name.lower(): value for name, value in pairs}
        self.body: Any = orjson.loads(body) if body else None

    @property
    def token(self) -> str:
        return self.headers["authorization"].removeprefix("Bearer ")

    @property
    def begins(self) -> bool:
        """It begins a conversation."""
        return self.path.endswith("/conversations")


def http(status: int, body: Any, kind: str = "application/json") -> bytes:
    """A whole response."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def events(*payloads: Any) -> bytes:
    """A whole stream."""
    content = b"".join(b"data: %b\n\n" % orjson.dumps(one) for one in payloads)
    return http(200, content, "text/event-stream")


class Service:
    """Begins a conversation for whoever asks and answers in it; remembers every request."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.begun = 0
        self.held: asyncio.Event | None = None
        """Nothing is begun until then."""
        self.begin: Callable[[Asked], bytes | None] = lambda _: None
        """What to say instead of an id."""
        self.answer: Callable[[Asked], bytes] = self.usual

    def usual(self, asked: Asked) -> bytes:
        return events(*STREAM) if asked.body["stream"] else http(200, WHOLE)

    async def script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            one = Asked(*await read_request(reader))
            self.asked.append(one)
            if one.begins and self.held is not None:
                await self.held.wait()
            writer.write(self._begin(one) if one.begins else self.answer(one))

    def _begin(self, one: Asked) -> bytes:
        instead = self.begin(one)
        if instead is not None:
            return instead
        self.begun += 1
        return http(200, {"data": {"id": f"c{self.begun}"}})

    @property
    def questions(self) -> list[Asked]:
        return [one for one in self.asked if not one.begins]


@asynccontextmanager
async def between(
    service: Service, folder: Path, *, tokens: int = 1, **changes: Any
) -> AsyncIterator[Proxy]:
    """The proxy before the service."""
    async with scripted(service.script) as url:
        content = config(url)
        block = content["providers"]["p0"]
        del block["dialects"]
        block["conversation"] = merged(CONVERSATION, changes.pop("conversation", {}))
        block["credentials"] = [f"token-{index}" for index in range(tokens)]
        async with serving(merged(content, changes), folder) as proxy:
            yield proxy


# --- one request ---


async def test_a_conversation_is_begun_and_the_question_asked_in_it(tmp_path: Path) -> None:
    service = Service()
    async with between(service, tmp_path) as proxy:
        answer = await proxy.chat("sim", stream=False)

    begin, question = service.asked
    assert (begin.method, begin.path, begin.token) == ("POST", "/api/conversations", "token-0")
    assert begin.body == {"title": "new"}
    assert (question.method, question.path, question.token) == (
        "POST",
        "/api/conversations/c1/messages",
        "token-0",
    )
    assert question.headers["referer"] == "https://chat.example.com/c/c1"
    assert question.headers["x-conversation"] == "c1"
    assert question.headers["content-type"] == "application/json"
    assert str(UUID(question.body["id"])) == question.body.pop("id")
    assert question.body == {
        "conversation": "c1",
        "model": "sim",
        "stream": False,
        "prompt": "hi",
    }
    assert answer.status == 200
    assert answer.json["object"] == "chat.completion"
    (choice,) = answer.json["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("The mill turns.", "stop")


async def test_a_stream_comes_as_a_stream(tmp_path: Path) -> None:
    async with between(Service(), tmp_path) as proxy:
        answer = await proxy.chat("sim")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.text, answer.complete) == ("The mill turns.", True)
    assert answer.events[-1] == "[DONE]"
    assert {event["object"] for event in answer.events[:-1]} == {"chat.completion.chunk"}


@pytest.mark.parametrize("stream", [True, False])
async def test_clients_of_every_dialect_are_answered_in_it(tmp_path: Path, stream: bool) -> None:
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    turn = {"role": "user", "content": "hi"}
    service = Service()
    async with between(service, tmp_path) as proxy:
        answers = [
            await proxy.post(
                "/v1/messages",
                {"model": "sim", "max_tokens": 9, "stream": stream, "messages": [turn]},
            ),
            await proxy.post(
                f"/v1beta/models/sim:{verb}", {"contents": [{"parts": [{"text": "hi"}]}]}
            ),
        ]

    for answer in answers:
        assert (answer.status, answer.complete) == (200, True), answer
        assert answer.body.count(b"The mill") == 1
        assert answer.body.count(b" turns.") == 1
    assert [one.body["stream"] for one in service.questions] == [stream, stream]


@pytest.mark.parametrize("stream", [True, False])
async def test_what_the_service_gives_is_turned_into_what_is_wanted(
    tmp_path: Path, stream: bool
) -> None:
    service = Service()
    service.answer = lambda _: http(200, WHOLE) if stream else events(*STREAM)
    async with between(service, tmp_path) as proxy:
        answer = await proxy.chat("sim", stream=stream)

    if stream:
        assert (answer.text, answer.events[-1]) == ("The mill turns.", "[DONE]")
    else:
        assert answer.json["choices"][0]["message"]["content"] == "The mill turns."


async def test_every_request_has_a_conversation_of_its_own(tmp_path: Path) -> None:
    service = Service()
    async with between(service, tmp_path) as proxy:
        for _ in range(3):
            await proxy.chat("sim")

    assert [one.begins for one in service.asked] == [True, False] * 3
    assert [one.body["conversation"] for one in service.questions] == ["c1", "c2", "c3"]


async def test_names_with_spaces_and_dots_are_models(tmp_path: Path) -> None:
    service = Service()
    models = {"Claude 4-Default": {"deployments": [{"provider": "p0"}]}}
    async with between(service, tmp_path, models=models) as proxy:
        assert (await proxy.chat("Claude 4-Default")).text == "The mill turns."

    assert service.questions[0].body["model"] == "Claude 4-Default"


async def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    async with between(Service(), tmp_path) as proxy:
        answer = await proxy.chat("sim", stream=False, temperature=0.5)
        assert answer.headers["x-headrace-dropped"] == "temperature"
        assert proxy.metric("headrace_translation_dropped_total", to="conversation.chat") == 1


async def test_a_strict_model_refuses_before_a_conversation_is_begun(tmp_path: Path) -> None:
    service = Service()
    models = {"sim*": {"strict": True, "deployments": [{"provider": "p0", "model": "sim*"}]}}
    async with between(service, tmp_path, models=models) as proxy:
        answer = await proxy.chat("sim", temperature=0.5)

    assert answer.status == 400
    assert answer.json["error"]["code"] == "translation_loss"
    assert service.asked == []


async def test_tokens_of_a_prompt_are_estimated(tmp_path: Path) -> None:
    service = Service()
    async with between(service, tmp_path) as proxy:
        answer = await proxy.post(
            "/v1/messages/count_tokens",
            {"model": "sim", "messages": [{"role": "user", "content": "hi"}]},
        )

    assert (answer.status, answer.headers["x-headrace-estimated"]) == (200, "true")
    assert service.asked == []


async def test_tokens_are_counted_by_whoever_counts(tmp_path: Path) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http(200, {"input_tokens": 7}))

    service = Service()
    async with scripted(script) as url:
        other = {
            "base_url": url,
            "dialects": ["anthropic.messages"],
            "credentials": ["token"],
            "allow_private": True,
        }
        deployments = [{"provider": "p0", "model": "sim*"}, {"provider": "p1", "priority": 2}]
        async with between(
            service,
            tmp_path,
            providers={"p1": other},
            models={"sim*": {"deployments": deployments}},
        ) as proxy:
            answer = await proxy.post(
                "/v1beta/models/sim:countTokens", {"contents": [{"parts": [{"text": "hi"}]}]}
            )

    assert answer.json["totalTokens"] == 7
    assert service.asked == []


async def test_events_that_repeat_the_whole_text_are_told_piece_by_piece(tmp_path: Path) -> None:
    service = Service()
    service.answer = lambda _: events({"delta": "The"}, {"delta": "The mill turns."})
    async with between(
        service,
        tmp_path,
        conversation={"delta": False, "done": None, "done_at_end": True},
    ) as proxy:
        answer = await proxy.chat("sim")

    assert (answer.text, answer.events[-1]) == ("The mill turns.", "[DONE]")


async def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    (example, *_) = blocks(DOCS / "conversation.md", "yaml")
    service = Service()
    service.answer = lambda _: events(
        {"type": "text", "text": "The mill"}, {"type": "text", "text": " turns."}, {"type": "end"}
    )
    async with scripted(service.script) as url:
        content = yaml.safe_load(example.text)
        ours = {
            "base_url": f"{url}/api",
            "allow_private": True,
            "credentials": ["token-0"],
            "conversation": {"prefetch": 0},
        }
        content = merged(content, {"providers": {"chatter": ours}})
        async with serving(merged(content, {"keys": [{"name": "t", "key": KEY}]}), tmp_path) as one:
            answer = await one.chat("Claude 4-Default", stream=True)

    begin, question = service.asked
    assert (begin.path, begin.body["name"], begin.token) == (
        "/api/v2/conversations",
        "new",
        "token-0",
    )
    assert question.path == "/api/v2/chat"
    assert question.body["conversation_id"] == "c1"
    assert question.body["stream"] is True
    assert question.body["turns"] == [{"role": "user", "text": "hi"}]
    assert question.headers["referer"] == "https://chat.example.com/c/c1"
    assert answer.text == "The mill turns."


# --- failures ---


async def test_a_refused_credential_rests_and_another_takes_over(tmp_path: Path) -> None:
    service = Service()
    service.begin = lambda one: http(401, {"msg": "expired"}) if one.token == "token-0" else None
    async with between(service, tmp_path, tokens=2) as proxy:
        answers = [await proxy.chat("sim") for _ in range(4)]

    assert [answer.text for answer in answers] == ["The mill turns."] * 4
    begun = [one.token for one in service.asked if one.begins]
    assert (begun.count("token-0"), begun.count("token-1")) == (1, 4)


async def test_an_error_inside_a_200_rotates_the_credential_too(tmp_path: Path) -> None:
    service = Service()
    service.begin = lambda one: (
        http(200, {"code": 401, "msg": "expired"}) if one.token == "token-0" else None
    )
    async with between(service, tmp_path, tokens=2) as proxy:
        assert [(await proxy.chat("sim")).status for _ in range(2)] == [200, 200]


async def test_the_least_used_credential_begins_the_next(tmp_path: Path) -> None:
    service = Service()
    async with between(service, tmp_path, tokens=3) as proxy:
        for _ in range(6):
            await proxy.chat("sim")

    tokens = [one.token for one in service.asked if one.begins]
    assert sorted(tokens[:3]) == ["token-0", "token-1", "token-2"]
    assert {token: tokens.count(token) for token in tokens} == dict.fromkeys(tokens, 2)
    for begin, question in zip(service.asked[::2], service.asked[1::2], strict=True):
        assert begin.token == question.token


async def test_a_service_that_fails_to_begin_is_tried_again(tmp_path: Path) -> None:
    service = Service()
    failures = iter([http(503, {})])
    service.begin = lambda _: next(failures, None)
    async with between(service, tmp_path) as proxy:
        answer = await proxy.chat("sim")

    assert answer.text == "The mill turns."
    assert len(service.questions) == 1


async def test_a_question_that_fails_is_asked_again_in_a_new_conversation(tmp_path: Path) -> None:
    service = Service()
    failures = iter([http(500, {"error": "busy"})])
    service.answer = lambda one: next(failures, None) or service.usual(one)
    async with between(service, tmp_path) as proxy:
        answer = await proxy.chat("sim")

    assert answer.text == "The mill turns."
    assert [one.body["conversation"] for one in service.questions] == ["c1", "c2"]


async def test_an_error_is_said_in_the_dialect_of_the_client(tmp_path: Path) -> None:
    service = Service()
    service.answer = lambda _: http(422, {"error": {"message": "No politics, please."}})
    turn = {"role": "user", "content": "hi"}
    async with between(service, tmp_path) as proxy:
        chat = await proxy.chat("sim")
        messages = await proxy.post(
            "/v1/messages", {"model": "sim", "max_tokens": 9, "messages": [turn]}
        )

    assert (chat.status, messages.status) == (422, 422)
    assert chat.json["error"]["message"] == "No politics, please."
    assert messages.json["type"] == "error"
    assert messages.json["error"]["message"] == "No politics, please."


async def test_a_failure_to_begin_is_never_the_fault_of_the_client(tmp_path: Path) -> None:
    service = Service()
    service.begin = lambda _: http(400, {"error": {"message": "title is too long"}})
    async with between(service, tmp_path) as proxy:
        answer = await proxy.chat("sim", stream=False)

    assert answer.status == 502
    assert answer.json["error"]["type"] == "upstream_error"


async def test_an_error_in_mid_stream_ends_it_with_an_error(tmp_path: Path) -> None:
    service = Service()
    service.answer = lambda _: events(
        {"delta": "The mill"}, {"error": {"message": "Out of water."}}, {"delta": "more"}
    )
    async with between(service, tmp_path) as proxy:
        answer = await proxy.chat("sim")

    assert answer.text in ("", "The mill")
    assert "[DONE]" not in answer.events
    assert b"error" in answer.body


async def test_a_stream_without_its_end_is_no_success(tmp_path: Path) -> None:
    service = Service()
    service.answer = lambda _: events({"delta": "The mill"}, {"delta": " turns"})
    async with between(service, tmp_path) as proxy:
        answer = await proxy.chat("sim")

    assert "[DONE]" not in answer.events
    assert answer.status == 502 or not answer.complete


async def test_both_calls_share_one_limit(tmp_path: Path) -> None:
    service = Service()
    held = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        service.asked.append(Asked(*await read_request(reader)))
        await held.wait()

    service.script = script  # type: ignore[method-assign]
    async with between(
        service, tmp_path, defaults={"timeouts": {"ttft": 0.05}, "retry": {"count": 0}}
    ) as proxy:
        answer = await proxy.chat("sim")

    assert (answer.status, len(service.asked)) == (504, 1)


# --- ahead of need ---


async def quiet() -> None:
    """Wait until nothing is begun ahead of need any more."""
    await until(lambda: not any("conversation" in task.get_name() for task in tasks.running()))


async def test_what_was_begun_ahead_saves_a_round_trip(tmp_path: Path) -> None:
    service = Service()
    async with between(service, tmp_path, conversation={"prefetch": 1}) as proxy:
        await proxy.chat("sim")
        await quiet()
        assert service.begun == 2
        service.held = asyncio.Event()

        answer = await proxy.chat("sim")

    assert answer.text == "The mill turns."
    assert service.questions[1].body["conversation"] == "c2"


async def test_nothing_is_begun_after_the_end(tmp_path: Path) -> None:
    service = Service()
    async with between(service, tmp_path, conversation={"prefetch": 2}) as proxy:
        await proxy.chat("sim")

    await quiet()
    assert service.begun <= 3
