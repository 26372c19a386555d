"""What all connections of one simulator share: the ledger, stored responses, and how often a fault has struck."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from proxy.core.clock import monotonic
from proxy.simulator.faults import FAULTS
from proxy.simulator.grammar import Steer, parse
from proxy.simulator.http import field
from proxy.simulator.ledger import Exchange, Ledger

if TYPE_CHECKING:
    import asyncio

_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]*)"|name="model"\r\n\r\n([^\r]*)\r\n')


@lru_cache(8192)
def _steering(text: str) -> tuple[Steer, Steer]:
    """A steering text as it is written, and the same without its fault."""
    steer = parse(text, FAULTS)
    return steer, (msgspec.structs.replace(steer, fault="") if steer.fault else steer)


class World:
    """One simulator's memory."""

    __slots__ = ("attempts", "began", "connections", "ledger", "serial", "store", "transports")

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.attempts: dict[str, int] = {}
        """Requests seen for each steering text with a counted fault."""
        self.began: dict[str, float] = {}
        """When the first request came, for each steering text whose fault ends with time: monotonic seconds."""
        self.store: dict[str, bytes] = {}
        self.serial = 0
        self.connections = 0
        self.transports: set[asyncio.Transport] = set()

    def reset(self) -> None:
        """Forget everything but what is going on right now."""
        self.ledger.reset()
        self.attempts.clear()
        self.began.clear()
        self.store.clear()

    def steer(self, text: str) -> Steer:
        """How to answer this time: a counted fault begins and stops."""
        steer, calm = _steering(text)
        if steer.lasts and monotonic() - self.began.setdefault(text, monotonic()) >= steer.lasts:
            return calm
        if not (steer.times or steer.after):
            return steer
        attempt = self.attempts[text] = self.attempts.get(text, 0) + 1
        if attempt <= steer.after or (steer.times and attempt > steer.after + steer.times):
            return calm
        return steer


def steering_header(exchange: Exchange) -> str:
    """The header `x-sim`, or nothing."""
    if b"\r\nx-sim:" not in exchange.lowered:
        return ""
    return field(exchange.head, exchange.lowered, b"x-sim").decode("utf-8", "replace")


def early_model(body: bytes) -> str:
    """The model named in the beginning of a body, or nothing."""
    match = _MODEL.search(body)
    return (match[1] or match[2] or b"").decode("utf-8", "replace") if match else ""
