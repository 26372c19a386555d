"""Pictures and speech: what a provider gets of a request for them, and what they cost."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.gateway import event_relay
from tests.line.harness import KEY, Proxy, config, read_request, scripted, serving

pytestmark = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
MASK = b"\x89PNG\r\n\x1a\n mask"
USAGE = {
    "total_tokens": 1300,
    "input_tokens": 300,
    "output_tokens": 1000,
    "input_tokens_details": {"text_tokens": 100, "image_tokens": 200},
}
MADE = {"created": 1, "data": [{"b64_json": "eA=="}, {"b64_json": "eQ=="}], "usage": USAGE}


@dataclass
class Vendor:
    """Takes forms for edits, as OpenAI does, and remembers what was in them."""

    url: str = ""
    forms: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, asked: web.Request) -> web.StreamResponse:
        if asked.path.endswith("/edits"):
            if not asked.content_type.startswith("multipart/"):
                return web.json_response({"error": {"message": "send a form"}}, status=400)
            form = await asked.post()
            self.forms.append(
                {
                    name: (value.file.read(), value.content_type)
                    if isinstance(value, web.FileField)
                    else value
                    for name, value in form.items()
                }
            )
        if asked.path.endswith("/speech"):
            return web.Response(body=b"ID3 sound", content_type="audio/mpeg")
        if asked.path.endswith("/transcriptions"):
            usage = {"type": "duration", "seconds": 90}
            return web.json_response({"text": "Hello", "usage": usage})
        return web.json_response(MADE)


@asynccontextmanager
async def vendor() -> AsyncIterator[Vendor]:
    found = Vendor()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    async with TestServer(app) as server:
        found.url = str(server.make_url("/")).rstrip("/")
        yield found


PRICES = {
    "painter": {"input": 5, "output": 40},
    "each": {"image": 0.04},
    "speaker": {"character": 15},
    "hearer": {"second": 0.0001},
}


@asynccontextmanager
async def painting(folder: Path, **changes: Any) -> AsyncIterator[tuple[Proxy, Vendor]]:
    async with vendor() as found:
        content = config(
            found.url, ledger={"path": str(folder / "ledger")}, prices=PRICES, **changes
        )
        content["models"] = {
            "best": {"deployments": [{"provider": "p0", "model": "painter"}]},
            **{name: {"deployments": [{"provider": "p0"}]} for name in PRICES},
        }
        async with serving(content, folder) as proxy:
            yield proxy, found


async def test_an_edit_in_json_reaches_the_provider_as_a_form(tmp_path: Path) -> None:
    body = {
        "model": "best",
        "prompt": "With a river",
        "n": 2,
        "image": ["data:image/png;base64," + b64encode(PICTURE).decode()],
        "mask": b64encode(MASK).decode(),
    }
    async with painting(tmp_path) as (proxy, found):
        answer = await proxy.post("/v1/images/edits", body)

    assert answer.status == 200, answer.body
    assert found.forms == [
        {
            "model": "painter",
            "prompt": "With a river",
            "n": "2",
            "image[]": (PICTURE, "image/png"),
            "mask": (MASK, "image/png"),
        }
    ]


async def test_the_client_of_openai_sends_a_form_that_stays_one(tmp_path: Path) -> None:
    async with (
        painting(tmp_path) as (proxy, found),
        openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as c,
    ):
        made = await c.images.edit(
            model="best", image=("a.png", PICTURE, "image/png"), prompt="With a river"
        )

    assert made.usage is not None
    assert made.usage.output_tokens == 1000
    assert found.forms[0]["model"] == "painter"
    assert found.forms[0]["image"][0] == PICTURE


def costs(proxy: Proxy) -> float:
    """US dollars, of all requests."""
    counted = proxy.worker.state.metrics.cost.children().values()
    return sum(float(counter.value) for counter in counted)


@pytest.mark.parametrize(
    ("path", "body", "usd"),
    [
        ("images/generations", {"model": "painter", "prompt": "a mill"}, 300 * 5e-6 + 1000 * 40e-6),
        ("images/generations", {"model": "each", "prompt": "a mill", "n": 2}, 0.08),
        ("audio/speech", {"model": "speaker", "input": "Größe", "voice": "a"}, 5 * 15e-6),
    ],
)
async def test_what_is_made_is_charged(
    tmp_path: Path, path: str, body: dict[str, Any], usd: float
) -> None:
    async with painting(tmp_path) as (proxy, _):
        answer = await proxy.post(f"/v1/{path}", body)

        assert answer.status == 200
        assert costs(proxy) == pytest.approx(usd, abs=1e-6)


async def test_what_is_heard_is_charged_by_the_second(tmp_path: Path) -> None:
    async with painting(tmp_path) as (proxy, _):
        async with openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as c:
            heard = await c.audio.transcriptions.create(
                model="hearer", file=("a.mp3", b"ID3 sound")
            )
        assert heard.text == "Hello"
        assert costs(proxy) == pytest.approx(0.009)


async def test_what_was_read_aloud_counts_for_a_budget(tmp_path: Path) -> None:
    budget = {"usd": 1, "period": "total"}
    keys = [{"name": "test", "key": KEY, "budget": budget}]
    async with painting(tmp_path, keys=keys) as (proxy, _):
        long = {"model": "speaker", "input": "a" * 100_000, "voice": "a"}
        answers = [
            await proxy.post("/v1/audio/speech", {**long, "input": text})
            for text in (long["input"], "a" * 1000)
        ]

        assert [answer.status for answer in answers] == [200, 429]
        assert b"insufficient_quota" in answers[1].body
        assert costs(proxy) == pytest.approx(1.5)


# --- several in one stream ---


def event(what: str, **fields: Any) -> bytes:
    kind = f"image_generation.{what}"
    data = f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **fields}) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ONE = event("completed", b64_json="eA==", usage=USAGE)
TWO = {"model": "painter", "prompt": "a mill", "n": 2, "stream": True}
GENERATIONS = "/v1/images/generations"


@asynccontextmanager
async def streaming(
    folder: Path, *parts: bytes, timeouts: dict[str, Any] | None = None
) -> AsyncIterator[Proxy]:
    """A provider that is silent for a moment before each further part, unless it is left meanwhile."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + parts[0])
        for part in parts[1:]:
            with suppress(TimeoutError):
                if not await asyncio.wait_for(reader.read(1), 0.05):
                    return
            writer.write(part)
        await reader.read()

    async with scripted(script) as url:
        content = config(url, ledger={"path": str(folder / "ledger")}, prices=PRICES)
        content["models"] = {name: {"deployments": [{"provider": "p0"}]} for name in PRICES}
        content["defaults"]["timeouts"] = timeouts or {}
        async with serving(content, folder) as proxy:
            yield proxy


