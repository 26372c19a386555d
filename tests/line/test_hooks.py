"""Hooks of an installation in a whole proxy: what each point sees, changes and refuses, in every dialect."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import phonenumbers  # noqa: F401 - its first import takes its time
import pytest
import yaml

from proxy.gateway.capture import text_in
from proxy.hooks import Ended
from tests.line import hooks_made
from tests.line.asking import (
    CHAT,
    DIALECTS,
    GEMINI,
    Dialect,
    assert_error,
    fleet,
    replying,
    text_of,
)
from tests.line.harness import (
    Answer,
    Process,
    Proxy,
    Raw,
    Script,
    Simulator,
    config,
    read_request,
    request,
    scripted,
    serving,
    until,
)

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ARRAY = GEMINI._replace(
    name="array", stream_path=GEMINI.stream_path.removesuffix("?alt=sse"), terminal=b"finishReason"
)
STREAMED = {**DIALECTS, "array": ARRAY}
every = pytest.mark.parametrize("name", DIALECTS)
streamed = pytest.mark.parametrize("name", STREAMED)


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    hooks_made.SEEN.clear()
    hooks_made.GATE.clear()
    yield
    hooks_made.GATE.set()


def hook(kind: str, **fields: Any) -> dict[str, Any]:
    """One of `hooks_made`; what is no field of a hook is an option."""
    own = {"points", "models", "timeout", "on_error", "hold", "name"}
    options = {name: value for name, value in fields.items() if name not in own}
    said = {name: value for name, value in fields.items() if name in own}
    return {
        "name": kind.lower(),
        "use": f"tests.line.hooks_made:{kind}",
        "options": options,
        **said,
    }


def keywords(*words: str, action: str = "refuse", **fields: Any) -> dict[str, Any]:
    options = {"words": list(words), "action": action}
    return {"name": "keywords", "points": "screen", "options": options, **fields}


def frame(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def delta(text: str | None, finish: str | None = None) -> bytes:
    fields = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return b"data: %b\n\n" % orjson.dumps({"id": "c", "model": "up", "choices": [choice]})


def whole(body: Any) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    raw = orjson.dumps(body)
    return head % len(raw) + raw


def completion(text: str, pieces: int, body: bytes) -> bytes:
    """An answer that says this, or repeats the question; streamed so many letters at a time."""
    asked = orjson.loads(body)
    said = text or asked["messages"][-1]["content"]
    if asked.get("stream"):
        parts = [said[at : at + pieces] for at in range(0, len(said), pieces)]
        events = [*(delta(part) for part in parts), delta(None, "stop"), b"data: [DONE]\n\n"]
        return HEAD + b"".join(map(frame, events)) + b"0\r\n\r\n"
    choice = {"index": 0, "message": {"role": "assistant", "content": said}}
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    choices = [{**choice, "finish_reason": "stop"}]
    return whole({"id": "c", "created": 1, "model": "up", "choices": choices, "usage": usage})


def chat(text: str, pieces: int = 1) -> Script:
    """A provider of chat that says this."""
    return replying(lambda _, body: completion(text, pieces, body))


@asynccontextmanager
async def behind(
    script: Script, folder: Path, *hooks: dict[str, Any], model: dict[str, Any] | None = None
) -> AsyncIterator[Proxy]:
    """A proxy with these hooks in front of a provider of chat, which serves the model `m`."""
    async with scripted(script) as url:
        content = config(url, hooks=list(hooks))
        content["providers"]["p0"]["dialects"] = ["openai.chat"]
        content["models"]["m"] = {
            "deployments": [{"provider": "p0", "model": "up"}],
            **(model or {}),
        }
        async with serving(content, folder) as proxy:
            yield proxy


def paused(more: asyncio.Event, before: str, after: str) -> Script:
    """A provider of chat that says the first part, and the second once it may."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + frame(delta(before)))
        await more.wait()
        writer.write(frame(delta(after)) + frame(delta(None, "stop")) + b"0\r\n\r\n")
        await reader.read()

    return script


async def begun(proxy: Proxy, dialect: Dialect) -> Raw:
    """A client that has asked for a stream and has the head of it."""
    client = await proxy.raw()
    body = {**dialect.body, "model": "m", "stream": True}
    if dialect.family == "gemini":
        body = dialect.body
    client.send(request("POST", dialect.stream_path.format(model="m"), orjson.dumps(body)))
    await client.head()
    return client


