"""One request to a provider on behalf of everybody who asks the same meanwhile (Go calls it singleflight).

To the line that carries it a `Flight` is the client: its connection and its transport. What is written to it goes to
every passenger in the same turn of the loop; who boards later is given all that was written so far in one write. No
passenger is special: the one whose request it is may leave, and the others have their answer. When nobody is left the
flight is cancelled, as a request is whose client has left.

A passenger who is slow holds nobody up: the provider is held back only while all of them are slow, and who falls
behind by more than LAG is dropped.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from proxy.gateway.connection import CONTINUE
from proxy.state.replies import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.gateway.connection import ClientConnection, Flow
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.meter import Meter

LAG = 4 << 20
"""Bytes a passenger may be behind."""
MOST = 8 << 20
"""Bytes of an answer that are kept for those who come late."""
_OWN = (b"date:", b"x-request-id:", b"connection:")
"""Lines of a head that are each client's own."""
_TIMES = (b"server-timing:", b"x-headrace-overhead-ms:")
"""Those that tell where the time of the request went that flies."""


class Flight:
    """The client of one exchange, in the place of everybody who waits for its answer."""

    __slots__ = (
        "_held",
        "_limits",
        "_pieces",
        "_size",
        "aborted",
        "flow",
        "full",
        "landed",
        "lines",
        "meter",
        "passengers",
        "status",
        "task",
        "times",
    )

    def __init__(self, exchange: Exchange, meter: Meter) -> None:
        self.meter = meter
        """What it came to, for those who did not begin it."""
        self.passengers: list[Passenger] = []
        self.task: asyncio.Task[None] | None = None
        self.landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """When nothing more will be written."""
        self.status = 0
        self.lines = b""
        self.times = b""
        """Lines for whoever began it."""
        self.aborted = False
        """Its end is no end: nobody may take it for whole."""
        self.full = False
        """It is too long for anybody to join, or to be kept."""
        self.flow: Flow | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._held = False
        self._limits = exchange.limits

    @property
    def open(self) -> bool:
        """Who comes now is given all of it. Not so where the last passenger has left: it only ends a moment later."""
        return bool(self.passengers) and not (self.full or self.aborted or self.landed.done())

    def reply(self, bill: Any, model: str) -> Reply | None:
        """All of it, to be given again; None: it is not a whole answer, or not a good one."""
        if self.aborted or self.full or self.status != 200:
            return None
        return Reply(self.status, self.lines, b"".join(self._pieces), bill, model)

    # --- passengers ---

    def board(self, passenger: Passenger) -> None:
        """From now on it is given what is written, and now what has been."""
        self.passengers.append(passenger)
        if self.status:
            passenger.begin(self.status, self.lines, b"".join(self._pieces))
        self.steer()

    def leave(self, passenger: Passenger) -> None:
        """Its client is gone, or has everything. The last one ends the flight."""
        if passenger not in self.passengers:
            return
        self.passengers.remove(passenger)
        if self.landed.done():
            return
        if self.passengers:
            self.steer()
        elif self.task is not None:
            # As when the connection of a client is lost, and in this order.
            if self.flow is not None:
                self.flow.gone()
            self.task.cancel()

    def steer(self) -> None:
        """A passenger became slow, has caught up, came or left."""
        flow = self.flow
        held = all(passenger.slow for passenger in self.passengers)
        if flow is not None and self.passengers and held != self._held:
            self._held = held
            if held:
                flow.pause()
            else:
                flow.resume()

    def land(self) -> None:
        """Nothing more will be written."""
        if not self.landed.done():
            self.landed.set_result(None)

    # --- what the line takes for a client's connection ---

    @property
    def transport(self) -> Flight:
        return self

    @property
    def writing_paused(self) -> bool:
        return False

    # --- what it takes for a transport ---

    def write(self, data: bytes) -> None:
        if self.status:
            for passenger in self.passengers:
                passenger.write(data)
        elif data == CONTINUE:
            return
        else:
            data = self._take_head(data)
            for passenger in self.passengers:
                passenger.begin(self.status, self.lines, data)
        if not self.full:
            self._pieces.append(data)
            self._size += len(data)
            if self._size > MOST:
                self.full = True
                self._pieces.clear()

    def close(self) -> None:
        """The end of an answer that is not whole."""
        self.aborted = True
        for passenger in self.passengers:
            passenger.end(passenger.transport.close)

    def abort(self) -> None:
        """Nobody takes anything any more."""
        self.aborted = True
        for passenger in self.passengers:
            passenger.end(passenger.transport.abort)

    def is_closing(self) -> bool:
        return self.aborted or not self.passengers

    def get_write_buffer_size(self) -> int:
        """Of the one that is furthest."""
        return min((p.transport.get_write_buffer_size() for p in self.passengers), default=0)

    def _take_head(self, data: bytes) -> bytes:
        """Keep what a head says to everybody; what follows it."""
        head, _, rest = data.partition(b"\r\n\r\n")
        head += b"\r\n"
        if self._limits:  # each client is told of its own rates
            head = head.replace(self._limits, b"", 1)
        first, _, lines = head.partition(b"\r\n")
        self.status = int(first.split(b" ", 2)[1])
        found = lines.splitlines(keepends=True)
        self.times = b"".join(line for line in found if line.startswith(_TIMES))
        self.lines = b"".join(line for line in found if not line.startswith((*_OWN, *_TIMES)))
        return rest


class Passenger:
    """One client of a flight; what steers its connection meanwhile."""

    __slots__ = ("exchange", "extra", "flight", "leads", "since", "slow", "transport")

    def __init__(
        self, flight: Flight, exchange: Exchange, client: ClientConnection, *, leads: bool
    ) -> None:
        """`leads`: it is its exchange that flies, and what is written is counted there."""
        self.flight = flight
        self.exchange = exchange
        self.transport = exchange.transport
        self.slow = client.writing_paused
        self.since = 0
        """Bytes written since it became slow: the one piece that made it slow, however large, is no lag."""
        self.leads = leads
        self.extra = b""
        """Lines for its head alone."""

    def begin(self, status: int, lines: bytes, body: bytes) -> None:
        """The head, and what there is of the body."""
        times = self.flight.times if self.leads else b""
        head = self.exchange.repeat(status, self.extra + times + lines)
        self.write(head + body, len(head))

    def write(self, data: bytes, head: int = 0) -> None:
        """`head` of these bytes are no body."""
        transport = self.transport
        if not self.leads:
            self.exchange.bytes_out += len(data) - head
        if self.since > LAG and transport.get_write_buffer_size() > LAG:
            self.end(transport.abort)
            return
        if self.slow:
            self.since += len(data)
        transport.write(data)  # which may make it slow

    def end(self, how: Callable[[], None]) -> None:
        """Its connection carries nothing more."""
        self.exchange.keep_alive = False
        how()

    # Flow: what the client's connection asks

    def pause(self) -> None:
        self.slow, self.since = True, 0
        self.flight.steer()

    def resume(self) -> None:
        self.slow, self.since = False, 0
        self.flight.steer()

    def gone(self) -> None:
        """Its handler is cancelled besides, but in another turn of the loop: what is written before that would meet a closed
        transport, whose exception ends the answer for everybody."""
        self.flight.leave(self)

    def restart(self) -> None:
        flight = self.flight
        if flight.flow is not None:
            flight.flow.restart()
        elif flight.task is not None:
            flight.task.cancel()

    def probe(self) -> bytes:
        flow = self.flight.flow
        if flow is not None:
            return flow.probe()
        return b"" if self.exchange.head_sent else CONTINUE
