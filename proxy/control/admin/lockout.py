"""Brakes on guessing: by account in the store, so that all workers agree, and by address in each worker.

An account is locked from its fifth failure on: for a second, then twice as long each time, at most 15 minutes.
A try is counted before its password is looked at, so that many at once are as many failures; one that was right
forgets them all. Accounts are kept as hashes: a password typed into the wrong field is not stored.
"""

from __future__ import annotations

from collections import deque
from hashlib import sha256
from typing import TYPE_CHECKING

from msgspec import Struct, field

from proxy.control.admin.passwords import Gate
from proxy.control.admin.refusal import too_many
from proxy.core.address import network_of
from proxy.core.clock import monotonic, now

if TYPE_CHECKING:
    from proxy.store.base import Session, Store

FREE = 4
"""Failures without a delay."""
LONGEST = 900.0
"""Seconds."""
FORGOTTEN = 86_400.0
"""Seconds after the last failure, when counting begins anew."""
STEP = 60.0
"""Seconds that the clock may jump without a lock becoming longer."""
PER_MINUTE = 10
MINUTE = 60.0
ADDRESSES = 4096
"""Remembered; the one that was quiet longest is forgotten for a new one."""


class Peers:
    """How often each address did something within the last minute. IPv6 is counted by /64: one host has all of it."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}

    def wait(self, peer: str) -> float:
        """Seconds until this address may go on; 0: now."""
        times = self._seen.get(network_of(peer))
        if times is None or len(times) < PER_MINUTE:
            return 0.0
        return max(0.0, times[0] + MINUTE - monotonic())

    def count(self, peer: str) -> None:
        """It did it once more."""
        network = network_of(peer)
        times = self._seen.pop(network, None) or deque(maxlen=PER_MINUTE)
        times.append(monotonic())
        self._seen[network] = times
        if len(self._seen) > ADDRESSES:
            del self._seen[next(iter(self._seen))]


class Door(Struct, eq=False):
    """What a worker remembers of those who knock."""

    gate: Gate = field(default_factory=Gate)
    """Where passwords are hashed."""
    logins: Peers = field(default_factory=Peers)
    guesses: Peers = field(default_factory=Peers)
    """Tokens that were none."""
    known: set[bytes] = field(default_factory=set)
    """SHA-256 of service tokens that were right once: there are no more than somebody made."""


def delay(failures: int) -> float:
    """Seconds an account is locked after so many failures in a row."""
    if failures <= FREE:
        return 0.0
    return float(min(LONGEST, 2.0 ** min(failures - FREE - 1, 16)))


def account(name: str) -> str:
    """How an account is called in the store."""
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


_COUNT = """
INSERT INTO login_failures (account, count, until, at) VALUES ($1, 1, 0, $2)
ON CONFLICT (account) DO UPDATE
SET count = login_failures.count + 1, at = $2
WHERE login_failures.until <= $2 OR login_failures.until > $3
RETURNING count
"""


async def knock(store: Store, name: str) -> None:
    """Count a try as a failure until `forgive` is called. Raises Problem 429 while the account is locked; StoreDown."""
    time = now()
    async with store.transaction() as session:
        await session.execute("DELETE FROM login_failures WHERE at < $1", time - FORGOTTEN)
        counted = await session.fetch(_COUNT, account(name), time, time + LONGEST + STEP)
        if counted:
            pause = delay(counted[0][0])
            if pause:
                await session.execute(
                    "UPDATE login_failures SET until = $1 WHERE account = $2",
                    time + pause,
                    account(name),
                )
            return
        rows = await session.fetch(
            "SELECT until FROM login_failures WHERE account = $1", account(name)
        )
    raise too_many(
        rows[0][0] - time if rows else 1.0,
        "Too many failed sign-ins for this account. Try again after the time in 'retry-after'.",
    )


async def forgive(store: Session, name: str) -> None:
    """Forget the failures of an account. Raises StoreDown."""
    await store.execute("DELETE FROM login_failures WHERE account = $1", account(name))


_MAKE_ROOM = """
DELETE FROM login_failures
WHERE account = $1 AND EXISTS (SELECT 1 FROM login_failures WHERE account = $2)
"""


async def follow(store: Session, before: str, after: str) -> None:
    """An account has another name: its failures go along, or each new name would be some more tries. Raises StoreDown."""
    if before != after:
        await store.execute(_MAKE_ROOM, account(after), account(before))
        await store.execute(
            "UPDATE login_failures SET account = $1 WHERE account = $2",
            account(after),
            account(before),
        )
