"""A worker serves its pages, takes over new configurations, and leaves without cutting anyone off."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from aiohttp.http_parser import HttpRequestParserPy
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from proxy import __version__
from proxy.core import redact, tasks
from proxy.core.model import Admin, Conversation, Create, Credential, Snapshot, VirtualKey
from proxy.core.secret import Secret
from proxy.state.replies import Reply
from proxy.upstream.resolver import VettingResolver
from proxy.worker import Worker, listen, mask
from tests.gateway.asked import CHAT, provider, raw, snapshot
from tests.gateway.served import COMPLETION, Provider, whole
from tests.line.harness import Answer, Process, Raw, config, read_request, scripted, until

BODY = b'{"model":"m","messages":[]}'
ROOT = Path(__file__).parents[1]


class Served:
    """A worker that listens."""

    def __init__(self, worker: Worker, api: int, admin: int) -> None:
        self.worker = worker
        self.api = api
        self.admin = admin
        self.clients: list[Raw] = []

    async def client(self) -> Raw:
        client = await Raw.open(self.api)
        self.clients.append(client)
        return client

    async def ask(self, data: bytes, port: int = 0) -> Answer:
        client = await Raw.open(port or self.api)
        try:
            client.send(data)
            return await client.answer()
        finally:
            client.close()

    async def get(self, path: str, port: int = 0) -> Answer:
        return await self.ask(raw("GET", path), port)


@asynccontextmanager
async def serving(settings: Snapshot) -> AsyncIterator[Served]:
    """A worker serving `settings` on free ports."""
    worker = Worker(settings, "7")
    api, admin = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
    await worker.start(api, admin)
    served = Served(worker, api.getsockname()[1], admin.getsockname()[1])
    try:
        yield served
    finally:
        for client in served.clients:
            client.close()
        await worker.close(0.2)
        redact.forget()


# --- listening ---


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_a_listener_speaks_the_family_of_its_address(
    host: str, family: socket.AddressFamily
) -> None:
    with listen(host, 0) as one:
        assert one.family == family
        assert one.getsockname()[1] > 0
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


async def test_a_worker_refuses_to_run_on_the_slow_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.worker.HttpRequestParser", HttpRequestParserPy)

    with pytest.raises(RuntimeError, match="C parser"):
        Worker(Snapshot())


# --- pages ---


@pytest.mark.parametrize("path", ["/health/live", "/livez", "/health/ready", "/readyz", "/health"])
async def test_a_worker_that_can_serve_says_so(path: str) -> None:
    async with serving(snapshot(provider())) as served:
        answer = await served.get(path)

    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert "status" in answer.json


async def test_the_first_page_lists_what_there_is() -> None:
    async with serving(Snapshot()) as served:
        page = (await served.get("/")).json

    assert (page["name"], page["version"]) == ("headrace", __version__)
    assert f"POST {CHAT}" in page["endpoints"]


async def test_the_metrics_are_what_prometheus_reads() -> None:
    async with scripted(Provider(whole())) as url, serving(snapshot(provider(url))) as served:
        assert (await served.ask(raw("POST", CHAT, BODY))).status == 200

        page = await served.get("/metrics")

    families = {one.name: one for one in text_string_to_metric_families(page.body.decode())}
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["headrace_worker_up", ("worker", "0")] == 1
    assert values["headrace_config_version", ("worker", "0")] == 1
    assert values["headrace_target_inflight", ("target", "m/0:p")] == 0
    connections = "headrace_upstream_connections"
    assert values[connections, ("provider", "p"), ("state", "idle")] == 1
    assert values[connections, ("provider", "p"), ("state", "busy")] == 0
    opened = "headrace_upstream_connections_opened_total"
    assert values[opened, ("provider", "p"), ("reason", "cold")] == 1
    requests = [sample for sample in families["headrace_requests"].samples if sample.value]
    assert [one.labels["status"] for one in requests] == ["200"]


async def test_the_admin_listener_asks_for_its_token() -> None:
    settings = Snapshot(admin=Admin(token=Secret("t0ken")))
    async with serving(settings) as served:
        refused = await served.get("/metrics", served.admin)
        granted = await served.ask(
            raw("GET", "/metrics", b"", "Authorization: Bearer t0ken"), served.admin
        )
        alive = await served.get("/health/live", served.admin)

    assert (refused.status, granted.status, alive.status) == (401, 200, 200)


async def test_what_a_configuration_keeps_secret_is_kept_out_of_the_log() -> None:
    keys = (Credential("p#0", Secret("an-odd-upstream-credential")),)
    async with serving(snapshot(provider(credentials=keys))):
        assert redact.redact("with an-odd-upstream-credential") == "with ***"


async def test_what_a_provider_is_sent_is_masked_where_it_repeats_it() -> None:
    headers = {
        "X-Api-Key": "an odd one, with spaces",
        "Authorization": "Custom odd-scheme-secret",
        "X-Tenant": "7f3a9c0de1b2468055aa",
        "X-Api-Version": "2024-02-15-preview",
        "Accept": "application/json",
        "Anthropic-Beta": "prompt-caching-2024-07-31",
    }
    plain = "2024-02-15-preview application/json prompt-caching-2024-07-31 Headrace"
    told = f"got an odd one, with spaces; odd-scheme-secret, 7f3a9c0de1b2468055aa, pass%40word, pass@word, s1gned! {plain}"
    refusal = whole(orjson.dumps({"error": {"message": told}}), status=400)
    async with scripted(Provider(refusal)) as url:
        one = provider(url, headers=headers, query={"sig": "s1gned!", "title": "Headrace"})
        other = provider(name="q", proxy="http://user:pass%40word@proxy.test:3128")
        async with serving(snapshot(one, other)) as served:
            answer = await served.ask(raw("POST", CHAT, BODY))

    assert answer.status == 400
    assert answer.json["error"]["message"] == f"got ***; ***, ***, ***, ***, *** {plain}"


async def test_what_a_conversation_is_begun_and_asked_with_is_masked_too() -> None:
    create = Create("/begin", ("id",), headers={"X-Session": "an odd one, to begin"})
    service = Conversation(
        create, "{prompt}", (("text",),), headers={"X-Api-Key": "an odd one, to ask"}
    )
    mask(provider(conversation=service))

    said = redact.redact("got an odd one, to begin and an odd one, to ask")
    redact.forget()

    assert said == "got *** and ***"


# --- new configurations ---


async def models(served: Served) -> list[str]:
    return [one["id"] for one in (await served.get("/v1/models")).json["data"]]


async def test_a_new_configuration_is_served() -> None:
    async with serving(snapshot(provider())) as served:
        worker = served.worker
        learnt = worker.state.live.deployments["m/0:p"]
        both = snapshot(provider(), name="new")
        both = replace(both, models={**both.models, **snapshot(provider()).models})

        worker.swap(both)

        assert sorted(await models(served)) == ["m", "new"]
        assert worker.state.live.deployments["m/0:p"] is learnt
        version = worker.state.metrics.config_version
        assert version.value == 2


async def test_clearing_the_caches_forgets_addresses_and_routes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    resolve = VettingResolver.resolve

    async def recorded(self: VettingResolver, host: str, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        return await resolve(self, host, *arguments, **options)

    monkeypatch.setattr(VettingResolver, "resolve", recorded)
    async with scripted(Provider(whole())) as url:
        one = provider(url.replace("127.0.0.1", "localhost"))
        settings = replace(snapshot(one), admin=Admin(token=Secret("t0ken")))
        async with serving(settings) as served:

            async def ask() -> int:
                answer = await served.ask(raw("POST", CHAT, BODY))
                for upstream in served.worker.pool.upstreams():
                    upstream.drop_idle()
                return answer.status

            assert [await ask(), await ask()] == [200, 200]
            assert asked.count("localhost") == 1
            assert served.worker.state.live.routes
            replies = served.worker.state.replies
            replies.put(b"a", Reply(200, b"", b""), 0.0, 1e9, 10_000)

            clear = raw("POST", "/admin/cache/clear", b"", "Authorization: Bearer t0ken")
            assert (await served.ask(clear, served.admin)).status == 200

            assert not served.worker.state.live.routes
            assert not len(replies)
            assert await ask() == 200
            assert asked.count("localhost") == 2


async def test_a_new_virtual_key_leaves_everything_else_as_it_is() -> None:
    async with serving(snapshot(provider())) as served:
        worker = served.worker
        before = worker.state.snapshot
        pools = worker.state.live.routes
        key = VirtualKey("new", b"digest")

        worker.swap(replace(before, keys={key.digest: key}))

        assert worker.state.snapshot.keys == {key.digest: key}
        assert worker.state.live.snapshot is worker.state.snapshot
        assert worker.state.live.routes is pools
        assert not [task for task in tasks.running() if task.get_name() == "retire upstreams"]


async def test_connections_of_the_old_configuration_serve_out_and_are_closed() -> None:
    go = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await go.wait()
        writer.write(whole())
        await reader.read()

    async with scripted(upstream) as url, serving(snapshot(provider(url))) as served:
        worker = served.worker
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))
        await until(lambda: any(one.busy for one in worker.pool.upstreams()))
        [old] = worker.pool.upstreams()

        worker.swap(snapshot(provider(url)))
        go.set()

        assert (await client.answer()).body == COMPLETION
        await until(lambda: old.session.closed)
        assert worker.pool.upstreams() == []


async def test_a_new_token_holds_at_once() -> None:
    async with serving(Snapshot(admin=Admin(token=Secret("old")))) as served:
        served.worker.swap(Snapshot(admin=Admin(token=Secret("new"))))

        request = raw("GET", "/metrics", b"", "Authorization: Bearer new")
        assert (await served.ask(request, served.admin)).status == 200


# --- leaving ---


async def test_a_worker_that_leaves_finishes_what_it_has_begun() -> None:
    go = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await go.wait()
        writer.write(whole())

    async with scripted(upstream) as url, serving(snapshot(provider(url))) as served:
        worker = served.worker
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))
        await until(lambda: any(one.busy for one in worker.pool.upstreams()))

        closing = asyncio.ensure_future(worker.close(10.0))
        await until(lambda: worker.state.draining)
        with pytest.raises(ConnectionRefusedError):
            await Raw.open(served.api)
        assert worker.state.metrics.worker_up.value == 0
        go.set()

        assert (await client.answer()).body == COMPLETION
        assert await client.reader.read() == b""
        await closing
        assert worker.pool.upstreams() == []


async def test_what_does_not_end_in_time_is_cut() -> None:
    cut = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        cut.set()

    async with scripted(upstream) as url, serving(snapshot(provider(url))) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))
        await until(lambda: any(one.busy for one in served.worker.pool.upstreams()))

        await served.worker.close(0.01)

        answer = await client.answer()
        assert (answer.status, answer.json["error"]["code"]) == (503, "gateway_draining")
        assert await client.reader.read() == b""
        await cut.wait()


async def test_a_worker_that_leaves_is_not_ready() -> None:
    async with serving(snapshot(provider())) as served:
        client = await served.client()
        client.send(raw("GET", "/health/ready"))
        before = await client.answer()

        served.worker.state.draining = True
        client.send(raw("GET", "/health/ready"))
        after = await client.answer()

    assert (before.status, after.status) == (200, 503)


# --- as a process ---

ALONE = """
import gc, os, signal
from proxy import worker
from proxy.control.sync import ConfigFile
from proxy.core.config.schema import Config
from proxy.core.model import Snapshot

