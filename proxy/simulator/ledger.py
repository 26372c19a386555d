"""What the simulator was asked and how each request ended, for tests that compare it with somebody's own books."""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from time import monotonic
from typing import Any

from proxy.simulator.http import pairs

_KEPT_REQUESTS = 1000
_KEPT_BODIES = 64 << 20
"""Bytes of request bodies kept in all; the oldest go first, and only their `body_size` stays."""


class Exchange:
    """One request and what became of it. `began` and `ended` are CLOCK_MONOTONIC seconds."""

    __slots__ = (
        "began", "body", "body_size", "connection", "ended", "epoch", "head", "id", "lowered",
        "method", "model", "outcome", "sent", "target", "tokens",
    )  # fmt: skip

    def __init__(self, id: int, connection: int, head: bytes, lowered: bytes) -> None:
        self.id = id
        self.connection = connection
        self.head = head
        self.lowered = lowered
        self.method = b""
        self.target = b""
        self.body = b""
        self.body_size = 0
        self.model = ""
        self.began = monotonic()
        self.ended = 0.0
        self.outcome = "open"
        self.sent = 0
        self.tokens = 0
        self.epoch = -1

    def record(self) -> dict[str, Any]:
        """As `GET /ledger` shows it."""
        return {
            "id": self.id,
            "method": self.method.decode("latin-1"),
            "target": self.target.decode("latin-1"),
            "headers": pairs(self.head),
            "body": b64encode(self.body).decode(),
            "body_size": self.body_size,
            "model": self.model,
            "begun_at": self.began,
            "ended_at": self.ended or None,
            "outcome": self.outcome,
            "connection": self.connection,
            "bytes_sent": self.sent,
            "tokens_sent": self.tokens,
        }


class Ledger:
    """Counters since the last reset, and the last thousand requests."""

    __slots__ = (
        "aborted", "begun", "connections", "epoch", "faulted", "finished", "kept", "kept_bytes",
        "recent", "tokens",
    )  # fmt: skip

    def __init__(self) -> None:
        self.recent: deque[Exchange] = deque(maxlen=_KEPT_REQUESTS)
        self.kept: deque[Exchange] = deque()
        """Requests whose bodies are held."""
        self.epoch = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything; a request that is open now is not counted when it ends."""
        self.epoch += 1
        self.begun = self.finished = self.aborted = self.faulted = 0
        self.tokens = self.connections = 0
        self.recent.clear()
        self.kept.clear()
        self.kept_bytes = 0

    def begin(self, exchange: Exchange) -> None:
        self.begun += 1
        exchange.epoch = self.epoch
        self.recent.append(exchange)

    def keep(self, exchange: Exchange, body: bytes) -> None:
        """Hold the body of a request, for as long as there is room."""
        exchange.body = body
        exchange.body_size = len(body)
        kept = self.kept
        kept.append(exchange)
        self.kept_bytes += len(body)
        while self.kept_bytes > _KEPT_BODIES or len(kept) > _KEPT_REQUESTS:
            oldest = kept.popleft()
            self.kept_bytes -= len(oldest.body)
            oldest.body = b""

    def end(self, exchange: Exchange, outcome: str) -> None:
        exchange.ended = monotonic()
        exchange.outcome = outcome
        if exchange.epoch != self.epoch:
            return
        self.tokens += exchange.tokens
        if outcome == "finished":
            self.finished += 1
        elif outcome == "aborted":
            self.aborted += 1
        else:
            self.faulted += 1

    def report(self, last: int = _KEPT_REQUESTS) -> dict[str, Any]:
        """The whole ledger, with at most `last` requests, oldest first."""
        recent = list(self.recent)[-last:] if last else []
        return {
            "begun": self.begun,
            "finished": self.finished,
            "aborted": self.aborted,
            "faulted": self.faulted,
            "open": self.begun - self.finished - self.aborted - self.faulted,
            "tokens_sent": self.tokens,
            "connections": self.connections,
            "requests": [exchange.record() for exchange in recent],
        }