async def rest_of(client: Raw) -> tuple[bytes, bool]:
    """What is left of it, framing and all, and whether it ended as it should."""
    rest = await client.reader.read()
    return rest, rest.endswith(b"0\r\n\r\n")


def said(dialect: Dialect, answer: Answer, *, stream: bool) -> str:
    """The text of an answer, streamed or whole."""
    if not stream:
        return text_of(answer)
    events = orjson.loads(answer.body) if dialect.name == "array" else answer.events
    return "".join(text_in(orjson.dumps(event)) for event in events if event != "[DONE]")


# --- words on a stream ---


@streamed
@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_word_is_masked_however_the_answer_is_cut(
    name: str, pieces: int, tmp_path: Path
) -> None:
    dialect = STREAMED[name]
    async with behind(
        chat("It is a secret, secretly.", pieces), tmp_path, keywords("secret", action="mask")
    ) as proxy:
        answer = await dialect.ask(proxy, stream=True)
        assert (answer.status, answer.complete) == (200, True), answer
        assert dialect.terminal in answer.body
        assert said(dialect, answer, stream=True) == "It is a ***, ***ly."
        whole = await dialect.ask(proxy)
        assert text_of(whole) == "It is a ***, ***ly."


@streamed
async def test_a_word_ends_a_stream_with_an_error_of_the_clients_dialect(
    name: str, tmp_path: Path
) -> None:
    dialect, more = STREAMED[name], asyncio.Event()
    async with behind(paused(more, "It is a sec", "ret."), tmp_path, keywords("secret")) as proxy:
        client = await begun(proxy, dialect)
        first = await client.reader.readuntil(b"It is a ")
        more.set()
        rest, complete = await rest_of(client)

        assert not complete
        assert b"must not pass this gateway" in rest
        assert dialect.terminal not in rest
        assert b"sec" not in first + rest
        assert proxy.metric("headrace_stream_terminations_total", reason="refused") == 1
        assert proxy.metric("headrace_hook_calls_total", outcome="refused", point="screen") == 1
        live = proxy.worker.state.live.deployments["m/0:p0"]
        assert (live.streak, live.inflight) == (0, 0)


@every
async def test_what_is_refused_at_once_has_a_status(name: str, tmp_path: Path) -> None:
    dialect = DIALECTS[name]
    async with behind(chat("secret", 6), tmp_path, keywords("secret")) as proxy:
        for stream in (True, False):
            answer = await dialect.ask(proxy, stream=stream)
            assert_error(dialect, answer, "hook_refused", code="keyword_refused")
        await until(lambda: not proxy.worker.state.live.deployments["m/0:p0"].inflight)


@streamed
async def test_providers_of_the_same_dialect_are_screened_too(
    name: str, sim: Simulator, tmp_path: Path
) -> None:
    dialect = STREAMED[name]
    async with serving(config(sim.url), tmp_path) as proxy:
        plain = await dialect.ask(proxy, "sim-n9", stream=True)
    async with serving(
        config(sim.url, hooks=[keywords("mill turns", action="mask")]), tmp_path
    ) as proxy:
        masked = await dialect.ask(proxy, "sim-n9", stream=True)
        whole = await dialect.ask(proxy, "sim-n9")

    before, after = (said(dialect, one, stream=True) for one in (plain, masked))
    assert "mill turns" in before
    assert after == before.replace("mill turns", "***")
    assert masked.complete
    assert dialect.terminal in masked.body
    assert b"mill turns" not in masked.body + whole.body
    assert text_of(whole).startswith(after)


async def test_text_completions_are_screened_too(sim: Simulator, tmp_path: Path) -> None:
    hooks = [keywords("mill turns", action="mask")]
    async with serving(config(sim.url, hooks=hooks), tmp_path) as proxy:
        for stream in (True, False):
            body = {"model": "sim-n9", "prompt": "hi", "stream": stream}
            answer = await proxy.post("/v1/completions", body)
            assert b"***" in answer.body
            assert b"mill" not in answer.body


