"""A secret that a command gives, in a gateway with several processes: taken at the start, and again at a reload."""

from __future__ import annotations

import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.line.harness import KEY, Process, config

PATIENCE = 60.0


class Vendor(ThreadingHTTPServer):
    """Answers each embedding, and remembers what was presented."""

    def __init__(self) -> None:
        self.presented: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Vendor

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.presented.append(self.headers["authorization"])
        body = b'{"object":"list","data":[],"usage":{"prompt_tokens":1,"total_tokens":1}}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    found = Vendor()
    yield found
    found.shutdown()
    found.server_close()


def ask(url: str) -> None:
    request = urllib.request.Request(
        f"{url}/v1/embeddings",
        orjson.dumps({"model": "sim", "input": "x"}),
        {
            "authorization": f"Bearer {KEY}",
            "content-type": "application/json",
            "connection": "close",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_a_secret_of_a_command_is_renewed_by_a_reload(vendor: Vendor, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("sk-BEFORE-0123456789")
    says = "import sys, pathlib; print(pathlib.Path(sys.argv[1]).read_text())"
    content = config(vendor.url, server={"workers": 2}, admin={"port": 0})
    content["secrets"] = {
        "sources": {"vault": {"command": [sys.executable, "-c", says, "{key}"], "timeout": "10s"}}
    }
    content["providers"]["p0"]["credentials"] = ["secret:vault/kept"]
    one = Process(content, tmp_path)
    try:
        ask(one.url)
        assert vendor.presented == ["Bearer sk-BEFORE-0123456789"]

        kept.write_text("sk-AFTER-0123456789")
        one.process.send_signal(signal.SIGHUP)
        deadline, row = time.monotonic() + PATIENCE, 0
        while row < 6:  # of both workers
            ask(one.url)
            row = row + 1 if "AFTER" in vendor.presented[-1] else 0
            assert time.monotonic() < deadline, "".join(one.lines)

        # One that fails leaves everything as it is, and is said with its line.
        kept.unlink()
        one.process.send_signal(signal.SIGHUP)
        while not any("to succeed, found exit code 1" in line for line in list(one.lines)):
            ask(one.url)
            assert time.monotonic() < deadline, "".join(one.lines)
        assert "AFTER" in vendor.presented[-1]
    finally:
        assert one.stop() == 0
    said = "".join(one.lines)
    assert "providers.p0.credentials[0]" in said
    assert "BEFORE" not in said
    assert "AFTER" not in said
