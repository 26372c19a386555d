"""Starts and stops what is measured: nginx, Headrace, any command, and the simulator behind them.

Each peer is a context manager: inside it the peer answers on its port, after it its processes
are gone. Everything a peer writes goes to a directory of its own that is deleted with it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from bench.machine import Cores, is_alive, pin, tree

ROOT = Path(__file__).resolve().parent.parent
PATH = "/v1/chat/completions"
KEY = "sk-headrace-bench-0123456789abcdef"
START_S = 30.0
STOP_S = 10.0


class PeerError(Exception):
    """A peer did not start; the message ends with what it last wrote."""


class Peer(Struct, frozen=True):
    """Something that answers chat requests. Without `pid` it is not asked for CPU time and memory."""

    name: str
    host: str
    port: int
    pid: int | None = None
    key: str = KEY
    path: str = PATH
    apart: tuple[int, ...] = ()
    """Processes that it started and that are not what is measured."""
    headers: tuple[str, ...] = ()
    """Lines that it wants to have in a request, besides those of any client."""
    tls: bool = False
    """It is asked over TLS, whoever it says it is."""


class Upstream(Struct, frozen=True):
    """Where the simulator listens."""

    host: str
    port: int


class Files(Struct, frozen=True):
    """A certificate and its key."""

    certificate: Path
    key: Path


Starter = Callable[[], AbstractContextManager[Peer]]


@contextmanager
def simulator(cores: Cores, tls: Files | None = None) -> Iterator[Upstream]:
    """Headrace's own simulated provider, on a free port; with a certificate it speaks TLS."""
    command = [sys.executable, "-m", "bench.provider", "0"]
    if tls is not None:
        command += [str(tls.certificate), str(tls.key)]
    with workdir() as folder, running(command, folder, cores.simulator) as process:
        address = listening_line(process, folder / "log")
        yield Upstream(address.hostname or "127.0.0.1", address.port or 0)


@contextmanager
def bare(upstream: Upstream) -> Iterator[Peer]:
    """No proxy at all: what the simulator and the load generator cost by themselves."""
    yield Peer("bare", upstream.host, upstream.port)


NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile {files};
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_body_buffer_size 64k;
  client_max_body_size 64m;
  keepalive_requests 100000000;
  upstream simulator {{
    server {host}:{port};
    keepalive 4096;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{listen}{ssl} backlog=4096;
    {certificate}
    location / {{
      proxy_pass {scheme}://simulator;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
    }}
  }}
}}
"""


NGINX_TLS = """\
ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;"""
"""1.22 speaks no 1.3 by itself."""


@contextmanager
def nginx(upstream: Upstream, cores: Cores, tls: Files | None = None) -> Iterator[Peer]:
    """nginx as an unbuffered reverse proxy with one worker, kept-alive upstream connections, no log; with a certificate it
    speaks TLS to both sides."""
    program = nginx_program()
    if program is None:
        raise PeerError("nginx was found neither on PATH nor in /usr/sbin")
    port = free_port()
    with workdir() as folder:
        conf = folder / "nginx.conf"
        conf.write_text(
            NGINX.format(
                folder=folder,
                files=os.sysconf("SC_OPEN_MAX"),
                host=upstream.host,
                port=upstream.port,
                listen=port,
                ssl=" ssl" if tls else "",
                scheme="https" if tls else "http",
                certificate=NGINX_TLS.format(certificate=tls.certificate, key=tls.key)
                if tls
                else "",
            )
        )
        command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(conf)]
        with running(command, folder, cores.measured) as process:
            wait_for_port(port, process, folder)
            yield Peer("nginx", "127.0.0.1", port, process.pid)


def nginx_program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


HEADRACE = """\
server: {{host: 127.0.0.1, port: {port}, workers: {workers}, tls: {tls}}}
admin: {{host: 127.0.0.1, port: {admin_port}, token: bench-admin-token}}
store: {{url: "sqlite:///{folder}/headrace.db"}}
logging: {{level: info, requests: true}}
providers:
  lab:
    dialects: [{dialect}]
    base_url: "{scheme}://{host}:{upstream_port}"
    verify_tls: {verify}
    credentials: [upstream-key]
    allow_private: true
models:
  "sim*": {{deployments: [{{provider: lab, model: "sim*"}}]}}
keys:
  - {{name: bench, key: {key}, models: ["*"]}}
