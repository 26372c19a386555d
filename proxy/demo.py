"""The first minute: a simulated provider, a gateway in front of it, and a line to paste."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from proxy.core.paths import CONF

if TYPE_CHECKING:
    from proxy.control.sync import ConfigFile
    from proxy.core.config.schema import Config
    from proxy.core.model import Snapshot

KEY = "sk-headrace-demo"
PORT = 8000
_LISTENING = re.compile(r"listening on .*:(\d+)")

Read = Callable[[Path], "Config"]
Run = Callable[["ConfigFile", Callable[[str], None]], int]


def run(host: str, port: int | None, read: Read, serve: Run) -> int:
    """Start the simulated provider as a process of its own, serve, and stop it again; the exit code.

    What the admin API makes lives as long as the demo does.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as folder:
        os.environ["HEADRACE_DEMO_DATA"] = folder
        return _run(host, port, read, serve)


def _run(host: str, port: int | None, read: Read, serve: Run) -> int:
    from proxy.control.sync import ConfigFile

    print("starting the simulated provider …", file=sys.stderr, flush=True)
    provider = subprocess.Popen(
        # This program, not what is called `proxy` in the folder that a person stands in.
        [sys.executable, "-P", "-m", "proxy", "simulate", "--port", "0", "--tied"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,  # it ends when this does, however that was
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # Meanwhile: it takes as long to start as all of this to be read.
        import proxy.worker  # noqa: F401

        assert provider.stderr is not None
        found = _LISTENING.search(provider.stderr.readline())
        if found is None:
            print("headrace: the simulated provider did not start", file=sys.stderr)
            return 1
        os.environ["HEADRACE_DEMO_PORT"] = found[1]
        os.environ["HEADRACE_DEMO_KEY"] = KEY
        config = read(CONF / "demo.yaml")
        chosen = _free_port(host, PORT) if port is None else port
        admin = _free_port("127.0.0.1", config.admin.port)

        def adjust(snapshot: Snapshot) -> Snapshot:
            return replace(
                snapshot,
                server=replace(snapshot.server, host=host, port=chosen),
                admin=replace(snapshot.admin, port=admin),
            )

        return serve(ConfigFile(config, None, adjust), _announce)
    finally:
        provider.terminate()
        provider.wait()


def _free_port(host: str, wanted: int) -> int:
    """`wanted` when nobody listens there, else 0."""
    from proxy.worker import listen

    try:
        listen(host, wanted).close()
    except OSError:
        return 0
    return wanted


def _announce(address: str) -> None:
    print(
        f"""
Try it, in another terminal (an answer streams in):

  curl -N {address}/v1/chat/completions -H 'Authorization: Bearer {KEY}' -H 'Content-Type: application/json' -d '{{"model": "demo", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'

Other dialects, same key:

  curl -N {address}/v1/messages -H 'x-api-key: {KEY}' -H 'Content-Type: application/json' -d '{{"model": "demo", "max_tokens": 64, "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'
  curl -N '{address}/v1beta/models/demo:streamGenerateContent?alt=sse' -H 'x-goog-api-key: {KEY}' -H 'Content-Type: application/json' -d '{{"contents": [{{"parts": [{{"text": "Hello"}}]}}]}}'

  {address}/health   {address}/metrics   Ctrl-C stops.
""",
        file=sys.stderr,
    )
