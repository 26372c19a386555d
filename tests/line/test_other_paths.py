"""Files, batches, vector stores and whatever else is below /v1: passed to a provider that takes it, as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.line.harness import KEY, Proxy, config, read_request, request, scripted, serving

pytestmark = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)
RAW = b"\x00\xff not text\r\n" * 9


@dataclass
class Vendor:
    """Keeps files, as OpenAI does, and remembers what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path with query, credential."""

    async def handle(self, asked: web.Request) -> web.StreamResponse:
        self.seen.append((asked.method, asked.path_qs, asked.headers.get("authorization", "")))
        match asked.method, asked.path.split("/")[2:]:
            case "POST", ["files"]:
                form = await asked.post()
                part = form["file"]
                assert isinstance(part, web.FileField)
                id = f"file-{self.url[-5:]}-{len(self.files)}"
                self.files[id] = part.file.read()
                return web.json_response(_file(id, len(self.files[id])))
            case "GET", ["files"]:
                content = [_file(id, len(raw)) for id, raw in self.files.items()]
                return web.json_response({"object": "list", "data": content, "has_more": False})
            case "GET", ["files", id, "content"] if id in self.files:
                return web.Response(body=self.files[id], content_type="application/octet-stream")
            case "GET", ["files", id] if id in self.files:
                return web.json_response(_file(id, len(self.files[id])))
            case "DELETE", ["files", id] if self.files.pop(id, None) is not None:
                return web.json_response({"id": id, "object": "file", "deleted": True})
            case "GET", ["fine_tuning", "jobs", _]:
                # A failed job is no failed answer.
                return web.json_response({"id": "j", "error": {"code": "bad_file", "message": "m"}})
            case "PUT", ["empty"]:
                return web.Response(status=204)
            case "GET", ["list"]:
                return web.json_response([1, 2])
            case "GET", ["page"]:
                return web.Response(status=404, text="<html>", content_type="text/html")
            case "POST", ["busy"]:
                return web.json_response({"error": {"message": "try again"}}, status=503)
            case "POST", ["events"]:
                return await _events(asked)
            case _:
                return web.json_response({"error": {"message": "no such thing"}}, status=404)


def _file(id: str, size: int) -> dict[str, Any]:
    return {
        "id": id,
        "object": "file",
        "bytes": size,
        "created_at": 1,
        "filename": "f",
        "purpose": "batch",
        "status": "processed",
    }


async def _events(asked: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(asked)
    await response.write(b'event: thread.created\ndata: {"id":"t"}\n\n')
    await response.write(b"event: done\ndata: [DONE]\n\n")
    return response


@asynccontextmanager
async def vendor() -> AsyncIterator[Vendor]:
    found = Vendor()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    async with TestServer(app) as server:
        found.url = str(server.make_url("/")).rstrip("/")
        yield found


@pytest.fixture
async def vendors() -> AsyncIterator[tuple[Vendor, Vendor]]:
    async with vendor() as one, vendor() as other:
        yield one, other


def settings(*vendors: Vendor, **changes: Any) -> dict[str, Any]:
    content = config(*(one.url for one in vendors), **changes)
    for provider in content["providers"].values():
        provider["dialects"] = ["openai.chat", "openai.other"]
    return content


@pytest.fixture
async def proxy(vendors: tuple[Vendor, Vendor], tmp_path: Path) -> AsyncIterator[Proxy]:
    async with serving(settings(*vendors), tmp_path) as proxy:
        yield proxy


async def test_files_by_the_client_of_openai(proxy: Proxy, vendors: tuple[Vendor, Vendor]) -> None:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as client:
        made = await client.files.create(file=("f.jsonl", RAW), purpose="batch")
        there = client.with_options(default_headers={"x-headrace-provider": "p1"})
        also = await there.files.create(file=("f.jsonl", RAW), purpose="batch")
        listed = [one.id async for one in client.files.list()]
        content = await client.files.content(made.id)
        # Nobody says where this one is: it is looked for.
        found = await client.files.retrieve(also.id)
        gone = await there.files.delete(also.id)

    assert content.content == RAW
    assert listed == [made.id]
    assert (found.id, found.bytes, gone.deleted) == (also.id, len(RAW), True)
    assert vendors[0].files.keys() == {made.id}
    assert {credential for *_, credential in vendors[1].seen} == {"Bearer upstream-secret-p1"}


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/v1/fine_tuning/jobs/j", 200, b'"bad_file"'),
        ("GET", "/v1/list?limit=2", 200, b"[1, 2]"),
        ("GET", "/openai/v1/list", 200, b"[1, 2]"),
        ("PUT", "/v1/empty", 204, b""),
        ("POST", "/v1/events", 200, b"event: done\ndata: [DONE]\n\n"),
        ("GET", "/v1/nothing/here", 404, b"no such thing"),
        ("GET", "/v1/page", 404, b'"code":"unknown_url"'),
    ],
)
async def test_an_answer_passes_as_it_is(
    proxy: Proxy, method: str, path: str, status: int, body: bytes
) -> None:
    client = await proxy.raw()
    client.send(request(method, path, None if method == "GET" else b"{}", None, key=KEY))
    answer = await client.answer()
    client.send(request("GET", "/v1/list", None, None, key=KEY))
    next_one = await client.answer()

    assert answer.status == status
    assert body in answer.body
    assert next_one.body == b"[1, 2]"


async def test_what_is_compressed_and_passes_as_it_is_says_so(tmp_path: Path) -> None:
    async def packs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        head = b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(RAW) + RAW)

    async with scripted(packs) as url, serving(settings(Vendor(url)), tmp_path) as proxy:
        answer = await proxy.get("/v1/files/f/content")

    assert (answer.status, answer.body) == (200, RAW)
    assert answer.headers["content-encoding"] == "br"


async def test_what_changes_something_is_sent_once(
    proxy: Proxy, vendors: tuple[Vendor, Vendor]
) -> None:
    answer = await proxy.post("/v1/busy", {})

    assert answer.status == 503
    assert [len(one.seen) for one in vendors] == [1, 0]


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize("path", ["/v1/organization/users", "/v1/responses/resp_12345678"])
async def test_a_key_that_may_not_do_this_still_serves_models(
    status: int, path: str, tmp_path: Path
) -> None:
    async def restricted(asked: web.Request) -> web.StreamResponse:
        if asked.path == "/v1/chat/completions":
            choice = {"index": 0, "message": {"role": "assistant", "content": "x"}}
            return web.json_response({"choices": [{**choice, "finish_reason": "stop"}]})
        return web.json_response({"error": {"message": "Missing scopes"}}, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", restricted)
    async with TestServer(app) as server:
        content = settings(Vendor(str(server.make_url("/")).rstrip("/")))
        content["providers"]["p0"]["dialects"].append("openai.responses")
        async with serving(content, tmp_path) as proxy:
            refused = [await proxy.get(path) for _ in range(2)]
            (account,) = proxy.worker.state.live.accounts.values()
            resting = account.rest.reason
            answer = await proxy.chat("simple", stream=False)

    assert [one.status for one in refused] == [502, 502]
    assert (resting, answer.status) == (None, 200)


@pytest.mark.parametrize("method", ["PATCH", "POST", "PUT"])
async def test_a_body_of_nothing_has_a_length(method: str, tmp_path: Path) -> None:
    heads: list[bytes] = []

    async def strict(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        heads.append(head.lower())
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with scripted(strict) as url, serving(settings(Vendor(url)), tmp_path) as proxy:
        raw = await proxy.raw()
        raw.send(request(method, "/v1/empty", b"", None, key=KEY))
        answer = await raw.answer()

    assert answer.status == 204
    assert b"\r\ncontent-length: 0\r\n" in heads[0]


async def test_a_provider_can_be_named(proxy: Proxy, vendors: tuple[Vendor, Vendor]) -> None:
    there = await proxy.post("/v1/events", {}, {"x-headrace-provider": "p1"})
    nobody = await proxy.post("/v1/events", {}, {"x-headrace-provider": "p7"})

    assert there.status == 200
    assert [len(one.seen) for one in vendors] == [0, 1]
    assert nobody.status == 400
    assert b"provider_not_found" in nobody.body


async def test_a_large_answer_is_streamed(proxy: Proxy, vendors: tuple[Vendor, Vendor]) -> None:
    vendors[0].files["big"] = bytes(8 << 20)
    answer = await proxy.get("/v1/files/big/content")

    assert len(answer.body) == 8 << 20


@pytest.mark.parametrize(
    "path", ["/v1/../admin", "/v1/files/..%2fx", "/v1//files", "/v1/a%00b", "/v1/é", "/v1/"]
)
async def test_a_path_that_could_mean_two_is_none(
    proxy: Proxy, vendors: tuple[Vendor, Vendor], path: str
) -> None:
    answer = await proxy.get(path)

    assert answer.status in (400, 404)
    assert vendors[0].seen == vendors[1].seen == []


async def test_a_wrong_method_of_an_endpoint_of_ours_is_not_passed_on(
    proxy: Proxy, vendors: tuple[Vendor, Vendor]
) -> None:
    answer = await proxy.get("/v1/chat/completions")

    assert answer.status == 405
    assert vendors[0].seen == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/responses/compact"),
        ("POST", "/v1/responses/input_tokens"),
        ("DELETE", "/v1/models/ft:gpt-4o:me"),
    ],
)
async def test_what_only_looks_like_an_id_of_ours_is_passed_on(
    proxy: Proxy, vendors: tuple[Vendor, Vendor], method: str, path: str
) -> None:
    raw = await proxy.raw()
    raw.send(request(method, path, b"{}", key=KEY))
    answer = await raw.answer()

    assert b"no such thing" in answer.body
    assert (method, path) in [one[:2] for one in vendors[0].seen]


async def test_a_key_for_some_models_needs_the_route(
    vendors: tuple[Vendor, Vendor], tmp_path: Path
) -> None:
    some, named = "sk-some-models-0001", "sk-some-models-0002"
    content = settings(*vendors)
    content["keys"] = [
        {"name": "some", "key": some, "models": ["sim"]},
        {"name": "named", "key": named, "models": ["sim"], "routes": ["other"]},
    ]
    async with serving(content, tmp_path) as proxy:
        refused = await proxy.get("/v1/list", key=some)
        allowed = await proxy.get("/v1/list", key=named)
        nobody = await proxy.get("/v1/list", key=None)

    assert (refused.status, allowed.status, nobody.status) == (403, 200, 401)


async def test_where_nobody_takes_such_there_is_nothing(
    vendors: tuple[Vendor, Vendor], tmp_path: Path
) -> None:
    async with serving(config(vendors[0].url), tmp_path) as proxy:
        answers = await asyncio.gather(proxy.get("/v1/files"), proxy.post("/v1/batches", {}))

    assert [answer.status for answer in answers] == [404, 404]


async def test_a_key_with_a_budget_is_told_that_the_price_is_unknown(
    vendors: tuple[Vendor, Vendor], tmp_path: Path
) -> None:
    content = settings(*vendors, ledger={"path": str(tmp_path / "ledger")})
    content["keys"][0]["budget"] = {"usd": 1, "period": "day"}
    async with serving(content, tmp_path) as proxy:
        refused = await proxy.post("/v1/batches", {})
    content["defaults"]["price_unknown"] = {"input": 0, "output": 0}
    async with serving(content, tmp_path) as proxy:
        passed = await proxy.post("/v1/events", {})

    assert b"price_unknown" in refused.body
    assert passed.status == 200
