"""`GET /admin/live`: what the whole instance does, all its workers together, told every second.

    event: history    what was told in the last minutes, to somebody else
    event: sample     what goes on (`rates.Now`)
    event: trouble    that is not known at the moment

A worker asks its supervisor once for all who watch at it, and nobody asks while nobody watches.
"""

from __future__ import annotations

from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import asdict

from proxy.control import ops
from proxy.control.admin import intake, rates
from proxy.control.admin.access import Permission
from proxy.control.admin.feed import EVENTS, HEADERS, QUIET, TROUBLE, Feed, event
from proxy.control.admin.web import Answer, Route
from proxy.control.sampling import OfRegistry, Sample
from proxy.core.clock import monotonic, now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request, Stream

HISTORY: Final = 300
"""Samples that whoever comes later is told."""
SPAN: Final = 10
"""Samples between which times are measured."""


async def watch(request: Request, services: Services) -> Answer:
    """Events until the client leaves, or this worker does."""
    intake.known(request)
    feed = _feed(services)
    feed.check()
    return Answer(_pieces(feed), headers=HEADERS, kind=EVENTS)


async def _pieces(feed: Feed[dict[str, Any]]) -> Stream:
    yield event("history", list(feed.kept))
    async with aclosing(feed.watch()) as seconds:
        async for found in seconds:
            if found is None:
                yield TROUBLE if feed.failed else QUIET
            else:
                yield event("sample", found)


def _feed(services: Services) -> Feed[dict[str, Any]]:
    feed = services.feeds.get("live")
    if feed is None:
        feed = Feed("live", services.state, _Asker(services).ask, HISTORY)
        services.feeds["live"] = feed
    return feed


class _Asker:
    def __init__(self, services: Services) -> None:
        self._sample = _source(services)
        self._samples: deque[Sample] = deque(maxlen=SPAN + 1)

    async def ask(self) -> dict[str, Any] | None:
        samples = self._samples
        sample = await self._sample()
        if samples and not 0 < sample.at - samples[-1].at < 3 * SPAN:
            samples.clear()  # it is the same, or nobody watched meanwhile
        samples.append(sample)
        found = rates.now(now(), samples)
        if found is None:
            samples.clear()
            samples.append(sample)
            return None
        return asdict(found)


def _source(services: Services) -> Callable[[], Awaitable[Sample]]:
    """The supervisor's; of this process alone where there is none."""
    path = services.ops
    if path is None:
        own = OfRegistry(services.state.metrics.registry)

        async def mine() -> Sample:
            return own.sample(monotonic())

        return mine
    decode = msgspec.json.Decoder(Sample).decode

    async def all_() -> Sample:
        return decode(await ops.ask(path, "/live"))

    return all_


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/live",
        Permission.READ,
        watch,
        "Watch what all workers do: an event each second.",
        answer={"$ref": "#/components/schemas/live"},
        gives=(EVENTS,),
        tag="usage",
    ),
)
