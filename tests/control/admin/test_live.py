"""What an instance does, watched: by one process that counts itself, and by a worker that asks its supervisor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.control.admin import feed, live
from tests.control.admin.desk import TOKEN, Desk, open_desk
from tests.control.admin.watching import watching
from tests.control.ledgers import until
from tests.line.harness import Process, free_port


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(feed, "PAUSE", 0.05)
    async with open_desk(tmp_path, live.ROUTES) as one:
        yield one


def work(desk: Desk) -> None:
    bundle = desk.services.state.metrics.exchange("/v1/chat/completions", "m", "p", stream=True)
    bundle.finish(200, 1.0, ttft=0.2, overhead=0.001)
    bundle.count_tokens(10, 20)


async def test_an_event_says_what_goes_on(desk: Desk) -> None:
    async with watching(desk, "/admin/live") as one:
        assert await one.data("history") == []
        await one.data("sample")
        work(desk)
        while not (seen := await one.data("sample"))["requests"]["total"]:
            pass

    assert seen["requests"]["succeeded"] == seen["requests"]["total"] > 0
    assert seen["tokens"]["output"] == pytest.approx(2 * seen["tokens"]["input"], rel=0.01)
    assert seen["error_rate"] == 0
    assert seen["ttft"]["count"] == seen["overhead"]["count"] == 1


async def test_whoever_comes_later_is_told_what_was(desk: Desk) -> None:
    async with watching(desk, "/admin/live") as one:
        seen = [await one.data("sample") for _ in range(3)]
        async with watching(desk, "/admin/live") as two:
            assert (await two.data("history"))[:3] == seen


async def test_of_the_head_alone_nobody_is_told_anything(desk: Desk) -> None:
    said = await desk.owner("HEAD", "/admin/live")

    assert (said.status, said.body) == (200, b"")
    assert not desk.services.feeds["live"].kept


async def test_who_leaves_is_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST", 2)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await (await stack.enter_async_context(watching(desk, "/admin/live"))).data("sample")
        refused = await desk.owner("GET", "/admin/live")
        assert (refused.status, refused.code) == (429, "too_many")
        assert refused.headers["retry-after"]
    await until(lambda: desk.services.feeds["live"]._watching == 0)

    async with watching(desk, "/admin/live") as one:
        await one.data("sample")


async def test_it_ends_when_the_worker_leaves(desk: Desk) -> None:
    async with watching(desk, "/admin/live") as one:
        await one.data("sample")
        desk.services.state.draining = True
        while await one.event() != ("", None):
            pass


async def test_a_query_is_wrong(desk: Desk) -> None:
    assert (await desk.owner("GET", "/admin/live?every=1")).status == 400


async def test_a_supervisor_that_is_away_is_said(desk: Desk, tmp_path: Path) -> None:
    desk.services.ops = tmp_path / "nobody"
    async with watching(desk, "/admin/live") as one:
        assert "detail" in await one.data("trouble")


@pytest.mark.timeout(90)
def test_whoever_is_asked_tells_of_all_workers(tmp_path: Path) -> None:
    """Also on a port that is shared with the API; and a drain does not wait for who watches."""
    port = free_port()
    content = {
        "server": {"host": "127.0.0.1", "port": port, "workers": 2},
        "admin": {"port": port, "token": TOKEN},
    }
    process = Process(content, tmp_path)
    watcher = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        watcher.request("GET", "/admin/live", headers={"authorization": f"Bearer {TOKEN}"})
        answer = watcher.getresponse()
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        seconds = _samples(answer)
        next(seconds)
        for _ in range(8):  # some of them at the worker that is not watched
            with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as client:
                client.request("GET", "/v1/models")
                assert client.getresponse().status == 200
        asked = 0.0
        while asked < 7.5:
            asked += next(seconds)["requests"]["total"]
        assert asked == pytest.approx(8, rel=0.1)
    finally:
        code = process.stop()
    answer.read()  # to its end: it would raise if that was cut
    watcher.close()
    assert code == 0
    assert not [line for line in process.lines if "Traceback" in line], "".join(process.lines)


def _samples(answer: HTTPResponse) -> Iterator[dict[str, Any]]:
    name = b""
    for line in answer:
        key, _, value = line.strip().partition(b": ")
        if key == b"event":
            name = value
        elif key == b"data" and name == b"sample":
            yield orjson.loads(value)