"""
PLAIN = {"tls": "null", "scheme": "http", "verify": "true"}
"""What it has where nobody speaks TLS."""


@contextmanager
def headrace(
    upstream: Upstream,
    cores: Cores,
    name: str = "headrace",
    dialect: str = "openai.chat",
    workers: int = 1,
    tls: Files | None = None,
) -> Iterator[Peer]:
    """This repository's proxy as users run it: one key, request log; a provider of this dialect; with a certificate, TLS to
    both sides."""
    port, admin_port = free_port(), free_port()
    with workdir() as folder:
        conf = folder / "headrace.yaml"
        conf.write_text(
            HEADRACE.format(
                port=port,
                admin_port=admin_port,
                folder=folder,
                host=upstream.host,
                upstream_port=upstream.port,
                key=KEY,
                dialect=dialect,
                workers=workers,
                **(PLAIN if tls is None else _sealed(tls)),
            )
        )
        command = [sys.executable, "-m", "proxy", "serve", "--config", str(conf)]
        with running(command, folder, cores.measured) as process:
            wait_for_ready(port, process, folder, tls=tls is not None)
            yield Peer(name, "127.0.0.1", port, process.pid)


def _sealed(files: Files) -> dict[str, str]:
    tls = f"{{certificate: {files.certificate}, key: {files.key}}}"
    return {"tls": tls, "scheme": "https", "verify": "false"}


@contextmanager
def aiohttp_relay(upstream: Upstream, cores: Cores) -> Iterator[Peer]:
    """A handler of aiohttp and its `ClientSession`, with nothing between."""
    port = free_port()
    url = f"http://{upstream.host}:{upstream.port}"
    words = [sys.executable, "-m", "bench.relay", str(port), url]
    with workdir() as folder, running(words, folder, cores.measured) as process:
        wait_for_port(port, process, folder)
        yield Peer("aiohttp", "127.0.0.1", port, process.pid)


@contextmanager
def command(name: str, template: str, upstream: Upstream, cores: Cores) -> Iterator[Peer]:
    """Any other proxy: `{port}`, `{upstream}` (a URL) and `{folder}` in the command are filled in."""
    port = free_port()
    with workdir() as folder:
        url = f"http://{upstream.host}:{upstream.port}"
        words = shlex.split(template.format(port=port, upstream=url, folder=folder, key=KEY))
        with running(words, folder, cores.measured) as process:
            wait_for_port(port, process, folder)
            yield Peer(name, "127.0.0.1", port, process.pid)


@contextmanager
def target(name: str, url: str, pid: int | None, key: str) -> Iterator[Peer]:
    """A proxy that somebody else started, with a simulator behind it."""
    parts = urlsplit(url)
    path = parts.path if parts.path not in ("", "/") else PATH
    yield Peer(name, parts.hostname or "127.0.0.1", parts.port or 80, pid, key, path)


@contextmanager
def workdir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        Path(name).chmod(0o755)  # a root nginx runs its worker as another user
        yield Path(name)


@contextmanager
def running(
    words: list[str],
    folder: Path,
    cores: frozenset[int],
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, its output in `folder/log`; ended with all it started.

    `environment`: its whole, for a program that must not find our packages.
    """
    if environment is None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with (folder / "log").open("wb") as log:
        try:
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=pin(cores),
            )
        except OSError as error:
            raise PeerError(f"{words[0]}: {error}") from error
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    started = tree(process.pid)
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # Children that outlived their parent: the session is this process's own, so they are ours.
    for pid in started[1:]:
        try:
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + STOP_S
    while any(map(is_alive, started)) and time.monotonic() < deadline:
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    def answers() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers, process, folder)


def wait_for_ready(
    port: int, process: subprocess.Popen[bytes], folder: Path, *, tls: bool = False
) -> None:
    def ready() -> bool:
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=1) as plain,
                anybody().wrap_socket(plain) if tls else plain as probe,
            ):
                probe.sendall(b"GET /health/ready HTTP/1.1\r\nHost: bench\r\n\r\n")
                return probe.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    wait_until(ready, process, folder)


def anybody() -> ssl.SSLContext:
    """For a client that does not ask whom it talks to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def wait_until(
    answers: Callable[[], bool],
    process: subprocess.Popen[bytes],
    folder: Path,
    limit: float = START_S,
) -> None:
    """Until it answers. Raises PeerError when the process has ended, or `limit` seconds have passed."""
    deadline = time.monotonic() + limit
    while not answers():
        _check(process, folder, deadline)
        time.sleep(0.05)


def listening_line(process: subprocess.Popen[bytes], log: Path) -> SplitResult:
    """The address a process says it listens on, once it has said so."""
    deadline = time.monotonic() + START_S
    while True:
        for line in log.read_text(errors="replace").splitlines(keepends=True):
            _, found, address = line.partition("listening on ")
            if found and address.endswith("\n"):
                return urlsplit(f"//{address.strip()}")
        _check(process, log.parent, deadline)
        time.sleep(0.02)


def _check(process: subprocess.Popen[bytes], folder: Path, deadline: float) -> None:
    if process.poll() is None and time.monotonic() < deadline:
        return
    said = "\n".join(
        line
        for name in ("log", "error.log")
        if (folder / name).exists()
        for line in (folder / name).read_text(errors="replace").splitlines()[-15:]
    )
    state = "is not ready" if process.poll() is None else f"ended with {process.returncode}"
    raise PeerError(f"{shlex.join(map(str, process.args))} {state}:\n{said}")  # type: ignore[arg-type]
