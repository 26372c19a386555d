"""What `serve` puts together: systemd's sockets and words, a restart's rehearsal, and what a reload leaves as it was."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from msgspec.structs import replace

from proxy import serving
from proxy.control.sync import ConfigFile
from proxy.core.clock import now
from proxy.core.config import load
from proxy.core.model import Admin, Ledger, Server, Shared, Snapshot
from proxy.core.records import Kind, Record
from proxy.store import objects
from proxy.store.opening import open_store
from proxy.supervisor.handover import REHEARSE
from tests.line.harness import (
    ROOT,
    Raw,
    config,
    free_port,
    merged,
    read_request,
    scripted,
    until,
)
from tests.supervisor.supervised import REQUEST, Supervised, get, two, wait

pytestmark = pytest.mark.allow_blocking("waits for processes")

PATIENCE = 20.0

# What a service manager does: the socket is descriptor 3, and the process number is its own.
STARTS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="api")
os.execv(sys.executable, [sys.executable, "-m", "proxy", "serve", "--config", sys.argv[2]])
"""


def file(folder: Path, **changes: object) -> Path:
    path = folder / "headrace.yaml"
    usual = config("http://127.0.0.1:9", admin={"port": 0}, store={"url": ""})
    path.write_text(yaml.safe_dump(merged(usual, changes)))
    return path


def heard(manager: socket.socket, word: str) -> list[str]:
    """Everything that is said, until this is."""
    found: list[str] = []
    deadline = time.monotonic() + PATIENCE
    while not any(each.startswith(word) for each in found):
        manager.settimeout(max(deadline - time.monotonic(), 0.01))
        found.append(manager.recv(4096).decode())
    return found


def test_systemd_opens_the_port_and_is_told_how_it_is(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.create_server(("127.0.0.1", 0)) as api,
    ):
        manager.bind(str(tmp_path / "notify"))
        process = subprocess.Popen(
            [sys.executable, "-c", STARTS, str(api.fileno()), str(file(tmp_path))],
            pass_fds=[api.fileno()],
            cwd=ROOT,
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "200000",
            },
            stderr=subprocess.DEVNULL,
        )
        try:
            heard(manager, "READY=1")
            with socket.create_connection(api.getsockname()) as client:
                client.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
                assert client.recv(99).startswith(b"HTTP/1.1 200")
            heard(manager, "WATCHDOG=1")
            heard(manager, "STATUS=1 of 1 workers ready")
            process.send_signal(1)
            heard(manager, "RELOADING=1\nMONOTONIC_USEC=")
            heard(manager, "READY=1")
            process.terminate()
            heard(manager, "STOPPING=1")
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"auth": {"require": False}}, 0, ""),
        ({"server": {"workers": 3}}, 2, "server.workers was changed: that takes a stop"),
        ({"models": {"m": {"deployments": [{"provider": "nobody"}]}}}, 2, "nobody"),
        ({"server": {"memory_limit": "100MiB"}}, 2, "one needs 128 MiB"),
        ({"logging": {"file": "/proc/nowhere/headrace.log"}}, 1, "/proc/nowhere"),
    ],
    ids=["something", "workers", "broken", "this machine", "its log"],
)
def test_a_rehearsal_says_whether_a_restart_would_do(
    tmp_path: Path, changes: dict[str, object], code: int, said: str
) -> None:
    path = file(tmp_path)
    fixed = serving._fixed(serving._settings(ConfigFile(load(path).config)))
    file(tmp_path, **changes)

    done = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", "--config", str(path)],
        env={**os.environ, REHEARSE: msgspec.json.encode(fixed).decode()},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "listening" not in done.stderr


