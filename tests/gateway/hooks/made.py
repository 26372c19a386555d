"""Calls of hooks that a test writes as functions, and an exchange that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from proxy.gateway.exchange import Exchange
from proxy.gateway.hooks.hooked import Hooked
from proxy.gateway.meter import Meter
from proxy.hooks import Point
from proxy.hooks.chain import Call, Chain, Hook, calls
from tests.gateway import asked


class Made:
    """A hook with these methods."""

    def __init__(self, methods: dict[Point, Callable[..., Any]]) -> None:
        for point, function in methods.items():
            setattr(self, point.value, function)


def hook(point: Point, function: Callable[..., Any], **fields: Any) -> Hook:
    """A hook with one method."""
    return Hook(fields.pop("name", "h"), Made({point: function}), frozenset({point}), **fields)


def one(point: Point, function: Callable[..., Any], **fields: Any) -> Call:
    """The call of it."""
    (call,) = calls([hook(point, function, **fields)], point)
    return call


def request(path: str = asked.CHAT, **body: Any) -> Exchange:
    """What a client asked."""
    return asked.exchange(asked.raw("POST", path, orjson.dumps({"model": "m", **body})))


def hooked(exchange: Exchange, *hooks: Hook) -> Hooked:
    """The exchange with hooks."""
    meter = Meter(exchange, asked.state(asked.snapshot(asked.provider())))
    made = exchange.hooks = Hooked(exchange, Chain(hooks), meter)
    return made