file = ConfigFile(Config.model_validate({"store": {"url": ""}}))
api, admin = worker.listen("127.0.0.1", 0), worker.listen("127.0.0.1", 0)

def ready():
    print(gc.get_freeze_count(), len(gc.get_objects()))
    os.kill(os.getpid(), signal.SIGTERM)

worker.serve(Snapshot(), file, api, admin, ready=ready)
"""


def test_what_is_there_at_the_start_is_not_collected_again_and_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True, check=True
    )

    frozen, others = map(int, done.stdout.split())
    assert frozen > 10_000
    assert others < 1_000


async def chat(port: int) -> Answer:
    client = await Raw.open(port)
    try:
        body = b'{"model":"sim","messages":[]}'
        client.send(raw("POST", CHAT, body, "Authorization: Bearer sk-test-key-0001"))
        return await client.answer()
    finally:
        client.close()


@asynccontextmanager
async def process(content: dict[str, Any], folder: Path) -> AsyncIterator[tuple[Process, int]]:
    """`headrace serve`, and the port it listens on."""
    one = await asyncio.to_thread(Process, content, folder)
    try:
        yield one, int(one.url.rpartition(":")[2])
    finally:
        await asyncio.to_thread(one.stop)


async def said(one: Process, what: str) -> None:
    """Until the process has said it."""
    await until(lambda: any(what in line for line in one.lines), 10.0)


async def test_a_signal_makes_it_read_its_file_again(tmp_path: Path) -> None:
    upstream = Provider(whole())
    async with scripted(upstream) as url:
        content = config(url)
        async with process(content, tmp_path) as (one, port):
            path = tmp_path / "process.yaml"

            await asyncio.to_thread(path.write_text, "models: [")
            one.process.send_signal(signal.SIGHUP)
            await said(one, "configuration not reloaded")
            assert (await chat(port)).status == 200

            content["models"] = {"other": {"deployments": [{"provider": "p0", "model": "x"}]}}
            await asyncio.to_thread(path.write_text, yaml.safe_dump(content))
            one.process.send_signal(signal.SIGHUP)
            await said(one, "configuration reloaded")
            assert (await chat(port)).status == 404


async def test_a_signal_makes_it_drain_and_end_well(tmp_path: Path) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        begun.set()
        await go.wait()
        writer.write(whole())

    async with scripted(upstream) as url, process(config(url), tmp_path) as (one, port):
        answering = asyncio.ensure_future(chat(port))
        await begun.wait()

        one.process.terminate()
        await until(lambda: refuses(port))
        assert one.process.poll() is None
        go.set()

        answer = await answering
        assert (answer.status, answer.body) == (200, COMPLETION)
        assert await asyncio.to_thread(one.stop) == 0


def refuses(port: int) -> bool:
    """Nobody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it went while the connection waited to be taken
        return False
    return False


async def test_a_server_that_may_not_drain_for_long_ends_all_the_same(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await reader.read()

    async with scripted(upstream) as url:
        content = config(url, server={"drain": 0})
        async with process(content, tmp_path) as (one, port):
            client = await Raw.open(port)
            body = b'{"model":"sim","messages":[]}'
            client.send(raw("POST", CHAT, body, "Authorization: Bearer sk-test-key-0001"))
            await begun.wait()

            assert await asyncio.to_thread(one.stop) == 0
            answer = await client.answer()
            client.close()

    assert (answer.status, answer.json["error"]["code"]) == (503, "gateway_draining")
