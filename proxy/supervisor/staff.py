"""The processes of an instance: started, heard, replaced, and waited for.

A worker that is told to leave goes when its successor serves; one that dies is replaced after a pause that grows. Those
beside the workers (the one that ships records to the database) are kept running as they are, and leave when the last worker
has: what that one wrote down is still theirs to bring away.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Final

from msgspec import Struct

from proxy.core.log import logger
from proxy.supervisor.crew import Crew, Member, Place, Stage
from proxy.supervisor.deaths import Deaths
from proxy.supervisor.handover import Process
from proxy.supervisor.spawn import Serve, spawn
from proxy.tether import ALONE, HURRY, LEAVE, READY, REFUSED, STOP, TAKEN, TOGETHER, YIELD, Beats

SLACK: Final = 30.0
"""Seconds beyond its own deadline after which a process that was told to leave is killed."""
HASTE: Final = 5.0
"""Seconds for running requests when all were told to leave a second time."""
AGAIN: Final = 1.0
"""Seconds until the system is asked for a process again, when it had no room for one."""


class Terms(Struct, frozen=True):
    """How many workers, and how long everything may take, in seconds."""

    workers: int = 1
    drain: float = 600.0
    delay: float = 0.0
    watchdog: float = 30.0
    """0: off."""


class Duties(Struct, frozen=True, eq=False):
    """What a supervisor does without knowing what it means."""

    serve: Serve
    reload: Callable[[], Terms | None] = lambda: None
    """A worker has taken a new configuration: those started from now on must serve what the others do. The terms it has, as
    far as they can change; None: they have not."""
    died: Callable[[str], None] = lambda _name: None
    """A worker of this name has ended. Called before another takes the name."""
    ended: Callable[[str, str], None] = lambda _name, _reason: None
    """A process of this name has ended, whichever, and why: told, exit, crash or watchdog. Called after `died`."""
    rehearse: Callable[[], int] | None = None
    """Start a process that ends with 0 if a new program could take our place; which one. None: none could."""
    renew: Callable[[list[Process], int], None] = lambda _processes, _beats: None
    """Become that program, which is left these processes and this memory. Raises OSError when that is impossible."""
    shut: Callable[[], None] = lambda: None
    """Nobody takes anybody in any more: the listeners may be closed, so that others are refused and do not wait in vain."""
    beside: Sequence[str] = ()
    """Names of processes that are kept running beside the workers."""


class Staff:
    """Everybody, by name and number. `not_theirs` says which sockets a process that is forked has no use for."""

    def __init__(
        self,
        terms: Terms,
        duties: Duties,
        selector: selectors.BaseSelector,
        beats: Beats,
        not_theirs: Callable[[], list[socket.socket]],
    ) -> None:
        self.crew = Crew(terms.workers)
        self.deaths = Deaths()
        self.leaving = 0
        """How often all were told to leave."""
        self.terms = terms
        self._duties = duties
        self._selector = selector
        self._beats = beats
        self._not_theirs = not_theirs
        self._beside: dict[str, Member | None] = dict.fromkeys(duties.beside)
        self._due: dict[str, float] = dict.fromkeys(duties.beside, 0.0)
        """When those beside are started."""
        self.news: set[bytes] = set()
        """What workers said since somebody last looked: READY, TAKEN, REFUSED."""

    def __iter__(self) -> Iterator[Member]:
        yield from self.crew
        for one in self._beside.values():
            if one is not None:
                yield one

    @property
    def serving(self) -> list[Member]:
        """Those who have a place, and have said that they serve."""
        held = (place.current for place in self.crew.places)
        return [one for one in held if one is not None and one.stage is Stage.READY]

    @property
    def rolling(self) -> bool:
        """Somebody is still to be replaced."""
        return any(place.again for place in self.crew.places)

    def due(self) -> list[float]:
        """When somebody is to be started."""
        if self.leaving:
            return []
        due = [place.due for place in self.crew.places if place.due is not None]
        return due + [self._due[name] for name, one in self._beside.items() if one is None]

    # --- beginning ---------------------------------------------------------------------------------------------

    def adopt(self, member: Member) -> None:
        """One that the program before us started: it is to be replaced."""
        self._listen_to(member)
        if member.name in self._beside:
            self._beside[member.name] = member
            member.stage = Stage.LEAVING
            kill(member, signal.SIGTERM)
        else:
            self.crew.seat(member)
        if member.stage is Stage.LEAVING:
            member.deadline = monotonic() + self.terms.drain + SLACK

    def arrange(self, now: float) -> None:
        """Start whoever is missing, or is to take another's place."""
        if self.leaving:
            if not any(True for _ in self.crew):
                self._dismiss(now)
            return
        for name, one in self._beside.items():
            if one is None and now >= self._due[name]:
                self._beside[name] = self._start(name)
                self._due[name] = now + AGAIN
        succeeding = any(place.successor is not None for place in self.crew.places)
        for place in self.crew.places:
            if place.due is not None and now < place.due:
                continue
            place.due = None  # what is not possible yet waits for a word, or for an end
            if place.current is None:
                self._fill(place, now)
                place.again = False
            elif place.again and not succeeding and place.current.stage is Stage.READY:
                # None is free: who left it to the one who has it is not gone yet.
                succeeding = place.free is not None
                if succeeding:
                    place.current.tell(TOGETHER)
                    self._fill(place, now)

    def _fill(self, place: Place, now: float) -> None:
        name = place.free
        assert name is not None  # one of two, and at most one of them leaves
        member = self._start(name)
        place.due = now + AGAIN if member is None else None
        if member is not None:
            place.add(member)

    def _start(self, name: str) -> Member | None:
        not_its = [*(one.end for one in self), *self._not_theirs()]
        try:
            member = spawn(name, self._duties.serve, self._beats, not_its)
        except OSError as error:
            logger.error("worker %s cannot be started: %s", name, error.strerror)
            return None
        self._listen_to(member)
        return member

    def _listen_to(self, member: Member) -> None:
        self._selector.register(member.end, selectors.EVENT_READ, lambda _: self._heard(member))

    # --- words -------------------------------------------------------------------------------------------------

    def _heard(self, member: Member) -> None:
        try:
            words = member.end.recv(64)
        except BlockingIOError:
            return
        except OSError:
            words = b""
        if not words:
            self._selector.unregister(member.end)  # its end is seen by `reap`
            return
        found = self.crew.find(member.pid)
        for word in words:
            if found is not None:
                self._obey(bytes((word,)), *found)
            elif word == READY[0]:
                member.stage = Stage.READY

    def _obey(self, word: bytes, place: Place, member: Member) -> None:
        if word == READY:
            self._came(place, member)
        elif word == LEAVE:
            if self.leaving:
                member.tell(STOP)
            elif member is place.current:
                place.again = True
        elif word == TAKEN:
            self._take()
        if word in (READY, TAKEN, REFUSED):
            self.news.add(word)

    def _take(self) -> None:
        """A worker has a new configuration: so have we, and those beside."""
        terms = self._duties.reload()
        if terms is None:
            return
        self.terms = terms
        for one in self._beside.values():
            if one is not None and one.stage is not Stage.LEAVING:
                kill(one, signal.SIGHUP)

    def _came(self, place: Place, member: Member) -> None:
        """It serves: whoever had its place goes."""
        member.stage = Stage.READY
        if self.leaving:
            self._tell_to_leave(member, STOP, HASTE)
            return
        if member is place.successor:
            before = place.take()
            place.again = False
            if before is not None:
                self._tell_to_leave(before, YIELD, self.terms.drain)
        self._settle(place)

    def _settle(self, place: Place) -> None:
        """Tell the only one there is that it is so."""
        if self.terms.workers == 1 and len(place.members) == 1:
            only = place.members[0]
            if only.stage is Stage.READY:
                only.tell(ALONE)

    # --- the end -----------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """All of them; told again, at once."""
        self.leaving += 1
        word, grace = STOP, self.terms.delay + self.terms.drain
        if self.leaving > 1:
            word, grace = HURRY, HASTE
        for member in self.crew:
            if member.stage is Stage.STARTING:
                kill(member, signal.SIGKILL)  # it has begun nothing
            else:
                self._tell_to_leave(member, word, grace)

    def _tell_to_leave(self, member: Member, word: bytes, grace: float) -> None:
        member.stage = Stage.LEAVING
        member.deadline = monotonic() + grace + SLACK
        member.tell(word)

    def _dismiss(self, now: float) -> None:
        for member in self:
            if member.stage is not Stage.LEAVING:
                member.stage = Stage.LEAVING
                member.deadline = now + SLACK
                kill(member, signal.SIGTERM)

    def overdue(self, now: float) -> None:
        """Kill who should have gone by now."""
        for member in self:
            if member.deadline and now > member.deadline:
                logger.error("worker %s was told to leave and did not: killed", member.name)
                kill(member, signal.SIGKILL)

    def reap(self) -> list[tuple[int, int]]:
        """Wait for all that have ended; (process, exit code) of those that are none of ours."""
        others: list[tuple[int, int]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return others
            if not pid:
                return others
            code = os.waitstatus_to_exitcode(status)
            if not self._ended(pid, code, monotonic()):
                others.append((pid, code))

    def _ended(self, pid: int, code: int, now: float) -> bool:
        found = self.crew.find(pid)
        if found is not None:
            self._worker_ended(*found, code, now)
            return True
        for name, one in self._beside.items():
            if one is not None and one.pid == pid:
                self._beside[name] = None
                self._forget(one, code)
                told = self.leaving or one.stage is Stage.LEAVING
                self._due[name] = now if told else now + self._pause(name, one, code, now)
                return True
        return False

    def _worker_ended(self, place: Place, member: Member, code: int, now: float) -> None:
        vacant = place.remove(member)
        self._beats.clear(member.at)
        self._duties.died(member.name)
        self._forget(member, code)
        if not self.leaving and member.stage is not Stage.LEAVING:
            pause = self._pause(str(place.number), member, code, now, vacant=vacant)
            place.due = now + pause
        self._settle(place)

    def _forget(self, member: Member, code: int) -> None:
        try:
            self._selector.unregister(member.end)
        except (KeyError, ValueError):
            pass  # it said that it was its end
        member.end.close()
        self._duties.ended(member.name, self._reason(member, code))

    def _reason(self, member: Member, code: int) -> str:
        if member.aborted:
            return "watchdog"
        if self.leaving or member.stage is Stage.LEAVING:
            return "told"
        return "crash" if code else "exit"

    def _pause(
        self, who: str, member: Member, code: int, now: float, *, vacant: bool = False
    ) -> float:
        said = "worker %s ended unexpectedly (%s); starting another"
        logger.error(said, member.name, _words(code))
        return self.deaths.pause(who, now - member.begun, now, vacant=vacant)


def _words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # of real time: most have no name
        return f"signal {-code}"


def kill(member: Member, number: signal.Signals) -> None:
    """Send a signal, unless it has just been waited for."""
    try:
        os.kill(member.pid, number)
    except ProcessLookupError:
        pass
