"""Clients that speak TLS: everything is as it is without, and certificates come and go."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import openai
import orjson
import pytest
import yaml
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from proxy.control.admin.playground import KEY as VIRTUAL_KEY
from proxy.gateway.glance import IN_FULL
from tests.line.harness import (
    KEY,
    ROOT,
    Process,
    Proxy,
    Raw,
    Simulator,
    config,
    request,
    serving,
    until,
)
from tests.line.test_faults_client import aborted, assert_held_back
from tests.line.test_realtime import settings
from tests.upstream.certificates import Authority

pytestmark = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def proxy(sim: Simulator, authority: Authority, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with serving(config(sim.url, server={"tls": section(authority)}), tmp_path) as proxy:
        yield proxy


def section(authority: Authority, **changes: str) -> dict[str, str]:
    """A listener's `tls`."""
    certificate, key = authority.issue()
    return {"certificate": str(certificate), "key": str(key), **changes}


def chat(model: str) -> bytes:
    """The body of a request for a stream."""
    messages = [{"role": "user", "content": "Hello"}]
    return orjson.dumps({"model": model, "stream": True, "messages": messages})


async def secure(proxy: Proxy, context: ssl.SSLContext) -> Raw:
    """A raw connection that speaks TLS."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", proxy.port, limit=1 << 26, ssl=context
    )
    client = Raw(reader, writer)
    proxy.clients.append(client)
    return client


async def test_the_official_client_streams(proxy: Proxy, authority: Authority) -> None:
    async with (
        httpx.AsyncClient(verify=authority.trusted()) as http,
        openai.AsyncOpenAI(
            api_key=KEY,
            base_url=f"https://127.0.0.1:{proxy.port}/v1",
            max_retries=0,
            http_client=http,
        ) as client,
    ):
        stream = await client.chat.completions.create(
            model="sim-n12", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        chunks = [chunk async for chunk in stream]

    assert chunks[-1].choices[0].finish_reason == "stop"
    assert proxy.metric("headrace_tls_handshakes_total", listener="api", result="ok") == 1


async def test_a_body_of_a_megabyte(proxy: Proxy, authority: Authority) -> None:
    client = await secure(proxy, authority.trusted())
    messages = [{"role": "user", "content": "a" * 1_000_000}]
    body = orjson.dumps({"model": "sim-n4", "messages": messages})

    for _ in range(2):
        client.send(request("POST", "/v1/chat/completions", body))
        answer = await client.answer()

        assert answer.status == 200
        assert answer.complete


async def test_who_is_gone_in_mid_stream_is_noticed(
    sim: Simulator, proxy: Proxy, authority: Authority
) -> None:
    model = "sim-n100000-d2-idtls"
    client = await secure(proxy, authority.trusted())
    client.send(request("POST", "/v1/chat/completions", chat(model)))
    await client.reader.readuntil(b"data: ")

    client.close()
    await until(lambda: proxy.metric("headrace_requests_total", status="499") == 1)

    assert await aborted(sim, model)
    assert proxy.metric("headrace_client_gone_total") == 1


async def test_who_does_not_keep_up_holds_the_provider_back(
    authority: Authority, tmp_path: Path
) -> None:
    await assert_held_back(tmp_path, authority.trusted(), server={"tls": section(authority)})


async def test_a_handshake_that_is_not_finished_is_a_client_and_has_an_end(
    sim: Simulator, authority: Authority, tmp_path: Path
) -> None:
    server = {"tls": section(authority), "head_timeout": 0.3}
    async with serving(config(sim.url, server=server), tmp_path) as proxy:
        slow = await proxy.raw()
        slow.send(b"\x16\x03\x01\x02\x00")
        await until(lambda: proxy.metric("headrace_client_connections") == 1)

        assert await slow.reader.read() == b""
        await until(lambda: proxy.metric("headrace_client_connections") == 0)
        handshakes = "headrace_tls_handshakes_total"
        assert proxy.metric(handshakes, listener="api", result="timeout") == 1


async def test_handshakes_do_not_keep_clients_out(
    sim: Simulator, authority: Authority, tmp_path: Path
) -> None:
    server = {"tls": section(authority), "head_timeout": 60, "max_connections": 3}
    async with serving(config(sim.url, server=server), tmp_path) as proxy:
        for _ in range(3):
            await proxy.raw()
        await until(lambda: proxy.metric("headrace_client_connections") == 3)

        client = await secure(proxy, authority.trusted())
        client.send(request("GET", "/health/live", None))

        assert (await client.answer()).status == 200


async def test_websockets(authority: Authority, tmp_path: Path) -> None:
    async def echo(one: Any) -> None:
        async for message in one:
            await one.send(message)

    async with serve(echo, "127.0.0.1", 0) as vendor:
        port = vendor.sockets[0].getsockname()[1]
        content = settings(f"http://127.0.0.1:{port}")
        content["server"]["tls"] = section(authority)
        async with (
            serving(content, tmp_path) as proxy,
            connect(
                f"wss://127.0.0.1:{proxy.port}/v1/realtime?model=voice",
                additional_headers={"authorization": f"Bearer {KEY}"},
                ssl=authority.trusted(),
                proxy=None,
            ) as client,
        ):
            await client.send("hello")
            assert await client.recv() == "hello"


class Started:
    """`headrace serve` with TLS on both listeners, and where its files are."""

    def __init__(self, sim: Simulator, authority: Authority, folder: Path) -> None:
        self.authority = authority
        self.trusted = authority.trusted()
        self.files = folder / "tls.crt", folder / "tls.key"
        self.put()
        tls = {"certificate": str(self.files[0]), "key": str(self.files[1])}
        content = config(
            sim.url, server={"tls": tls}, admin={"tls": tls, "token": "a-token-of-this-test"}
        )
        self.process = Process(content, folder)

    def put(self) -> None:
        """Another certificate in the place of what there is."""
        for made, place in zip(self.authority.issue(days=30), self.files, strict=True):
            shutil.move(made, place)

    def said(self, words: str) -> bool:
        """Whether its log has a line with them."""
        return any(words in line for line in self.process.lines)

    async def shown(self) -> bytes:
        """The certificate that a new client sees."""
        host, port = self.process.url.removeprefix("https://").split(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=self.trusted)
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return certificate


@pytest.fixture
def started(sim: Simulator, authority: Authority, tmp_path: Path) -> Iterator[Started]:
    started = Started(sim, authority, tmp_path)
    yield started
    assert started.process.stop() == 0


async def test_both_listeners_of_a_process(started: Started) -> None:
    assert started.process.url.startswith("https://")
    await until(lambda: started.said("dashboard at https://"))
    (line,) = [line for line in started.process.lines if "admin on " in line]
    admin = line.rpartition(" ")[2].strip()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=started.trusted),
        headers={"authorization": "Bearer a-token-of-this-test"},
    ) as session:
        for path in ("/health/live", "/admin/status", "/dashboard"):
            async with session.get(admin + path) as answer:
                assert answer.status == 200, path
        playground = admin + "/admin/playground/v1/chat/completions"
        headers = {VIRTUAL_KEY: KEY, "content-type": "application/json"}
        async with session.post(playground, data=chat("sim-n4"), headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        async with session.get(admin + "/metrics") as answer:
            page = await answer.text()
    for name in ("api", "admin"):
        assert f'headrace_tls_certificate_expiry_timestamp_seconds{{listener="{name}"}} 1' in page


async def test_a_certificate_is_replaced_and_connections_stand(started: Started) -> None:
    host, port = started.process.url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=started.trusted)
    standing = Raw(reader, writer)
    before = await started.shown()

    started.put()  # and nobody is told
    async with asyncio.timeout(10):
        while await started.shown() == before:
            await asyncio.sleep(0)

    standing.send(request("GET", "/health/live", None))
    assert (await standing.answer()).status == 200
    assert standing.writer.get_extra_info("ssl_object").getpeercert(True) == before
    standing.writer.transport.abort()  # a goodbye by TLS may outlive the loop, which cannot be closed then


async def test_a_reload_reads_it_and_keeps_what_there_was_if_it_is_bad(started: Started) -> None:
    before = await started.shown()

    started.files[1].write_text("no key")
    started.process.process.send_signal(signal.SIGHUP)
    await until(lambda: started.said("configuration not reloaded"), 10)
    assert started.said("server.tls.key") or started.said("there is no private key in it")
    assert await started.shown() == before

    started.put()
    started.process.process.send_signal(signal.SIGHUP)
    await until(lambda: started.said("configuration reloaded"), 10)
    async with asyncio.timeout(5):
        while await started.shown() == before:
            await asyncio.sleep(0)


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["config", "check"]])
def test_a_bad_file_is_said_before_anything_is_served(
    authority: Authority, tmp_path: Path, command: list[str]
) -> None:
    certificate, _ = authority.issue()
    content = config("http://127.0.0.1:1", server={"tls": section(authority)})
    content["server"]["tls"]["certificate"] = str(certificate)
    path = tmp_path / "headrace.yaml"
    path.write_text(yaml.safe_dump(content))

    done = subprocess.run(
        [sys.executable, "-m", "proxy", *command, "--config", str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    key = content["server"]["tls"]["key"]
    assert f"server.tls.key: {key}: it is the key of another certificate" in done.stderr


async def test_a_refusal_at_a_glance(proxy: Proxy, authority: Authority) -> None:
    lag = proxy.worker.state.lag
    lag.share, lag.quota = 1.0, 0.0  # nobody may begin
    client = await secure(proxy, authority.trusted())

    answers = []
    for _ in range(IN_FULL + 3):
        client.send(request("POST", "/v1/chat/completions", chat("sim")))
        answers.append(await client.answer())

    assert {answer.status for answer in answers} == {503}
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


async def test_a_worker_that_died_is_replaced_though_the_files_are_bad(started: Started) -> None:
    before = await started.shown()
    worker = started.process.workers()[0]

    started.files[1].write_text("no key")
    os.kill(worker, signal.SIGKILL)
    await until(lambda: started.said("keeps the certificate it has"), 20)

    assert await started.shown() == before