@pytest.mark.parametrize(
    ("model", "usd"), [("painter", 2 * (300 * 5e-6 + 1000 * 40e-6)), ("each", 0.08)]
)
@pytest.mark.parametrize("size", [4, 100_000])
async def test_all_pictures_of_a_stream_arrive_and_are_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, usd: float, size: int
) -> None:
    monkeypatch.setattr(event_relay, "AFTER_FINISH", 0.001)
    partial = event("partial_image", b64_json="eA==", partial_image_index=0)
    one = event("completed", b64_json="A" * size, usage=USAGE)
    async with streaming(tmp_path, partial + one, one + b"0\r\n\r\n") as proxy:
        answer = await proxy.post(GENERATIONS, {**TWO, "model": model})

        assert answer.complete
        assert answer.body.count(b'"type":"image_generation.completed"') == 2
        assert costs(proxy) == pytest.approx(usd, abs=1e-6)


async def test_fewer_pictures_than_were_asked_for_are_an_answer(tmp_path: Path) -> None:
    async with streaming(tmp_path, ONE, b"0\r\n\r\n") as proxy:
        answer = await proxy.post(GENERATIONS, {**TWO, "model": "each"})

        assert answer.complete
        assert b"error" not in answer.body
        assert costs(proxy) == pytest.approx(0.04)


async def test_silence_behind_one_of_several_pictures_is_no_end(tmp_path: Path) -> None:
    async with streaming(tmp_path, ONE, timeouts={"idle": 0.05}) as proxy:
        answer = await proxy.post(GENERATIONS, TWO)

    assert not answer.complete
    assert b"upstream_idle_timeout" in answer.body


async def test_a_connection_that_breaks_behind_one_of_several_pictures_is_no_end(
    tmp_path: Path,
) -> None:
    async with streaming(tmp_path, ONE, b"no chunk\r\n") as proxy:
        answer = await proxy.post(GENERATIONS, TWO)

    assert not answer.complete
    assert b"upstream_bad_response" in answer.body


async def test_silence_behind_the_only_picture_is_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_relay, "AFTER_FINISH", 0.001)
    async with streaming(tmp_path, ONE) as proxy:
        answer = await proxy.post(GENERATIONS, {**TWO, "n": 1})

    assert answer.complete
    assert b"error" not in answer.body