async def test_thoughts_and_what_tools_are_called_with_are_screened(
    sim: Simulator, tmp_path: Path
) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    async with serving(config(sim.url, hooks=[keywords("mill", action="mask")]), tmp_path) as proxy:
        for stream in (True, False):
            answer = await proxy.chat("sim-think-n9", stream=stream)
            assert b"reasoning_content" in answer.body
            assert b"mill" not in answer.body
            answer = await proxy.chat("sim-tool-n9", stream=stream, tools=[tool])
            assert b"tool_calls" in answer.body
            assert b"mill" not in answer.body


async def test_a_stream_from_a_whole_answer_is_screened(sim: Simulator, tmp_path: Path) -> None:
    content = config(sim.url, hooks=[keywords("mill turns", action="mask")])
    content["models"]["m"] = {
        "deployments": [{"provider": "p0", "model": "sim-n9", "stream": False}]
    }
    async with serving(content, tmp_path) as proxy:
        for dialect in STREAMED.values():
            answer = await dialect.ask(proxy, stream=True)
            assert answer.complete
            assert "***" in said(dialect, answer, stream=True)
            assert b"mill" not in answer.body


async def test_held_text_goes_out_in_time_and_is_stopped_before_its_end(tmp_path: Path) -> None:
    more = asyncio.Event()
    held = keywords("secret", hold={"characters": 20, "time": 0.02})
    async with behind(paused(more, "It is a sec", "ret"), tmp_path, held) as proxy:
        client = await begun(proxy, CHAT)
        await client.reader.readuntil(b'"It is a "')
        await client.reader.readuntil(b'"sec"')  # while its provider says nothing
        more.set()
        rest, complete = await rest_of(client)

    assert not complete
    assert b"ret" not in rest
    assert b"keyword_refused" in rest


async def test_a_long_stream_through_threads(sim: Simulator, tmp_path: Path) -> None:
    async with serving(config(sim.url, hooks=[hook("Shouts")]), tmp_path) as proxy:
        loud = await proxy.chat("sim-n3000-s40")
    async with serving(config(sim.url), tmp_path) as proxy:
        plain = await proxy.chat("sim-n3000-s40")

    shouted, said_plainly = await asyncio.to_thread(lambda: (loud.text, plain.text))
    assert loud.complete
    assert shouted == said_plainly.upper()
    assert len(shouted) > 100_000


async def test_a_client_that_leaves_while_a_screen_works(sim: Simulator, tmp_path: Path) -> None:
    waits = hook("Fails", how="waits", points="screen", timeout=20)
    async with serving(config(sim.url, hooks=[waits]), tmp_path) as proxy:
        client = await proxy.raw()
        body = {"model": "sim-n9", "stream": True, "messages": []}
        client.send(request("POST", CHAT.path, orjson.dumps(body)))
        live = proxy.worker.state.live.deployments["sim*/0:p0"]
        await until(lambda: live.inflight == 1)
        client.reset()
        await until(lambda: live.inflight == 0)
        hooks_made.GATE.set()
        assert (await proxy.chat("sim-n2")).complete


# --- what tells of a person ---


@streamed
async def test_what_tells_of_a_person_stays_here(name: str, tmp_path: Path) -> None:
    dialect, seen = STREAMED[name], []
    mail = "write to ann@example.com or +1 650 253 0000, not to bob@example.com: ann@example.com"

    def reply(_: bytes, body: bytes) -> bytes:
        seen.append(body)
        return completion("", 3, body)

    async with behind(replying(reply), tmp_path, {"name": "pii"}) as proxy:
        body = orjson.loads(orjson.dumps(dialect.body).replace(b'"hi"', orjson.dumps(mail)))
        asks = dialect._replace(body=body)
        for stream in (True, False):
            answer = await asks.ask(proxy, stream=stream)
            assert answer.complete
            assert said(dialect, answer, stream=stream) == mail
    for body in seen:
        assert b"[EMAIL_1] or [PHONE_1], not to [EMAIL_2]: [EMAIL_1]" in body
        assert b"example.com" not in body


