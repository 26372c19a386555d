"""What is made at one provider, with one credential, is found there again: by this worker, by another, after a restart."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.line.harness import KEY, Proxy, config, serving

pytestmark = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)
THERE = {"x-headrace-provider": "p1"}
KINDS = {"files": "file", "batches": "batch", "videos": "video", "responses": "resp"}


@dataclass
class Vendor:
    """Keeps things for each account, and knows nothing of another's."""

    name: str
    url: str = ""
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By `credential/kind/id`."""
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path, credential."""
    broken: bool = False
    numbers: Any = field(default_factory=lambda: itertools.count(1000))

    def keep(self, account: str, kind: str, **more: Any) -> dict[str, Any]:
        id = f"{KINDS[kind]}_{self.name}{next(self.numbers)}"
        thing = {"id": id, "object": kind, "status": "in_progress", **more}
        self.kept[f"{account}/{kind}/{id}"] = thing
        return thing

    async def handle(self, asked: web.Request) -> web.StreamResponse:
        account = asked.headers["authorization"].removeprefix("Bearer ")
        self.seen.append((asked.method, asked.path, account))
        if self.broken:
            return web.json_response({"error": {"message": "broken"}}, status=503)
        kind, *rest = asked.path.removeprefix("/v1/").split("/")
        if not rest:
            body = {} if kind == "files" else await asked.json()
            missing = [
                name
                for field, of in (("input_file_id", "files"), ("previous_response_id", "responses"))
                if (name := body.get(field)) and f"{account}/{of}/{name}" not in self.kept
            ]
            if missing:
                message = {"message": f"{missing[0]} is not here", "code": "not_here"}
                return web.json_response({"error": message}, status=400)
            return self._answer(self.keep(account, kind, output=[], model="m"), body)
        found = self.kept.get(f"{account}/{kind}/{rest[0]}")
        if found is None:
            return web.json_response({"error": {"message": "no such thing"}}, status=404)
        if asked.method == "DELETE":
            del self.kept[f"{account}/{kind}/{rest[0]}"]
            return web.json_response({"id": rest[0], "object": kind, "deleted": True})
        return web.json_response(found | {"status": "cancelled"} if rest[1:] else found)

    def _answer(self, thing: dict[str, Any], body: dict[str, Any]) -> web.Response:
        if not body.get("stream"):
            return web.json_response(thing)
        text = ""
        for number, kind in enumerate(("created", "completed")):
            done = {**thing, "status": "completed" if number else "in_progress"}
            event = {"type": f"response.{kind}", "sequence_number": number, "response": done}
            text += f"event: response.{kind}\ndata: {web.json_response(event).text}\n\n"
        return web.Response(text=text, content_type="text/event-stream")


@asynccontextmanager
async def vendor(name: str) -> AsyncIterator[Vendor]:
    found = Vendor(name)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    async with TestServer(app) as server:
        found.url = str(server.make_url("/")).rstrip("/")
        yield found


@pytest.fixture
async def vendors() -> AsyncIterator[tuple[Vendor, Vendor]]:
    async with vendor("a") as one, vendor("b") as other:
        yield one, other


@asynccontextmanager
async def worker(vendors: tuple[Vendor, Vendor], folder: Path) -> AsyncIterator[Proxy]:
    """One that remembers nothing."""
    content = config(*(one.url for one in vendors))
    for name, provider in content["providers"].items():
        provider["dialects"] = ["openai.responses", "openai.other"]
        provider["credentials"] = [f"{name}-first", f"{name}-second"]
    content["models"]["m"] = {"deployments": [{"provider": "p0"}, {"provider": "p1"}]}
    async with serving(content, folder) as proxy:
        yield proxy


@pytest.fixture
async def proxy(vendors: tuple[Vendor, Vendor], tmp_path: Path) -> AsyncIterator[Proxy]:
    async with worker(vendors, tmp_path) as proxy:
        yield proxy


def asked(vendors: tuple[Vendor, Vendor], *methods: str) -> list[tuple[str, str, str]]:
    return [one for vendor in vendors for one in vendor.seen if one[0] in methods]


