"""Where the things are that a provider keeps: files, batches, videos, fine-tunings, responses that run in the background.

What was made at one provider, with one of its credentials, is known there and nowhere else, so all that is asked of it later
has to go there. Each worker remembers that, from the answers that ids came in. What it does not remember (another worker made
it, or the one before) it asks for: a `GET` of the thing itself, of one after the other, until somebody has it. So nothing has to
be written down or shared, there is nothing to be stale, and what is true is what the provider says.

    GET    of a thing             goes to all, one after the other, anyway (`routing.plan_other`, `plan_stored`): no question before it
    DELETE, POST, … of a thing    is sent once, where it is: hence the question
    a body that names a thing     goes where that is: `input_file_id`, `previous_response_id`, …
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, cast

from msgspec import Struct

from proxy.core.errors import ProxyError
from proxy.core.surfaces import OTHER
from proxy.gateway import endpoints
from proxy.gateway.attempt import Attempt
from proxy.gateway.exchange import Exchange
from proxy.gateway.relay import BytesRelay, Relay
from proxy.gateway.selection import Route
from proxy.gateway.slots import Slot
from proxy.state.credentials import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.gateway.candidate import Candidate
    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.endpoints import Match
    from proxy.gateway.plan import Plan
    from proxy.state.state import State
    from proxy.upstream.pool import UpstreamPool

Home = tuple[str, str]
"""The name of a provider, and the id of a credential; "" where it needs none."""

MOST = 65_536
"""Things that are remembered by each worker: some 15 MB."""
PATIENCE = 5.0
"""Seconds for one answer to the question who has it."""
READ = 64 * 1024
"""Bytes of a body, or of an answer, in which ids are looked for."""
_FIRST_OF_ALL = ("", "")
_FIRST = 1024
"""Bytes of a response in which its id is: it is the first thing in it."""

_GIVEN = re.compile(rb'"(?:[a-z_]*_)?id"\s*:\s*"([A-Za-z0-9_.:-]{8,256})"')
"""An id in an answer: of the thing, or of another that the same account has, `output_file_id`."""
_WORD = re.compile(rb'"([A-Za-z0-9_.:-]{8,256})"')
_NAMED = re.compile(rb'"(?:input_file_id|training_file|file_id)"\s*:\s*"([A-Za-z0-9_.:-]{8,256})"')
_STEP = re.compile(r"(?=[^/]*[0-9])[A-Za-z0-9_.:-]{8,256}")
"""A step of a path that is an id and no word: all vendors' have digits."""


class _Thing(Struct, frozen=True):
    """What a request is about."""

    ids: tuple[str, ...]
    question: Match | None = None
    """What asks for it; None: the request does that itself, or nothing can."""


async def lead(exchange: Exchange, plan: Plan, state: State, pool: UpstreamPool) -> Plan:
    """The plan that goes where the thing is which a request is about; the same one, where it is about none."""
    thing = _thing(exchange)
    if thing is None:
        return _usual(exchange, plan)
    route = plan.route
    for id in thing.ids:
        home = state.homes.get(id)
        led = None if home is None else _led(route, home)
        if led is not None:
            return plan.led(led)
    if thing.question is None:
        return _usual(exchange, plan)
    found = await _ask(exchange, plan, thing.question, pool)
    if found is None:
        return _usual(exchange, plan)
    remember(state, thing.ids[0], found)
    led = _led(route, found)
    return plan if led is None else plan.led(led)


def _usual(exchange: Exchange, plan: Plan) -> Plan:
    """Where it goes when nobody knows better: what changes something to the first provider."""
    endpoint, route = exchange.endpoint, plan.route
    if endpoint.dialect != OTHER or endpoint.method == "GET":
        return plan
    assert route.homes is not None
    found = route.homes.get(_FIRST_OF_ALL)
    if found is None:
        first = route.slots[0].deployment.provider
        own = [tier.slots for tier in route.tiers if tier.slots[0].deployment.provider is first]
        found = route.homes[_FIRST_OF_ALL] = Route(route.model, own, route.budget)
        found.homes = {}
    return plan.led(found)


def _thing(exchange: Exchange) -> _Thing | None:
    operation, method = exchange.endpoint.operation, exchange.endpoint.method
    if operation == "stored":
        return _Thing((exchange.params["id"],))
    if operation == "responses":
        envelope = exchange.envelope
        before = None if envelope is None else envelope.text("previous_response_id")
        if not before or _STEP.fullmatch(before) is None:
            return None
        return _Thing((before,), endpoints.match("GET", f"/v1/responses/{before}"))
    steps = exchange.params["id"].split("/")
    for at, step in enumerate(steps[1:], 1):
        if _STEP.fullmatch(step):
            path = "/v1/" + "/".join(steps[: at + 1])
            return _Thing((step,), None if method == "GET" else endpoints.other("GET", path))
    body = exchange.body
    if method == "GET" or not body.startswith(b"{") or len(body) > READ:
        return None
    words = tuple(word.decode() for word in _WORD.findall(body))
    named = _NAMED.search(body)
    if named is None:
        return _Thing(words) if words else None
    id = named[1].decode()
    return _Thing((id, *words), endpoints.other("GET", f"/v1/files/{id}"))