async def test_an_answer_that_is_kept_is_for_the_same_person(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def reply(_: bytes, body: bytes) -> bytes:
        asked.append(body)
        return completion("", 3, body)

    kept = {"cache": {"ttl": 60, "requests": "all", "scope": "all"}}
    async with behind(replying(reply), tmp_path, {"name": "pii"}, model=kept) as proxy:
        for name, hit in (("ann", False), ("bob", False), ("ann", True)):
            mail = f"{name}@example.com"
            answer = await proxy.chat("m", messages=[{"role": "user", "content": mail}])
            assert answer.text == mail
            assert answer.headers["x-headrace-cache"] == ("hit" if hit else "miss")

    assert asked[0] == asked[1]
    assert len(asked) == 2


# --- the points ---


async def test_each_point_in_its_turn(sim: Simulator, tmp_path: Path) -> None:
    hooks = [hook("Looks")]
    async with serving(config(sim.url, hooks=hooks), tmp_path) as proxy:
        assert (await proxy.chat("sim-n3", stream=False)).status == 200
        await until(lambda: len(hooks_made.SEEN) == 4)
        assert (await proxy.chat("sim-n3")).complete
        await until(lambda: len(hooks_made.SEEN) == 7)

    first, second, third, fourth, *streamed, last = hooks_made.SEEN
    assert first == ("before_route", "chat", "sim-n3", "test", False)
    assert second == ("before_attempt", "sim*/0:p0", "sim-n3", "openai.chat")
    assert third[:2] == ("after_response", "sim*/0:p0")
    assert "choices" in third[2]
    assert isinstance(fourth, Ended)
    assert (fourth.outcome, fourth.status, fourth.stream) == ("ok", 200, False)
    assert (fourth.input, fourth.output, fourth.provider) == (12, 3, "p0")
    assert [one[0] for one in streamed] == ["before_route", "before_attempt"]
    assert (last.outcome, last.stream, last.model) == ("ok", True, "sim*")
    assert last.first > 0


async def test_fields_headers_and_answers_are_changed(sim: Simulator, tmp_path: Path) -> None:
    change = hook(
        "Changes",
        request={"temperature": 0.5, "user": None, "messages": [{"role": "user", "content": "x"}]},
        answer={"note": ["seen"]},
        headers={"X-Region": "eu", "openai-beta": "ours"},
    )
    seen = []

    def reply(head: bytes, body: bytes) -> bytes:
        seen.append((head, orjson.loads(body)))
        return completion("ok", 1, body)

    async with behind(replying(reply), tmp_path, change) as proxy:
        answer = await proxy.post(
            CHAT.path,
            {"model": "m", "user": "me", "seed": 1, "messages": []},
            {"OpenAI-Beta": "theirs"},
        )
    assert answer.json["note"] == ["seen"]
    assert text_of(answer) == "ok"
    ((head, body),) = seen
    assert body == {
        "model": "up",
        "seed": 1,
        "messages": [{"role": "user", "content": "x"}],
        "temperature": 0.5,
    }
    assert b"\r\nx-region: eu\r\n" in head
    assert head.lower().count(b"openai-beta: ") == 1
    assert b"openai-beta: ours\r\n" in head


async def test_a_request_is_led_to_another_model(sim: Simulator, tmp_path: Path) -> None:
    hooks = [hook("Changes", model="sim-n2", points="before_route", models="m"), hook("Looks")]
    content = config(sim.url, hooks=hooks)
    content["models"]["m"] = {"deployments": [{"provider": "p0", "model": "sim-503"}]}
    async with serving(content, tmp_path) as proxy:
        for dialect in DIALECTS.values():
            assert (await dialect.ask(proxy, "m")).status == 200
    attempts = [one for one in hooks_made.SEEN if not isinstance(one, Ended)]
    assert {one[2] for one in attempts if one[0] == "before_attempt"} == {"sim-n2"}


async def test_a_key_may_not_be_led_where_it_may_not_go(sim: Simulator, tmp_path: Path) -> None:
    content = config(sim.url, hooks=[hook("Changes", model="sim-other")])
    content["keys"][0]["models"] = ["sim-n*"]
    async with serving(content, tmp_path) as proxy:
        assert (await proxy.chat("sim-n2")).status == 404


@every
@pytest.mark.parametrize("point", ["before_route", "before_attempt", "after_response"])
async def test_a_refusal_is_said_in_the_clients_dialect(
    name: str, point: str, sim: Simulator, tmp_path: Path
) -> None:
    dialect = DIALECTS[name]
    refuses = hook("Refuses", point=point, status=403, name="mine")
    async with serving(config(sim.url, hooks=[refuses, hook("Looks")]), tmp_path) as proxy:
        answer = await dialect.ask(proxy, "sim-n2")
        assert_error(dialect, answer, "hook_refused", code="my_rule", status=403)
        assert b"not this one" in answer.body
        assert proxy.metric("headrace_hook_calls_total", hook="mine", outcome="refused") == 1
        ended = hooks_made.SEEN
        await until(lambda: bool(ended) and isinstance(ended[-1], Ended))
    last = ended[-1]
    assert (last.cause, last.status) == ("my_rule", 403)
    # A provider that has answered is paid.
    assert (last.outcome, last.output) == (
        ("ok", 2) if point == "after_response" else ("rejected", -1)
    )


async def test_only_models_that_are_named(sim: Simulator, tmp_path: Path) -> None:
    content = config(sim.url, hooks=[hook("Refuses", point="before_route", models=["m", "x*"])])
    deployments = [{"provider": "p0", "model": "sim-n2"}]
    content["models"]["m"] = {"aliases": ["alias"], "deployments": deployments}
    async with serving(content, tmp_path) as proxy:
        assert (await proxy.chat("sim-n2")).status == 200
        assert (await proxy.chat("m")).status == 400
        assert (await proxy.chat("alias")).status == 400
        assert (await proxy.chat("xyz")).status == 400


# --- vetoes ---


async def test_a_deployment_that_is_vetoed_is_passed_by(sim: Simulator, tmp_path: Path) -> None:
    content = fleet((sim.url, "sim-n2-idvetoed"), (sim.url, "sim-n2"))
    content["hooks"] = [hook("Refuses", point="", veto=":p0")]
    async with serving(content, tmp_path) as proxy:
        assert (await proxy.chat("m")).complete
        live = proxy.worker.state.live.deployments
        assert (live["m/0:p0"].streak, live["m/0:p0"].inflight) == (0, 0)
        attempts = "headrace_upstream_attempts_total"
        assert proxy.metric(attempts, target="m/0:p0", reason="vetoed") == 1
    assert not await sim.requests("sim-n2-idvetoed")


@every
async def test_nobody_is_left(name: str, sim: Simulator, tmp_path: Path) -> None:
    content = fleet((sim.url, "sim-n2"), (sim.url, "sim-n2"))
    content["hooks"] = [hook("Vetoes")]
    async with serving(content, tmp_path) as proxy:
        answer = await DIALECTS[name].ask(proxy)
        assert_error(DIALECTS[name], answer, "hook_refused", code="vetoed_by_hook")


# --- failures ---

POINTS = ["before_route", "before_attempt", "after_response", "screen"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("how", ["raises", "waits", "exits"])
async def test_a_hook_that_fails_is_gone_without_or_refused(
    how: str, stream: bool, sim: Simulator, tmp_path: Path
) -> None:
    points = [point for point in POINTS if not (stream and point == "after_response")]
    patience = 0.03 if how == "waits" else 20
    fails = [
        hook(
            "Fails",
            how=how,
            points=[point, "on_end"],
            name=point,
            timeout=patience,
            models=f"{point}*",
        )
        for point in points
    ]
    opened = [
        {**one, "name": f"{one['name']}-open", "on_error": "open", "models": f"o-{one['models']}"}
        for one in fails
    ]
    content = config(sim.url, hooks=[*fails, *opened])
    content["models"]["*"] = {"deployments": [{"provider": "p0", "model": "sim-n2"}]}
    outcome = "timeout" if how == "waits" else "error"
    async with serving(content, tmp_path) as proxy:
        for point in points:
            answer = await proxy.chat(f"{point}-1", stream=stream)
            assert_error(CHAT, answer, "hook_failed")
            answer = await proxy.chat(f"o-{point}-1", stream=stream)
            assert (answer.status, answer.complete) == (200, True)
            calls = "headrace_hook_calls_total"
            assert proxy.metric(calls, point=point, hook=point, outcome=outcome) == 1
            assert proxy.metric(calls, point=point, hook=f"{point}-open", outcome=outcome) >= 1
        assert (await proxy.chat("sim-n2")).complete


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (hook("Fails", how="returns", points="screen"), 500),
        (hook("Changes", request={"stream": False}), 500),
        (hook("Changes", request={"model": 7}), 500),
        (hook("Changes", headers={"Authorization": "mine"}), 500),
        (hook("Changes", headers={"content-length": "3"}), 500),
        (hook("Changes", headers={"x-a": "1\r\nx-b: 2"}), 500),
        (hook("Changes", headers={"x a": "1"}), 500),
        (hook("Sleeps", timeout=0.02), 500),
    ],
    ids=["no piece", "stream", "model", "credential", "length", "line", "name", "sleeps"],
)
async def test_what_a_hook_may_not_do_is_a_failure(
    made: dict[str, Any], status: int, sim: Simulator, tmp_path: Path
) -> None:
    async with serving(config(sim.url, hooks=[made]), tmp_path) as proxy:
        assert (await proxy.chat("sim-n2")).status == status
    async with serving(config(sim.url, hooks=[{**made, "on_error": "open"}]), tmp_path) as proxy:
        assert (await proxy.chat("sim-n2")).complete


