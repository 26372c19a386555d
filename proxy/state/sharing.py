"""Health that all workers of a host share: what one finds out, the others know within 50 ms.

What changes how requests are routed (a circuit that opens, a probe that goes out, a credential that rests) is one step
on a row of the `Board`: the row is read, the step is made on what it says, the row is written, all under one lock. So
the workers together are one state machine, and at most one probe is out, however many of them there are. Between such
steps each worker goes by plain attributes, which `look` brings up to date when anything was written; it is called every
50 ms. Until then a worker may send what the others would not send any more; its own next failure tells it.

A single worker has a board, too: its successor goes on with what it knew.

Each worker counts its successes for itself: shares of failures, degradation and pace are what it has seen.
"""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from proxy.core.clock import monotonic
from proxy.core.errors import Cause
from proxy.limits.board import LEASE, UNTIL, Board
from proxy.state.credentials import CredentialState
from proxy.state.health import CLOSED, Circuit
from proxy.state.hosts import Host
from proxy.state.live import DeploymentState
from proxy.state.rests import Rest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from proxy.core.model import Credential, Deployment, Health

_PHASE, _STREAK, _TRIPS, _PASSES, _RECOVERED, _PANIC, _CHECKED_AT, _CHECKED = range(2, 10)
"""Of a circuit, after lease and until. A host has the moment of its outage in the place of a check's."""
_REASON, _SOFT, _STRIKES, _COOLED = range(2, 6)
"""Of a rest."""
_REASONS = (None, Cause.RATE_LIMIT, Cause.AUTH, Cause.QUOTA)


class _Subject(Protocol):
    @property
    def plain(self) -> bool:
        """There is nothing to tell of it."""

    def learn(self, row: Sequence[float]) -> None:
        """Become as the row says."""

    def numbers(self, row: Sequence[float] | None) -> list[float]:
        """What the row is to say, that says this or is not there."""


class Sharing:
    """One a worker. Everything it makes is on the board."""

    __slots__ = ("_subjects", "board")

    def __init__(self, board: Board) -> None:
        self.board = board
        self._subjects: WeakValueDictionary[bytes, _Subject] = WeakValueDictionary()

    def look(self) -> None:
        """Take over what others have written."""
        for digest, row in self.board.changes().items():
            subject = self._subjects.get(digest)
            if subject is not None:
                subject.learn(row)

    def deployment(self, deployment: Deployment, rules: Health) -> DeploymentState:
        """Its state, as far as it is known."""
        return SharedDeployment(deployment, rules, self)

    def host(self, address: str, rules: Health) -> Host:
        """The same."""
        return SharedHost(address, rules, self)

    def rest(self, credential: Credential, *model: str) -> Rest:
        """The same, of a credential and all models or one."""
        return SharedRest(self, credential.id, "secret", credential.secret.reveal(), *model)

    def enrol(self, subject: _Subject, *words: str) -> bytes:
        """Its digest: what these words mean for every worker. It begins with what is known."""
        text = "\0".join(words).encode()
        digest = blake2b(text, digest_size=16, key=self.board.key).digest()
        self._subjects[digest] = subject
        if not self.board.empty:
            with self.board.locked():
                row = self.board.read(digest)
            if row is not None:
                subject.learn(row)
        return digest


@contextmanager
def _step(board: Board, digest: bytes, subject: _Subject) -> Iterator[None]:
    with board.locked():
        row = board.read(digest)
        if row is not None:
            subject.learn(row)
        before = subject.numbers(row)
        yield
        after = subject.numbers(row)
        if after != before and (row is not None or not subject.plain):
            board.write(digest, after)


