"""The same question in every dialect, what a good answer and an error of ours are in each, and faulty providers.

Dialect     how to ask, what to look for
row         a proxy in front of simulated providers, one fault word each; checks what must hold after every fault
replying    a scripted provider that answers each request with given bytes
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from proxy.core.errors import ERRORS
from tests.line.harness import Answer, Proxy, Script, Simulator, config, read_request, serving

_ids = itertools.count(1)


class Dialect(NamedTuple):
    """One way to ask."""

    name: str
    family: str
    path: str
    stream_path: str
    body: dict[str, Any]
    terminal: bytes
    """What only a stream that has come to its end holds."""

    async def ask(self, proxy: Proxy, model: str = "m", *, stream: bool = False) -> Answer:
        """One request on a connection of its own. Whatever the answer is, it gives nothing away."""
        path = (self.stream_path if stream else self.path).format(model=model)
        body = dict(self.body)
        if self.family != "gemini":
            body |= {"model": model, "stream": stream}
        answer = await proxy.post(path, body)
        assert_discreet(answer)
        return answer


_MESSAGES = [{"role": "user", "content": "hi"}]
CHAT = Dialect(
    "chat", "openai", "/v1/chat/completions", "/v1/chat/completions", {"messages": _MESSAGES},
    b"data: [DONE]\n\n",
)  # fmt: skip
RESPONSES = Dialect(
    "responses", "openai", "/v1/responses", "/v1/responses", {"input": "hi"},
    b"event: response.completed\n",
)  # fmt: skip
MESSAGES = Dialect(
    "messages", "anthropic", "/v1/messages", "/v1/messages",
    {"messages": _MESSAGES, "max_tokens": 100},
    b"event: message_stop\n",
)  # fmt: skip
GEMINI = Dialect(
    "gemini", "gemini", "/v1beta/models/{model}:generateContent",
    "/v1beta/models/{model}:streamGenerateContent?alt=sse",
    {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    b'"finishReason"',
)  # fmt: skip
DIALECTS = {dialect.name: dialect for dialect in (CHAT, RESPONSES, MESSAGES, GEMINI)}


def assert_discreet(answer: Answer) -> None:
    """No credential and no address of a provider is in it, and it can be found in the log."""
    told = answer.body + repr(answer.headers).encode()
    assert b"upstream-secret" not in told, answer
    assert b"127.0.0.1" not in told, answer
    assert b"Traceback" not in told, answer
    assert "location" not in answer.headers
    assert answer.headers["x-request-id"]


def assert_good(dialect: Dialect, answer: Answer, *, stream: bool = False) -> None:
    """A whole answer."""
    assert answer.status == 200, answer
    assert answer.complete, answer
    if stream:
        assert dialect.terminal in answer.body, answer
    else:
        assert text_of(answer), answer


def text_of(answer: Answer) -> str:
    """The text of a whole answer in any dialect."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.extend(v for k, v in value.items() if k in _TEXTS and isinstance(v, str))
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                walk(item)

    walk(answer.json)
    return "".join(found)


_TEXTS = frozenset({"text", "content"})


def assert_error(
    dialect: Dialect, answer: Answer, ref: str, *, code: str = "", status: int = 0
) -> None:
    """The error `ref` of our own, in the shape of the dialect. `status` when it is not the row's."""
    row = ERRORS[ref]
    assert answer.complete, answer
    assert answer.headers["content-type"] == "application/json; charset=utf-8", answer
    body = answer.json
    error = body["error"]
    assert error["message"], answer
    if dialect.family == "anthropic":
        assert answer.status == (status or row.anthropic_status or row.status), answer
        assert body["type"] == "error"
        assert error["type"] == row.anthropic_type, answer
        assert body["request_id"] == answer.headers["x-request-id"]
        assert answer.headers["request-id"] == answer.headers["x-request-id"]
        return
    assert answer.status == (status or row.status), answer
    if dialect.family == "gemini":
        assert error["code"] == answer.status
        assert error["status"] == row.google_status, answer
    else:
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == row.type, answer
        assert error["code"] == (code or row.code), answer