async def test_a_batch_goes_where_its_file_is_and_is_cancelled_there(
    proxy: Proxy, vendors: tuple[Vendor, Vendor], tmp_path: Path
) -> None:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as client:
        there = client.with_options(default_headers=THERE)
        file = await there.files.create(file=("f.jsonl", b"{}"), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/responses", completion_window="24h"
        )
        found = await client.batches.retrieve(batch.id)
        ended = await client.batches.cancel(batch.id)
        gone = await client.files.delete(file.id)

    assert (found.status, ended.status, gone.deleted) == ("in_progress", "cancelled", True)
    assert vendors[0].seen == []
    assert {account for *_, account in vendors[1].seen} == {"p1-first"}
    assert len(vendors[1].seen) == 5  # nothing was asked that was known


async def test_a_worker_that_did_not_make_it_asks_who_has_it(
    vendors: tuple[Vendor, Vendor], tmp_path: Path
) -> None:
    video = vendors[1].keep("p1-second", "videos")["id"]
    path = f"/v1/videos/{video}"
    async with worker(vendors, tmp_path) as proxy:
        gone = await proxy.get(path, method="DELETE")
    assert gone.status == 200
    assert asked(vendors, "DELETE") == [("DELETE", path, "p1-second")]
    assert [account for *_, account in asked(vendors, "GET")] == [
        "p0-first",
        "p0-second",
        "p1-first",
        "p1-second",
    ]


async def test_what_was_found_once_is_remembered(
    proxy: Proxy, vendors: tuple[Vendor, Vendor]
) -> None:
    video = vendors[1].keep("p1-second", "videos")["id"]
    statuses = [(await proxy.get(f"/v1/videos/{video}/content")).status for _ in range(3)]
    remixed = await proxy.post(f"/v1/videos/{video}/remix", {"prompt": "again"})

    assert statuses == [200] * 3
    assert remixed.status == 200
    assert len(vendors[0].seen) == 2
    assert [account for *_, account in vendors[1].seen] == ["p1-first", *["p1-second"] * 4]


async def test_who_cannot_say_is_passed_by(proxy: Proxy, vendors: tuple[Vendor, Vendor]) -> None:
    vendors[0].broken = True
    batch = vendors[1].keep("p1-first", "batches")["id"]

    assert (await proxy.post(f"/v1/batches/{batch}/cancel", {})).json["status"] == "cancelled"
    assert asked(vendors, "POST") == [("POST", f"/v1/batches/{batch}/cancel", "p1-first")]


async def test_what_nobody_has_is_asked_of_one(
    proxy: Proxy, vendors: tuple[Vendor, Vendor]
) -> None:
    answer = await proxy.get("/v1/files/file_nobody1", method="DELETE")

    assert answer.status == 404
    assert asked(vendors, "DELETE") == [("DELETE", "/v1/files/file_nobody1", "p0-first")]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_goes_on_where_the_one_before_it_is(
    vendors: tuple[Vendor, Vendor], tmp_path: Path, stream: bool
) -> None:
    before: dict[str, Any] = {}
    for turn in range(6):
        # Each turn meets another worker, and then the same one once more.
        async with worker(vendors, tmp_path) as proxy:
            for _ in range(2):
                body = {"model": "m", "input": str(turn), "stream": stream, **before}
                answer = await proxy.post("/v1/responses", body)
                assert answer.status == 200, answer.body
                before = {"previous_response_id": _id(vendors)}

    made = {account for *_, account in asked(vendors, "POST")}
    assert len(made) == 1
    assert len(asked(vendors, "POST")) == 12


def _id(vendors: tuple[Vendor, Vendor]) -> str:
    """Of the response that was made last."""
    [made] = [one for one in vendors if one.kept]
    return str(list(made.kept.values())[-1]["id"])


async def test_a_response_in_the_background_is_cancelled_where_it_runs(
    vendors: tuple[Vendor, Vendor], tmp_path: Path
) -> None:
    async with worker(vendors, tmp_path) as proxy:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=0) as c:
            made = await c.responses.create(model="m", input="Hello", background=True)
            found = await c.responses.retrieve(made.id)
        assert found.id == made.id
        assert len(asked(vendors, "GET")) == 1
    async with worker(vendors, tmp_path) as proxy:
        ended = await proxy.post(f"/v1/responses/{made.id}/cancel", {})

    assert ended.json["status"] == "cancelled"
