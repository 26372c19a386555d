"""Limits that several hosts hold together: each leases a slice of them from Redis or Valkey, and draws on it without I/O.

    admit raises Short -> await fetch(short) -> True: admit again; False: refused, after `short.wait` seconds
    run                -> heartbeat, slices kept full ahead of need, what is not used given back

A slice is 5 % of a limit (of what is left of a budget) and lies in the memory all workers of the host share. The server
never grants more than the limit, so what all hosts admit together is never more either. While it does not answer
(`breaker.py`) nothing waits for it: `Accounts` is blind then, and says what that means for each kind of limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.model import Shared
from proxy.limits.accounts import Accounts

if TYPE_CHECKING:
    from proxy.limits.accounts import Short


class Shares:
    """One a worker, for its `Accounts`. `host` names this host among the others."""

    def __init__(self, settings: Shared, accounts: Accounts, host: str) -> None:
        """Raises ValueError where `settings.url` cannot be used, or the client is not installed."""
        raise NotImplementedError

    @property
    def up(self) -> bool:
        """Whether the server answers: False until it did for the first time."""
        raise NotImplementedError

    async def start(self) -> None:
        """Tell `Accounts` that limits are shared, and connect behind its back. Never raises."""
        raise NotImplementedError

    async def fetch(self, short: Short) -> bool:
        """Lease what is missing, with at least a slice. True: admit again. False: there is none, for `short.wait` seconds.

        Takes `settings.timeout` seconds at most. Who asks for a subject that is being asked for waits for the same
        answer, and what is asked in one turn of the loop goes out together.
        """
        raise NotImplementedError

    async def run(self) -> None:
        """Keep leases alive, fill those that run low, give back what is not used. Until cancelled."""
        raise NotImplementedError

    async def close(self) -> None:
        """Give back what this worker's host does not use, and disconnect. Never raises."""
        raise NotImplementedError
