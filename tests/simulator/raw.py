"""A raw socket's view of a simulator in a process of its own: every byte, and how the connection ended."""

from __future__ import annotations

import itertools
import re
import select
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROGRAM = "from proxy.simulator.server import main; main('127.0.0.1', 0)"
_ids = itertools.count(1)

_PATIENCE = 8
"""Turns of silence after which an open request is taken to stay silent."""


class Simulator:
    """The process, and the ledger it keeps."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        assert found, line
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.own = Wire(self.port)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it with a signal; its exit status and what it complained about."""
        self.own.close()
        self.process.send_signal(number)
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            said = stderr.read()
        return self.process.wait(), said

    def ledger(self, last: int = 1000) -> dict[str, Any]:
        """What it has booked."""
        self.own.send(request("GET", f"/ledger?last={last}"))
        report: dict[str, Any] = orjson.loads(self.own.answer().body)
        return report

    def reset(self) -> None:
        """Clear the books."""
        self.own.send(request("POST", "/ledger/reset"))
        self.own.answer()

    def find(self, **wanted: Any) -> dict[str, Any] | None:
        """The last booked request with these values, if there is one."""
        for entry in reversed(self.ledger(last=50)["requests"]):
            if wanted.items() <= entry.items():
                return dict(entry)
        return None

    def record(self, **wanted: Any) -> dict[str, Any]:
        """The same, once it is there."""
        while (entry := self.find(**wanted)) is None:
            pass
        return entry

    def ended(self, **wanted: Any) -> dict[str, Any]:
        """The same, once it is no longer open."""
        while (entry := self.record(**wanted))["outcome"] == "open":
            pass
        return entry

    def wire(self) -> Wire:
        """A new connection."""
        return Wire(self.port)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own."""
        with self.wire() as wire:
            wire.send(request("POST", path, body, **headers))
            return wire.answer()

    def see(self, path: str, body: Any, sim: str = "") -> Seen:
        """Everything one request leads to, until the connection ends or the simulator has no more to say."""
        model = f"gpt-4o-id{next(_ids):05}"
        path = path.replace("gpt-4o", model)
        ask = request("POST", path, {**body, "model": model}, **({"x-sim": sim} if sim else {}))
        raw = b""
        with self.wire() as wire:
            wire.send(ask)
            ending, known, quiet = "", "", 0
            while not ending:
                if wire.ready(0.002):
                    data = wire.receive()
                    raw += data or b""
                    ending = "" if data else "fin" if data is not None else "rst"
                    continue
                # Each look at the ledger is a turn of the simulator's loop in which it did not speak.
                entry = self.find(model=model) or {"bytes_sent": -1, "outcome": ""}
                same = entry["bytes_sent"] == len(raw) and entry["outcome"] == known
                known, quiet = entry["outcome"], quiet + 1 if same else 0
                if quiet > (_PATIENCE if known == "open" else 1):
                    ending = "open"
            outcome = self.record(model=model)["outcome"]
        return Seen(raw, ending, outcome, self.ended(model=model))


class Answer(NamedTuple):
    """One HTTP response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def json(self) -> Any:
        """The body decoded."""
        return orjson.loads(self.body)


class Seen(NamedTuple):
    """What one request led to."""

    raw: bytes
    ending: str
    """`fin`, `rst` or `open`."""
    outcome: str
    """What the ledger said before we closed."""
    record: dict[str, Any]

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def rest(self) -> bytes:
        """All that follows the first response head."""
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        return int(self.head.split(b" ")[1])

    @property
    def body(self) -> bytes:
        """As far as the chunks go, without what differs between two requests."""
        rest = self.rest
        if b"\r\ntransfer-encoding: chunked" in self.head:
            rest = dechunk(rest)[0]
        digits = rb"\d{7,16}|(?<=gpt-4o-id)\d{1,5}"
        return re.sub(digits, lambda match: b"1" * len(match[0]), rest)

    @property
    def complete(self) -> bool:
        """The last chunk came, and nothing behind it."""
        _, complete, behind = dechunk(self.rest)
        return complete and not behind


def dechunk(data: bytes) -> tuple[bytes, bool, bytes]:
    """The body as far as it goes, whether it is complete, and what is behind (or undecodable)."""
    body = b""
    while True:
        line, found, rest = data.partition(b"\r\n")
        try:
            size = int(line, 16)
        except ValueError:
            return body, False, data
        if not found or len(rest) < size + 2 or rest[size : size + 2] != b"\r\n":
            return body, False, data
        if size == 0:
            return body, True, rest[2:]
        body += rest[:size]
        data = rest[size + 2 :]


class Wire:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ready(self, seconds: float) -> bool:
        return bool(select.select([self.socket], [], [], seconds)[0])

    def receive(self) -> bytes | None:
        """The next bytes, nothing at a FIN, None at a reset."""
        try:
            return self.socket.recv(1 << 20)
        except ConnectionResetError:
            return None

    def until(self, mark: bytes, start: int = 0) -> int:
        """Read on until `mark` is in the buffer; where it ends."""
        while (found := self.buffer.find(mark, start)) < 0:
            start = max(start, len(self.buffer) - len(mark))
            data = self.receive()
            assert data, f"ended without {mark!r}: {self.buffer[-300:]!r}"
            self.buffer += data
        return found + len(mark)

    def answer(self) -> Answer:
        """One well-formed response."""
        end = self.until(b"\r\n\r\n")
        lines = self.buffer[: end - 4].decode("latin-1").split("\r\n")
        self.buffer = self.buffer[end:]
        split = [line.split(": ", 1) for line in lines[1:]]
        headers = [(name, value) for name, value in split]
        lengths = [int(value) for name, value in headers if name == "content-length"]
        if lengths:
            while len(self.buffer) < lengths[0]:
                data = self.receive()
                assert data, "ended inside the body"
                self.buffer += data
            body, self.buffer = self.buffer[: lengths[0]], self.buffer[lengths[0] :]
        else:
            end = 0
            while not (found := dechunk(self.buffer))[1]:
                end = self.until(b"0\r\n\r\n", end)
            body, _, self.buffer = found
        return Answer(int(lines[0].split()[1]), headers, body)


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    """A request with a JSON body, or with the bytes given."""
    data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    lines: Mapping[str, str] = {"host": "sim", "content-length": str(len(data))} | headers
    text = "".join([f"{name}: {value}\r\n" for name, value in lines.items()])
    return f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode() + data


class Event(NamedTuple):
    """One server-sent event; `data` decoded when it is JSON."""

    name: str
    data: Any


def events(body: bytes) -> list[Event]:
    """Server-sent events as a browser reads them."""
    text = body.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found: list[Event] = []
    name, data = "", []
    for line in text.split("\n"):
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "event":
            name = value
        elif key == "data":
            data.append(value)
        elif not line:
            if data:
                whole = "\n".join(data)
                found.append(
                    Event(
                        name,
                        orjson.loads(whole) if whole[0] in "{[" and whole != "[DONE]" else whole,
                    )
                )
            name, data = "", []
    return found
