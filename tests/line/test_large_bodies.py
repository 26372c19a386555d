"""A large body reaches the provider as it came, every provider that is asked for it, and the next request is read behind it."""

from __future__ import annotations

import asyncio
import base64
import gzip
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.line.asking import CHAT, GOOD, fleet
from tests.line.harness import read_request, request, scripted, serving

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.allow_blocking("sends and reads megabytes in this loop")

PICTURE = base64.b64encode(Random(1).randbytes(2 << 20)).decode()
CONTENT = [
    {"type": "text", "text": 'What is\n"this"?'},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
]
BODY = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": CONTENT}]})
BROKEN = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"
CHUNK = 100_000


class Provider:
    """Keeps what it is sent, and says the same to everybody."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.bodies: list[bytes] = []

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.bodies.append((await read_request(reader))[1])
            writer.write(self.said)


def post(body: bytes, **headers: str) -> bytes:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return request("POST", CHAT.path, body, fields)


def chunked(body: bytes) -> bytes:
    parts = [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    json = {"content-type": "application/json", "transfer-encoding": "chunked"}
    return request("POST", CHAT.path, None, json) + framed + b"0\r\n\r\n"


SENT: dict[str, Callable[[bytes], bytes]] = {
    "length": post,
    "expected": lambda body: post(body, expect="100-continue"),
    "gzip": lambda body: post(gzip.compress(body, 1), content_encoding="gzip"),
    "chunked": chunked,
}


@pytest.mark.parametrize("how", SENT)
async def test_every_provider_that_is_asked_gets_all_of_it(tmp_path: Path, how: str) -> None:
    first, second = Provider(BROKEN), Provider(GOOD)
    async with (
        scripted(first.play) as one,
        scripted(second.play) as two,
        serving(fleet((one, "m"), (two, "m")), tmp_path) as proxy,
    ):
        client = await proxy.raw()
        for body in (BODY, orjson.dumps(CHAT.body | {"model": "m"}), BODY):
            client.send(SENT[how](body))
            assert (await client.answer()).status == 200
        client.close()

    assert first.bodies[0] == BODY
    assert second.bodies[0] == second.bodies[-1] == BODY


async def test_requests_that_are_sent_at_once_are_told_apart(tmp_path: Path) -> None:
    provider = Provider(GOOD)
    small = orjson.dumps(CHAT.body | {"model": "m"})
    async with scripted(provider.play) as url, serving(fleet((url, "m")), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(b"".join(SENT["length"](body) for body in (BODY, small, BODY, small)))
        for _ in range(4):
            assert (await client.answer()).status == 200
        client.close()

    assert provider.bodies == [BODY, small, BODY, small]


async def test_what_is_changed_is_all_that_changes(tmp_path: Path) -> None:
    provider = Provider(GOOD)
    async with scripted(provider.play) as url, serving(fleet((url, "other")), tmp_path) as proxy:
        assert (await proxy.post(CHAT.path, BODY)).status == 200

    assert provider.bodies == [BODY.replace(b'"model":"m"', b'"model":"other"', 1)]


@pytest.mark.parametrize("bad", [b'"', b"\n", b"\xff", b"\\x"])
async def test_a_picture_that_is_no_json_goes_nowhere(tmp_path: Path, bad: bytes) -> None:
    provider = Provider(GOOD)
    middle = len(BODY) // 2
    async with scripted(provider.play) as url, serving(fleet((url, "m")), tmp_path) as proxy:
        answer = await proxy.post(CHAT.path, BODY[:middle] + bad + BODY[middle:])

        assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_json")
    assert provider.bodies == []
