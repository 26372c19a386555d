"""Who gives signs of life.

Silence is counted in our own turns, each for two BEATs at most: after a pause of the whole machine, or of a container that
was frozen, everybody has been silent for just as long, and nobody is to be killed for it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from proxy.tether import BEAT

if TYPE_CHECKING:
    from proxy.supervisor.crew import Member
    from proxy.tether import Beats

USUAL: Final = 30.0
"""Seconds without a sign of life from anybody after which the instance is not alive, where workers may be silent."""
DUMP: Final = 5.0
"""Seconds for a worker to say where it hangs, before it is killed."""


class Watch:
    """Over all workers. `limit` is how many seconds one may be silent; 0: for ever."""

    def __init__(self, beats: Beats, limit: float) -> None:
        self._beats = beats
        self.limit = limit
        self._quiet = 0.0
        self._last: float | None = None

    def turn(self, members: Iterable[Member], now: float) -> list[tuple[Member, signal.Signals]]:
        """Once each BEAT; who has been silent for too long, and what to send it."""
        passed = min(now - (now if self._last is None else self._last), 2 * BEAT)
        self._last = now
        self._quiet += passed
        found = []
        for member in members:
            count = self._beats.count(member.at)
            if count != member.count:
                if member.count >= 0:  # else it is looked at for the first time
                    self._quiet = 0.0
                member.count, member.silent = count, 0.0
                continue
            member.silent += passed
            if not self.limit or member.silent <= self.limit:
                continue
            if not member.aborted:
                found.append((member, signal.SIGABRT))
            elif member.silent > self.limit + DUMP:
                found.append((member, signal.SIGKILL))
        return found

    @property
    def live(self) -> bool:
        """Somebody has given a sign of life lately."""
        return self._quiet <= (self.limit or USUAL)