def test_a_start_that_fails_leaves_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (tmp_path / "headrace.db.key").touch(0o600)
    path = file(tmp_path, store={"url": f"sqlite:///{tmp_path}/headrace.db"})

    done = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", "--config", str(path)],
        env={**os.environ, "TMPDIR": str(made)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    assert done.returncode == 2, done.stderr
    assert "headrace.db.key is empty" in done.stderr
    assert list(made.iterdir()) == []


def test_a_reload_leaves_what_all_workers_have_in_common() -> None:
    begun = Snapshot(
        server=Server(host="127.0.0.1", port=80, workers=2),
        admin=Admin(host="127.0.0.1", port=80),
        ledger=Ledger(path="/one", size=1 << 30, sync=1.0),
        shared=Shared(url="redis://one"),
    )
    adjust = serving._pinned(lambda snapshot: snapshot, serving._fixed(begun), begun)

    adjusted = adjust(
        Snapshot(
            server=Server(host="::", port=81, workers=5, drain=1.0),
            admin=Admin(host="::", port=82, username="root"),
            ledger=Ledger(path="/two", size=1 << 31, sync=2.0, client_gone="drain"),
            shared=Shared(url="redis://two"),
        )
    )

    assert adjusted.server == replace(begun.server, drain=1.0)
    assert adjusted.admin == replace(begun.admin, username="root")
    assert adjusted.ledger == replace(begun.ledger, client_gone="drain")
    assert adjusted.shared == begun.shared


def test_a_worker_that_is_started_after_a_reload_serves_the_listener_that_there_is(
    tmp_path: Path,
) -> None:
    """One port for both. Whoever took another for the admin API's served it nowhere."""
    port = free_port()
    content = merged(
        two(),
        {"server": {"port": port, "workers": 1}, "admin": {"port": port}, "store": {"url": ""}},
    )
    with Supervised(content, tmp_path) as process:
        [first] = process.up(1).workers()
        (tmp_path / "process.yaml").write_text(
            yaml.safe_dump(merged(content, {"admin": {"port": free_port()}}))
        )
        process.process.send_signal(signal.SIGHUP)
        wait(lambda: process.reloaded == 1)
        os.kill(first, signal.SIGKILL)
        wait(lambda: first not in process.workers())

        assert asyncio.run(get(process.up(1).port, "/admin/me")).status == 401


@pytest.mark.parametrize("which", ["read", "settings"])
def test_a_supervisor_outlives_a_configuration_it_cannot_take(
    tmp_path: Path, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = file(tmp_path)
    one = ConfigFile(load(path).config, lambda: load(path).config)
    before = one.config
    assert not serving._reread(one)
    file(tmp_path, server={"drain": 1})

    def broken(*_: object) -> Any:
        raise BrokenPipeError("nobody reads what is said")

    good = one.read, one.adjust
    if which == "read":
        one.read = broken
    else:
        one.adjust = broken
    assert not serving._reread(one)
    assert one.config is before
    assert "keeps the configuration it has" in caplog.text

    one.read, one.adjust = good
    assert serving._reread(one)
    assert serving._settings(one).server.drain == 1.0


def memory(pid: int, *fields: str) -> int:
    """Bytes of it in RAM, of these kinds."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = dict(line.split(":", 1) for line in rollup.splitlines()[1:])
    return sum(int(found[name].split()[0]) * 1024 for name in fields)


def mapped(pid: int) -> str:
    """The files it has in its address space."""
    return Path(f"/proc/{pid}/maps").read_text()


MIB = 1024 * 1024
STRANGE = ("/cryptography/", "_argon2", "/asyncpg/", "/hiredis/", "/toktok")
"""Libraries of which an idle worker has not even the code."""


def test_what_a_worker_is_made_of_brings_nothing_that_only_others_need() -> None:
    code = (
        "import sys, proxy.serving, proxy.worker, proxy.host, proxy.control.sync, proxy.control.instance\n"
        "import proxy.control.admin.services, proxy.supervisor.loop, proxy.store.sqlite\n"
        "print(*(name for name in sys.argv[1:] if name in sys.modules))"
    )
    others = [
        "aiohttp.web",
        "aiohttp_sse",
        "pydantic",
        "yaml",
        "cryptography",
        "argon2",
        "asyncpg",
        "prometheus_client",
        "genai_prices",
        "redis",
        "proxy.core.config",
        "proxy.control.listener",
        "proxy.control.admin.app",
        "proxy.simulator",
        "proxy.telemetry.telemetry",
    ]

    done = subprocess.run(
        [sys.executable, "-c", code, *others], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []


async def test_a_worker_that_has_nothing_to_do_is_small_until_it_is_asked_for_more(
    tmp_path: Path,
) -> None:
    """56.8 and 14.7 MiB, when this was written; 75 and 20 with a price list and an admin API in each.

    The provider is one whose models the price list has.
    """
    content = merged(
        two("https://api.openai.com/v1"),
        {"ledger": {"path": str(tmp_path / "ledger")}, "models": {"gpt-4o": {"deployments": [{"provider": "p0"}]}}},
    )  # fmt: skip
    with Supervised(content, tmp_path) as process:
        workers = [one["pid"] for one in process.up().health]
        idle = [memory(pid, "Rss") for pid in workers]
        own = [memory(pid, "Private_Clean", "Private_Dirty") for pid in workers]
        maps = [mapped(pid) for pid in workers]
        admin = next(line for line in process.lines if line.startswith("admin on"))

        page = await get(int(admin.rpartition(":")[2]), "/docs")
        grown = [memory(pid, "Rss") - before for pid, before in zip(workers, idle, strict=True)]

    assert max(idle) < 60 * MIB
    assert max(own) < 17 * MIB
    # Nothing was sealed or hashed here so far.
    assert [name for name in STRANGE if any(name in each for each in maps)] == []
    assert page.status == 200
    # One of them has loaded what answers there.
    assert min(grown) < 1 * MIB < max(grown)


@pytest.mark.parametrize("by", ["a signal", "the store"])
async def test_all_processes_log_as_the_configuration_says_by_now(tmp_path: Path, by: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        begun.set()
        await reader.read()

    begun = asyncio.Event()
    url = f"sqlite:///{tmp_path}/headrace.db"
    async with scripted(silent) as upstream:
        content = merged(
            two(upstream),
            {"ledger": {"path": str(tmp_path / "ledger")}, "store": {"url": url}, "logging": {"level": "error"}},
        )  # fmt: skip
        with await asyncio.to_thread(Supervised, content, tmp_path) as process:
            await asyncio.to_thread(process.up)
            client = await Raw.open(process.port)
            client.send(REQUEST)
            await asyncio.wait_for(begun.wait(), PATIENCE)

            content["logging"]["level"] = "info"
            (tmp_path / "process.yaml").write_text(yaml.safe_dump(content))
            if by == "a signal":
                process.process.send_signal(signal.SIGHUP)
            else:
                await told_to_reload(url)
            await until(lambda: process.reloaded == 2, PATIENCE)
            await until(lambda: process.said("shipping by the configuration"), PATIENCE)
            for one in process.health:
                os.kill(one["pid"], signal.SIGKILL)

            await until(lambda: process.said("left 1 requests unfinished"), PATIENCE)
            client.close()


async def told_to_reload(url: str) -> None:
    """As `POST /admin/reload` writes it."""
    store = open_store(url)
    async with store.transaction() as session:
        revision = await objects.lock(session) + 1
        told = Record(Kind.SIGNAL, revision, revision, name="reload", updated=now())
        await objects.write(session, told)
        await objects.unlock(session, revision)
    await store.close()


async def test_who_takes_the_place_of_a_single_worker_knows_who_is_to_be_left_alone(
    tmp_path: Path,
) -> None:
    asked = 0

    async def limited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await read_request(reader)
        asked += 1
        writer.write(b"HTTP/1.1 429 No\r\nretry-after: 600\r\ncontent-length: 2\r\n\r\n{}")

    async with scripted(limited) as upstream:
        content = merged(two(upstream), {"server": {"workers": 1}})
        with await asyncio.to_thread(Supervised, content, tmp_path) as process:
            [first] = (await asyncio.to_thread(process.up, 1)).workers()

            async def ask() -> int:
                client = await Raw.open(process.port)
                client.send(REQUEST)
                status = (await client.answer()).status
                client.close()
                return status

            before = await ask(), asked
            os.kill(first, signal.SIGTERM)
            await until(lambda: first not in process.workers(), PATIENCE)

            assert before == (429, 1)
            assert (await ask(), asked) == (429, 1)
