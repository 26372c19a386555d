"""Refusing at a glance: what a worker that cannot keep up does with a request before anybody takes it apart.

A refusal the ordinary way costs a third of what a request does: a parser, a task's turn, an exchange, a log line. When ten
times as many come as can be done, that is more than there is. So while there is a quota (`state.lag`) a request whose head
is here in one read, on a connection that is otherwise idle, is looked at in its bytes: who asks, and how urgently. If it has to
go, it is answered with bytes that were made once a second, and its connection is kept.

Only what is beyond doubt is decided here: a head in which every line is as RFC 9112 has it, each field of interest once, a body
of declared length and nothing behind it. Whatever else comes goes the ordinary way, and is refused there or not. So do the first IN_FULL of
each second: they have their lines in the log and their spans, for all others a line a second says how many there were.
"""

from __future__ import annotations

import asyncio
import re
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from proxy.core.clock import now
from proxy.core.errors import ProxyError
from proxy.core.log import logger
from proxy.core.virtual_key import digest
from proxy.dialects.render import render_error
from proxy.gateway.endpoints import Body, Endpoint, match
from proxy.gateway.exchange import SAFE_ID, new_request_id, render_response
from proxy.gateway.overload import AGAIN, RANK, URGENCY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.model import Snapshot, VirtualKey
    from proxy.gateway.connection import ClientConnection
    from proxy.state.state import State

IN_FULL = 20
"""Requests a second, of those that come while there is a quota, that go the ordinary way in any case."""
PERIOD = 1.0
"""Seconds between two lines of the log."""
REST = 1024 * 1024
"""Bytes of a body that may still be on their way: they are read and forgotten, which is cheaper than a new connection."""
_LONGEST = 8190
"""Bytes of a head."""
_HEAD = re.compile(
    rb"POST (/[!-~]*+) HTTP/1\.1\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~\x80-\xff]*+\r\n)++\r\n"
)
_HOST = re.compile(rb"[A-Za-z0-9._-]*(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.%]+\](?::[0-9]{1,5})?")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,9}")
_TOKENS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
_KEEP = b"keep-alive"
_UNCLEAR = frozenset(
    {b"transfer-encoding", b"expect", b"upgrade", b"proxy-connection", b"sec-websocket-protocol"}
)
"""Fields that may say something else of what is behind the head, of the connection, or of who asks."""
_PLAIN = (b"host", b"content-length", b"connection", b"x-priority", b"x-request-id")
_FIELD = re.compile(
    rb"(?i)\n(%b):[\t ]*([^\r]*)" % b"|".join((*_PLAIN, *sorted(_TOKENS | _UNCLEAR)))
)
_URGENCY = {word.encode(): rank for word, rank in URGENCY.items()}


class Canned(NamedTuple):
    """An answer of this second, to requests alike."""

    status: int
    parts: list[bytes]
    """What is before, between and behind the places where the request's id is."""
    length: int
    """Of its body, in bytes."""


class Glance:
    """Of one worker."""

    __slots__ = (
        "_canned",
        "_full",
        "_refused",
        "_second",
        "_state",
        "_timer",
    )

    def __init__(self, state: State) -> None:
        self._state = state
        self._canned: dict[tuple[str, int], Canned] = {}
        """By family, and by how long the request's id is."""
        self._second = 0
        """Of the `date` in them."""
        self._full = IN_FULL
        self._refused = 0
        self._timer: asyncio.TimerHandle | None = None

    def refusal(self, data: bytes, client: ClientConnection) -> bytes | None:
        """The answer to a request that has to go. None: it goes the ordinary way, because it may begin (`client.let_in`
        says so then) or because it is none that can be seen through at once."""
        state = self._state
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PERIOD, self._say)
        if self._full:
            self._full -= 1
            return None
        head = _HEAD.match(data)
        if head is None or state.memory.level or state.draining:
            return None
        end = head.end()
        found = _FIELD.findall(data, 0, end)
        fields = {name.lower(): value.rstrip() for name, value in found}
        if end > _LONGEST or len(fields) != len(found) or not _is_plain(fields):
            return None
        rest = int(fields[b"content-length"]) - len(data) + end
        if not 0 <= rest <= REST:
            return None
        target = head[1].decode("ascii")
        path, _, query = target.partition("?")
        matched = match("POST", path)
        if matched is None or "key=" in query or path in state.snapshot.exempt:
            return None
        endpoint = matched[0]
        if endpoint.body is Body.NONE or endpoint.operation == "count_tokens":
            return None
        key = self._key(fields)
        if key is None and state.snapshot.require_auth:
            return None
        urgency = _URGENCY.get(fields.get(b"x-priority", b"normal").lower(), URGENCY["normal"])
        name = "" if key is None else key.id
        if state.lag.takes(client.received_at, RANK, name, urgency, state.rng):
            client.let_in = client.answered + 1
            return None
        client.rest = rest
        return self._refuse(endpoint, fields.get(b"x-request-id", b"").decode("latin-1"), client)

    def _key(self, fields: Mapping[bytes, bytes]) -> VirtualKey | None:
        """Whose request it is. None: of nobody who is known, or there is more to be asked about it."""
        given = _TOKENS & fields.keys()
        if len(given) != 1:
            return None
        (place,) = given
        token = fields[place]
        if place == b"authorization":
            scheme, _, token = token.partition(b" ")
            token = token.strip()
            if scheme.lower() != b"bearer":
                return None
        key = _known(token.decode("utf-8", "surrogateescape"), self._state.snapshot)
        if key is None or not key.enabled or key.routes or key.cidrs:
            return None
        return None if key.expires is not None and key.expires <= now() else key

    def _refuse(self, endpoint: Endpoint, asked: str, client: ClientConnection) -> bytes:
        """Count it, and say so."""
        second = int(now())
        if second != self._second:
            self._canned.clear()
            self._second = second
        request_id = asked if asked and SAFE_ID.fullmatch(asked) else new_request_id()
        kind = endpoint.family, len(request_id)
        canned = self._canned.get(kind)
        if canned is None:
            canned = self._canned[kind] = _can(*kind)
        metrics = self._state.metrics
        metrics.shed.child("loop_lag").inc()
        took = monotonic() - client.received_at
        metrics.exchange(endpoint.route, "", "", bool(endpoint.stream)).finish(
            canned.status, took, overhead=took, response_bytes=canned.length
        )
        self._refused += 1
        return request_id.encode().join(canned.parts)

    def _say(self) -> None:
        self._timer, self._full = None, IN_FULL
        refused, self._refused = self._refused, 0
        if refused:
            logger.warning(
                "refused %d requests in a second: there are more than can be done", refused
            )


def _known(token: str, snapshot: Snapshot) -> VirtualKey | None:
    for pepper in snapshot.peppers:
        key = snapshot.keys.get(digest(token, pepper))
        if key is not None:
            return key
    return None


def _is_plain(fields: Mapping[bytes, bytes]) -> bool:
    """Nothing but a body of known length is behind the head, and the connection is to be kept."""
    host = fields.get(b"host")
    return (
        _UNCLEAR.isdisjoint(fields)
        and _LENGTH.fullmatch(fields.get(b"content-length", b"")) is not None
        and host is not None
        and _HOST.fullmatch(host) is not None
        and fields.get(b"connection", _KEEP).lower() == _KEEP
    )


def _can(family: str, size: int) -> Canned:
    error = ProxyError("shed", retry_after=AGAIN)
    place = "~" * size  # which is in no answer, and in no id
    status, headers, body = render_error(family, error, place)
    answer = render_response(status, headers, body, place, close=False)
    return Canned(status, answer.split(place.encode()), len(body))