# --- elsewhere ---


async def test_what_nobody_looks_into_has_no_hooks(sim: Simulator, tmp_path: Path) -> None:
    hooks = [hook("Refuses", point="before_route")]
    async with serving(config(sim.url, hooks=hooks), tmp_path) as proxy:
        assert (await proxy.get("/v1/models")).status == 200
        assert (await proxy.get("/v1/files")).status != 400


BESIDE = """
from proxy.hooks import Refuse

class Rule:
    def __init__(self, code):
        self.code = code

    def before_route(self, request):
        raise Refuse("no", code=self.code)
"""


async def test_a_reload_makes_hooks_anew_and_keeps_the_good_ones(tmp_path: Path) -> None:
    (tmp_path / "beside_the_file.py").write_text(BESIDE)
    content = config("http://127.0.0.1:9", admin={"port": 0}, store={"url": ""})

    def write(**options: str) -> Path:
        rule = {"name": "rule", "use": "beside_the_file:Rule", "options": options}
        (tmp_path / "headrace.yaml").write_text(yaml.safe_dump({**content, "hooks": [rule]}))
        return tmp_path / "headrace.yaml"

    process = await asyncio.to_thread(Process, write(code="one"), tmp_path)
    port = int(process.url.rpartition(":")[2])

    async def code() -> str:
        client = await Raw.open(port)
        client.send(request("POST", CHAT.path, b'{"model":"sim","messages":[]}'))
        answer = await client.answer()
        client.close()
        found: str = answer.json["error"]["code"]
        return found

    try:
        assert await code() == "one"
        write(code="two")
        process.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(15):
            while await code() != "two":
                await asyncio.sleep(0.01)
        write(cod="three")
        process.process.send_signal(signal.SIGHUP)
        await until(lambda: any("hooks[0].options" in line for line in process.lines), 15)
        assert await code() == "two"
    finally:
        await asyncio.to_thread(process.stop)