class SharedRest(Rest):
    """The rests of a credential, or of a deployment's stand-in for one. `words` say whose."""

    __slots__ = ("__weakref__", "_board", "_digest")

    def __init__(self, sharing: Sharing, *words: str) -> None:
        super().__init__()
        self._board = sharing.board
        self._digest = sharing.enrol(self, "credential", *words)

    def change(self) -> AbstractContextManager[None]:
        return _step(self._board, self._digest, self)

    @property
    def plain(self) -> bool:
        return self.reason is None

    def learn(self, row: Sequence[float]) -> None:
        self.until, self.soft = row[UNTIL], bool(row[_SOFT])
        self.reason = _REASONS[int(row[_REASON])]
        self.strikes, self.cooled_at = int(row[_STRIKES]), row[_COOLED]
        self.tell()

    def numbers(self, row: Sequence[float] | None) -> list[float]:
        reason = _REASONS.index(self.reason)
        return [0.0, self.until, reason, self.soft, self.strikes, self.cooled_at]


class _SharedCircuit(Circuit):
    """A circuit whose lasting changes are on the board."""

    __slots__ = ()

    _board: Board
    _digest: bytes

    def change(self) -> AbstractContextManager[None]:
        return _step(self._board, self._digest, self)

    def refresh(self) -> None:
        with self.change():
            pass

    def lend(self) -> None:
        super().lend()
        self.lease = self._board.seat + 1.0

    def give_back(self) -> None:
        if self.lease == self._board.seat + 1.0:
            super().give_back()

    @property
    def plain(self) -> bool:
        return self.phase == CLOSED and not self.streak

    def learn(self, row: Sequence[float]) -> None:
        until, self.lease = row[UNTIL], row[LEASE]
        if until == inf and not self.lease:
            until = 0.0  # whoever wrote this died of it
        if self.phase == CLOSED != int(row[_PHASE]):
            self.since = monotonic()
        self.adopt(int(row[_PHASE]), until, row[_RECOVERED])
        self._recall(row)

    def _recall(self, row: Sequence[float]) -> None:
        self.streak, self.trips, self.passes = row[_STREAK], int(row[_TRIPS]), int(row[_PASSES])

    def numbers(self, row: Sequence[float] | None) -> list[float]:
        lease = self.lease if self.until == inf else 0.0
        counts = (self.streak, self.trips, self.passes, self.recovered)
        return [lease, self.until, self.phase, *counts, *self._more()]

    def _more(self) -> tuple[float, float, float]:
        raise NotImplementedError


class SharedDeployment(_SharedCircuit, DeploymentState):
    """A deployment. While its host is out, the host's row says how it is, and its own keeps what it was before."""

    __slots__ = ("__weakref__", "_board", "_digest")

    def __init__(self, deployment: Deployment, rules: Health, sharing: Sharing) -> None:
        super().__init__(deployment, rules)
        self._board = sharing.board
        words = (self.id, *self.meaning)
        self._digest = sharing.enrol(self, "deployment", *words)
        self.cooldown = CredentialState(self.id, SharedRest(sharing, *words))

    @property
    def plain(self) -> bool:
        return super().plain and not self.panic_at and self.checked_at == -inf

    def give_back(self) -> None:
        if self.outage is not None:
            self.outage.release_probe()
        else:
            super().give_back()

    def learn(self, row: Sequence[float]) -> None:
        if self.outage is None:
            super().learn(row)
        else:
            self._recall(row)
        self.panic_at, self.checked_at, self.checked = (
            row[_PANIC],
            row[_CHECKED_AT],
            int(row[_CHECKED]),
        )

    def numbers(self, row: Sequence[float] | None) -> list[float]:
        found = super().numbers(row)
        if self.outage is not None:
            found[: _PHASE + 1] = [0.0, 0.0, CLOSED] if row is None else row[: _PHASE + 1]
        return found

    def _more(self) -> tuple[float, float, float]:
        return self.panic_at, self.checked_at, self.checked


class SharedHost(Host, _SharedCircuit):
    """A host."""

    __slots__ = ("__weakref__", "_board", "_digest")

    def __init__(self, address: str, rules: Health, sharing: Sharing) -> None:
        super().__init__(address, rules)
        self._board = sharing.board
        self._digest = sharing.enrol(self, "host", address)

    def learn(self, row: Sequence[float]) -> None:
        self.at = row[_CHECKED_AT]
        super().learn(row)
        self.lead(tell=False)

    def _more(self) -> tuple[float, float, float]:
        return 0.0, self.at, 0.0