def _pairs(route: Route, dialect: str) -> Iterator[Home]:
    """Whoever may have it, each once."""
    seen: set[Home] = set()
    for slot in route.slots:
        if slot.dialect != dialect:
            continue
        for credential, _ in slot.pool.keys:
            home = slot.deployment.provider.name, credential.id if credential is not None else ""
            if home not in seen:
                seen.add(home)
                yield home


def _led(route: Route, home: Home) -> Route | None:
    """The same route, as far as it leads there; None: it does not. Worked out once."""
    assert route.homes is not None
    found = route.homes.get(home)
    if found is None:
        tiers = [tuple(_at(tier.slots, home)) for tier in route.tiers]
        if not any(tiers):
            return None
        found = route.homes[home] = Route(route.model, tiers, route.budget)
        found.homes, found.waiting = {}, route.waiting
    led: Route = found
    return led


def _at(slots: tuple[Slot, ...], home: Home) -> Iterator[Slot]:
    provider, credential = home
    for slot in slots:
        if slot.deployment.provider.name == provider:
            for key in slot.pool.keys:
                if (key[0].id if key[0] is not None else "") == credential:
                    pool = Pool((key,))
                    yield Slot(slot.deployment, slot.state, pool, slot.dialect, apart=slot.apart)


async def _ask(exchange: Exchange, plan: Plan, question: Match, pool: UpstreamPool) -> Home | None:
    """Who has it; None: nobody says so. What comes of a question is held against nobody."""
    endpoint, params = question
    homes = list(_pairs(plan.route, endpoint.dialect))
    if len(homes) < 2:
        return None
    for home in homes:
        led = _led(plan.route, home)
        assert led is not None
        trial = plan.led(led)
        try:
            candidate = trial.first(monotonic())
        except ProxyError:
            continue  # it rests, or is out
        asking = Exchange(exchange.request, exchange.transport, endpoint, params, "", monotonic())
        asking.id, asking.named, asking.deadline = exchange.id, exchange.named, exchange.deadline
        attempt = Attempt(asking, candidate)
        try:
            async with asyncio.timeout(PATIENCE):
                upstream = pool.of(candidate.deployment.provider)
                if await attempt.run(upstream, PATIENCE, eager=True):
                    return home
        except TimeoutError:
            continue
        finally:
            attempt.close()
            trial.ended(candidate)
    return None


def remember(state: State, id: str, home: Home) -> None:
    """It is there. What was remembered first is forgotten first."""
    homes = state.homes
    if id not in homes and len(homes) >= MOST:
        del homes[next(iter(homes))]
    homes[id] = home


def learn(state: State, attempt: Attempt) -> None:
    """Of a response: its id, and where it is kept."""
    if attempt.exchange.endpoint.dialect == OTHER or attempt.translation is not None:
        return
    found = _GIVEN.search(attempt.gate.held[:_FIRST])
    if found is not None:
        remember(state, found[1].decode(), _home(attempt.candidate))


def _home(candidate: Candidate) -> Home:
    credential = candidate.credential
    return candidate.deployment.provider.name, credential.id if credential is not None else ""


def listening(state: State, exchange: Exchange, kind: type[Relay]) -> type[Relay]:
    """What relays an answer that may bring ids along."""
    if kind is BytesRelay and exchange.endpoint.dialect == OTHER:
        return cast("type[Relay]", partial(_ListeningRelay, state))
    return kind


class _ListeningRelay(BytesRelay):
    """Passes an answer on as it comes, and remembers the ids in its beginning."""

    __slots__ = ("_heard", "_home", "_state")

    def __init__(
        self,
        state: State,
        exchange: Exchange,
        attempt: Attempt,
        client: ClientConnection,
        write_timeout: float,
    ) -> None:
        super().__init__(exchange, attempt, client, write_timeout)
        self._state = state
        self._home = _home(attempt.candidate)
        self._heard: bytearray | None = (
            bytearray() if attempt.gate.content_type == b"application/json" else None
        )
        thing = _thing(exchange)
        if thing is not None and exchange.params["id"].find(thing.ids[0]) > 0:
            remember(state, thing.ids[0], self._home)  # it was asked for, and is here

    def body(self, data: bytes) -> None:
        if self._heard is not None:
            self._heard += data[: READ - len(self._heard)]
        super().body(data)

    def stop(self) -> None:
        heard, self._heard = self._heard, None
        if heard:
            for found in _GIVEN.findall(heard):
                remember(self._state, found.decode(), self._home)
        super().stop()