async def test_an_attempt_beside_another_is_asked_for_too(sim: Simulator, tmp_path: Path) -> None:
    content = fleet((sim.url, "sim-n2-f60000"), (sim.url, "sim-n2"))
    for deployment in content["models"]["m"]["deployments"]:
        deployment["priority"] = 1 if deployment["provider"] == "p0" else 2
    content["models"]["m"]["hedge"] = {"enabled": True, "after": 0.02, "share": 1}
    content["hooks"] = [hook("Looks", points=["before_attempt"])]
    async with serving(content, tmp_path) as proxy:
        assert (await proxy.chat("m")).complete

    assert [one[1] for one in hooks_made.SEEN] == ["m/0:p0", "m/1:p1"]


async def test_a_shadow_is_asked_for_too(sim: Simulator, tmp_path: Path) -> None:
    content = fleet((sim.url, "sim-n2"))
    content["models"]["m"]["shadow"] = {"model": "sim-n3", "share": 1}
    content["hooks"] = [hook("Looks", models="m")]
    async with serving(content, tmp_path) as proxy:
        assert (await proxy.chat("m", stream=False)).status == 200
        await until(lambda: proxy.metric("headrace_shadow_requests_total", outcome="ok") == 1)

    attempts = [one for one in hooks_made.SEEN if not isinstance(one, Ended)]
    assert [one[0] for one in attempts].count("before_route") == 1
    assert [one[0] for one in attempts].count("after_response") == 1
    assert ("before_attempt", "sim*/0:p0", "sim-n3", "openai.chat") in attempts
