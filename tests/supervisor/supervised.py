"""`headrace serve` with several workers, and what its supervisor says of them."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import orjson

from tests.gateway.asked import CHAT, raw
from tests.line.harness import Answer, Process, Raw, children, config

BODY = b'{"model":"sim","messages":[]}'
REQUEST = raw("POST", CHAT, BODY, "Authorization: Bearer sk-test-key-0001")
PATIENCE = 15.0


def wait(condition: Callable[[], bool]) -> None:
    """Until the other processes have come so far."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # looking costs them time: one of them answers


def alive(pids: Iterable[int]) -> list[int]:
    """Those of these processes that are still there."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


class Supervised(Process):
    """`headrace serve` with two workers."""

    @classmethod
    def of(cls, command: Sequence[str]) -> Self:
        """Another program that says where it listens."""
        one = cls.__new__(cls)
        one.begin(command)
        return one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever a test found: nothing is left running."""
        if self.process.poll() is None:
            for pid in (self.process.pid, *children(self.process.pid)):
                os.kill(pid, signal.SIGKILL)
        self.stop()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def health(self) -> list[dict[str, Any]]:
        """The workers, as the supervisor sees them; none when it does not answer."""
        status, body = self.ask("/health")
        found: list[dict[str, Any]] = orjson.loads(body)["workers"] if status else []
        return found

    def ask(self, path: str) -> tuple[int, bytes]:
        """(status, body) of a page of the supervisor; (0, nothing) when it does not answer."""
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.ops, timeout=5)) as client:
                client.request("GET", path)
                answer = client.getresponse()
                return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""

    @cached_property
    def ops(self) -> int:
        """The port of the supervisor."""
        wait(lambda: self.said("ops on http"))
        line = next(line for line in self.lines if "ops on http" in line)
        return int(line.rpartition(":")[2])

    def up(self, number: int = 2) -> Self:
        """Once all workers serve."""
        wait(lambda: sum(one["stage"] == "ready" for one in self.health) == number)
        return self

    @property
    def reloaded(self) -> int:
        """How often a worker has said that it has a new configuration."""
        return sum("configuration reloaded" in line for line in self.lines)

    def said(self, what: str) -> bool:
        return any(what in line for line in self.lines)


def two(url: str = "http://127.0.0.1:9", **server: float) -> dict[str, Any]:
    return config(url, server={"workers": 2, "ops": {"port": 0}, **server})


async def get(port: int, path: str) -> Answer:
    client = await Raw.open(port)
    try:
        client.send(raw("GET", path))
        return await client.answer()
    finally:
        client.close()