class Row:
    """One row of the fault matrix under test."""

    def __init__(self, proxy: Proxy, sim: Simulator, models: list[str]) -> None:
        self.proxy = proxy
        self._sim = sim
        self.models = models
        """What each deployment of the model `m` calls it."""

    async def seen(self, member: int = 0) -> list[dict[str, Any]]:
        """The requests that reached one deployment of `m`, oldest first."""
        return await self._sim.requests(self.models[member])

    def tried(self, member: int = 0, **labels: str) -> float:
        """How often a deployment of `m` was tried, as the metrics say."""
        target = f"m/{member}:p{member}"
        return self.proxy.metric("headrace_upstream_attempts_total", target=target, **labels)

    def failures(self, member: int = 0) -> float:
        """Hard failures in a row that a deployment of `m` has against it."""
        return self.proxy.worker.state.live.deployments[f"m/{member}:p{member}"].streak


def fleet(*members: tuple[str, str], **changes: Any) -> dict[str, Any]:
    """A model `m` with one provider a member (URL, its name there), in this order of preference; no long waits."""
    deployments = [
        {"provider": f"p{index}", "model": model, "priority": index}
        for index, (_, model) in enumerate(members)
    ]
    content = config(*(url for url, _ in members))
    content["models"]["m"] = {"deployments": deployments}
    return config_with(content, changes)


def config_with(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` laid over a configuration; dotted names lead into it."""
    for name, value in changes.items():
        *way, last = name.split("__")
        place = content
        for step in way:
            place = place.setdefault(step, {})
        place[last] = value
    return content


@asynccontextmanager
async def row(sim: Simulator, folder: Path, *faults: str, **changes: Any) -> AsyncIterator[Row]:
    """A proxy in front of one simulated provider for each fault word, the first one preferred.

    Afterwards the proxy must still serve (V2), and hold no request open at a provider (V6).
    """
    tag = f"sim-z{next(_ids)}"
    models = [f"{tag}-n4-{fault}" if fault else f"{tag}-n4" for fault in faults]
    content = fleet(*((sim.url, model) for model in models), **changes)
    content["providers"]["spare"] = {**config(sim.url)["providers"]["p0"], "credentials": ["x" * 9]}
    members = [*(f"p{index}" for index in range(len(faults))), "spare"]
    content["models"]["good"] = {
        "deployments": [
            {"provider": name, "model": f"{tag}-n2", "priority": index}
            for index, name in enumerate(members)
        ]
    }
    async with serving(content, folder) as proxy:
        yield Row(proxy, sim, models)
        assert_good(CHAT, await CHAT.ask(proxy, "good"))
        async with asyncio.timeout(5):
            while [one for model in models for one in await sim.requests(model) if _open(one)]:
                await asyncio.sleep(0)


def _open(request: dict[str, Any]) -> bool:
    return request["ended_at"] is None


Reply = Callable[[bytes, bytes], bytes]
"""(head, body) of a request to the bytes of a response."""


def replying(reply: Reply) -> Script:
    """A provider that answers every request on every connection with what `reply` returns; nothing ends one."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await read_request(reader)
            data = reply(head, body)
            if not data:
                return
            writer.write(data)

    return script


def response(status: int, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    """A response's bytes. Underscores in header names stand for hyphens."""
    fields = {"content-type": kind, "content-length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode() + body


def said(text: str) -> bytes:
    """A whole chat completion."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return response(
        200,
        orjson.dumps(
            {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": {
                "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
        ),
    )  # fmt: skip


def refused(status: int, type: str = "server_error", code: Any = None, **headers: str) -> bytes:
    """An error in OpenAI's shape."""
    error = {"message": "No.", "type": type, "param": None, "code": code}
    return response(status, orjson.dumps({"error": error}), **headers)


GOOD = said("good")
