"""One thread over everything that can happen: signals, ends of processes, words of workers, questions to the ops listener.

Nothing in it waits for anything else, so the instance answers whether it is alive whatever its workers do.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Final

import orjson
from msgspec import Struct

from proxy.core import berths
from proxy.core.log import logger
from proxy.supervisor.crew import Crew, Member, Place, Stage
from proxy.supervisor.deaths import Deaths
from proxy.supervisor.handover import Handover, Process, processes, restore, seat
from proxy.supervisor.ops import Ops, Page
from proxy.supervisor.spawn import OURS, Serve, spawn
from proxy.supervisor.systemd import Notifier
from proxy.supervisor.watch import Watch
from proxy.tether import (
    ALONE,
    BEAT,
    HURRY,
    LEAVE,
    READY,
    REFUSED,
    STOP,
    TAKEN,
    TOGETHER,
    YIELD,
    Beats,
)

SLACK: Final = 30.0
"""Seconds beyond its own deadline after which a process that was told to leave is killed."""
JSON: Final = "application/json; charset=utf-8"


class Duties(Struct, frozen=True, eq=False):
    """What a supervisor does without knowing what it means."""

    serve: Serve
    reload: Callable[[], None] = lambda: None
    """A worker has taken a new configuration: those started from now on must serve what the others do."""
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
    """Names of processes that are kept running beside the workers. They leave when the last worker has."""


class Terms(Struct, frozen=True):
    """How long everything may take, in seconds."""

    workers: int = 1
    drain: float = 600.0
    delay: float = 0.0
    watchdog: float = 30.0
    """0: off."""


class Supervisor:
    """Keeps a number of workers running, until told to stop."""

    def __init__(
        self,
        terms: Terms,
        duties: Duties,
        *,
        ops: Sequence[socket.socket] = (),
        pages: Mapping[str, Page] | None = None,
        handed: Handover | None = None,
    ) -> None:
        self.terms = terms
        self._duties = duties
        self._selector = selectors.DefaultSelector()
        self._crew = Crew(terms.workers)
        self._beside: dict[str, Member | None] = dict.fromkeys(duties.beside)
        self._due: dict[str, float] = dict.fromkeys(duties.beside, 0.0)
        """When those beside are started."""
        self.beats = Beats(berths.columns(terms.workers), -1 if handed is None else handed.beats)
        self._deaths = Deaths()
        self._watch = Watch(self.beats, terms.watchdog)
        self._notify = Notifier(os.environ)
        self._pages: dict[str, Page] = dict.fromkeys(("/health/live", "/livez"), self.live)
        self._pages |= dict.fromkeys(("/health/ready", "/readyz"), self.ready)
        self._pages["/health"] = self.health
        self._pages |= pages or {}
        self._ops = Ops(self._selector, self._pages)
        for listener in ops:
            self._ops.listen(listener)
        self._rehearsal = 0
        """The process that shows whether a new program would do."""
        self._renewing = False
        self._ends = 0
        """How often all were told to leave."""
        self._shut: float | None = None
        """When the listeners are closed."""
        self._announced = False
        self._rolling = False
        """Workers are replaced one after the other."""
        self._tick = 0.0
        self._sign = 0.0
        """When systemd is told again that we live."""

        for one in () if handed is None else handed.processes:
            self._adopt(restore(one))

    def _adopt(self, member: Member) -> None:
        """One of the program before us."""
        self._announced = self._rolling = True
        self._watch_over(member)
        if member.name in self._beside:
            self._beside[member.name] = member
            member.stage = Stage.LEAVING  # for a new one
            _kill(member, signal.SIGTERM)
        else:
            seat(self._crew, member)
        if member.stage is Stage.LEAVING:
            member.deadline = monotonic() + self.terms.drain + SLACK

    # --- pages -------------------------------------------------------------------------------------------------

    def live(self) -> tuple[int, str, bytes]:
        """Somebody's loop turns."""
        alive = self._watch.live
        return _said(200 if alive else 503, "alive" if alive else "no worker answers")

    def ready(self) -> tuple[int, str, bytes]:
        """Requests may come."""
        if self._ends:
            return _said(503, "draining")
        if self._deaths.looping:
            return _said(503, "workers die as soon as they are started")
        serving = [one for one in self._current() if one.stage is Stage.READY]
        if not serving:
            return _said(503, "no worker is ready")
        if not any(self.beats.usable(one.at) for one in serving):
            return _said(503, "no usable deployment")
        return _said(200, "ready")

    def health(self) -> tuple[int, str, bytes]:
        """Who there is, and what each of them does."""
        now = monotonic()
        workers = [
            {
                "name": one.name,
                "number": place.number,
                "pid": one.pid,
                "stage": str(one.stage),
                "age": round(now - one.begun, 3),
                "silent": round(one.silent, 3),
                "connections": self.beats.connections(one.at),
            }
            for place in self._crew.places
            for one in place.members
        ]
        content = {"pid": os.getpid(), "looping": self._deaths.looping, "workers": workers}
        return 200, JSON, orjson.dumps(content)

    def _current(self) -> list[Member]:
        return [place.current for place in self._crew.places if place.current is not None]

    # --- the loop ----------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Until told to stop; the exit code."""
        ours, its = socket.socketpair()
        ours.setblocking(False)
        its.setblocking(False)
        for number in OURS:
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(its.fileno(), warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OURS)
        self._private = [ours, its]
        self._selector.register(ours, selectors.EVENT_READ, lambda _: self._signalled(ours))
        try:
            self._reap()
            while True:
                self._arrange()
                if self._ends and not self._alive():
                    return 0
                for key, mask in self._selector.select(self._pause()):
                    key.data(mask)
                self._turn()
        finally:
            signal.set_wakeup_fd(-1)
            self._ops.close()
            self._selector.close()
            ours.close()
            its.close()

    def _alive(self) -> bool:
        return any(True for _ in self._crew) or any(self._beside.values())

    def _pause(self) -> float:
        now = monotonic()
        due = [place.due for place in self._crew.places if place.due is not None]
        due += [self._due[name] for name, one in self._beside.items() if one is None]
        if self._ends:
            due = [] if self._shut is None else [self._shut]
        return max(min([self._tick, *due]) - now, 0.0)

    def _turn(self) -> None:
        """What is done once a second."""
        now = monotonic()
        if now < self._tick:
            return
        self._tick = now + BEAT
        for member, number in self._watch.turn(self._crew, now):
            self._hangs(member, number)
        for member in (*self._crew, *filter(None, self._beside.values())):
            if member.deadline and now > member.deadline:
                logger.error("worker %s was told to leave and did not: killed", member.name)
                _kill(member, signal.SIGKILL)
        lived = [now - one.begun for one in self._current() if one.stage is Stage.READY]
        self._deaths.lived(max(lived, default=0.0))
        self._ops.tick()
        if self._watch.live and now >= self._sign:
            self._sign = now + self._notify.watchdog
            self._notify.alive()
        self._say()

    def _hangs(self, member: Member, number: signal.Signals) -> None:
        if number is signal.SIGABRT:
            member.aborted = True
            logger.error(
                "worker %s gave no sign of life for %.0f s: where it hangs follows; starting another",
                member.name,
                member.silent,
            )
        _kill(member, number)

    def _say(self) -> None:
        ready, leaving = self._crew.count(Stage.READY), self._crew.count(Stage.LEAVING)
        words = [f"{ready} of {self.terms.workers} workers ready"]
        if leaving:
            words.append(f"{leaving} leaving")
        if self._deaths.looping:
            words.append("workers die as soon as they are started")
        self._notify.status(", ".join(words))

    # --- signals -----------------------------------------------------------------------------------------------

    def _signalled(self, wakeup: socket.socket) -> None:
        try:
            numbers = wakeup.recv(4096)
        except BlockingIOError:
            return
        acts: dict[int, Callable[[], None]] = {
            signal.SIGHUP: self._reload,
            signal.SIGCHLD: self._reap,
            signal.SIGTERM: self._end,
            signal.SIGINT: self._end,
            signal.SIGUSR2: self._restart,
        }
        for number in dict.fromkeys(numbers):
            act = acts.get(number)
            if act is not None:
                act()

    def _reload(self) -> None:
        self._notify.reloading()
        for member in (*self._crew, *filter(None, self._beside.values())):
            if member.stage is not Stage.LEAVING:
                _kill(member, signal.SIGHUP)

    def _restart(self) -> None:
        """Replace every worker by one of a new program, if that can start."""
        if self._ends or self._rehearsal or self._renewing:
            return
        if self._duties.rehearse is None:
            logger.error("not restarted: this takes a stop and a start")
            return
        self._notify.reloading()
        try:
            self._rehearsal = self._duties.rehearse()
        except OSError as error:
            self._stays(str(error))

    def _renew(self) -> None:
        """Nobody is just being started: become the new program."""
        self._renewing = False
        everybody = [*self._crew, *filter(None, self._beside.values())]
        try:
            self._duties.renew(processes(everybody), self.beats.fd)
        except OSError as error:
            self._stays(str(error))

    def _stays(self, reason: str) -> None:
        logger.error("not restarted: %s", reason)
        self._notify.ready()

    def _end(self) -> None:
        """All leave; told again, at once."""
        self._ends += 1
        if self._ends == 1:
            self._notify.stopping()
            self._shut = monotonic() + self.terms.delay
        else:
            self._shut = monotonic()
        grace = self.terms.delay + self.terms.drain if self._ends == 1 else 5.0
        for member in self._crew:
            if member.stage is Stage.STARTING:
                _kill(member, signal.SIGKILL)  # it has begun nothing
                continue
            member.stage = Stage.LEAVING
            member.tell(STOP if self._ends == 1 else HURRY)
            member.deadline = monotonic() + grace + SLACK

    # --- processes ---------------------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """Start whoever is missing, or is to take another's place."""
        now = monotonic()
        if self._ends:
            if self._shut is not None and now >= self._shut:
                self._shut = None
                self._duties.shut()
            if not any(True for _ in self._crew):
                self._dismiss(now)
            return
        if self._renewing and not self._crew.count(Stage.STARTING):
            self._renew()
        for name, one in self._beside.items():
            if one is None and now >= self._due[name]:
                self._beside[name] = self._start(name)
        if self._rolling and not any(place.again for place in self._crew.places):
            self._rolling = False
            logger.warning("restarted: every worker is a new one")
            self._notify.ready()
        succeeding = any(place.successor is not None for place in self._crew.places)
        for place in self._crew.places:
            if place.due is not None and now < place.due:
                continue
            if place.current is None:
                place.due, place.again = None, False
                self._fill(place)
            elif place.again and not succeeding and place.current.stage is Stage.READY:
                succeeding = self._succeed(place)

    def _fill(self, place: Place) -> None:
        name = place.free
        assert name is not None  # one of two, and at most one of them leaves
        place.add(self._start(name))

    def _succeed(self, place: Place) -> bool:
        """Start who is to take a place; False: who had it before the one who has it is still leaving."""
        name = place.free
        if name is None:
            return False
        assert place.current is not None
        place.due = None
        place.current.tell(TOGETHER)
        place.add(self._start(name))
        return True

    def _start(self, name: str) -> Member:
        ours = [one.end for one in (*self._crew, *filter(None, self._beside.values()))]
        not_its = [*ours, *self._private, *self._ops.sockets()]
        member = spawn(name, self._duties.serve, self.beats, not_its)
        self._watch_over(member)
        return member

    def _watch_over(self, member: Member) -> None:
        self._selector.register(member.end, selectors.EVENT_READ, lambda _: self._heard(member))

    def _dismiss(self, now: float) -> None:
        for member in filter(None, self._beside.values()):
            if member.stage is not Stage.LEAVING:
                member.stage = Stage.LEAVING
                member.deadline = now + SLACK
                _kill(member, signal.SIGTERM)

    def _heard(self, member: Member) -> None:
        try:
            words = member.end.recv(64)
        except BlockingIOError:
            return
        except OSError:
            words = b""
        if not words:
            self._selector.unregister(member.end)  # its end is seen by `_reap`
            return
        found = self._crew.find(member.pid)
        for word in words:
            if found is not None:
                self._obey(bytes((word,)), *found)
            elif word == READY[0]:
                member.stage = Stage.READY

    def _obey(self, word: bytes, place: Place, member: Member) -> None:
        if word == READY:
            self._came(place, member)
        elif word == TAKEN:
            self._duties.reload()
            self._notify.ready()
        elif word == REFUSED:
            self._notify.ready()
        elif word == LEAVE:
            if self._ends:
                member.tell(STOP)
            elif member is place.current:
                place.again = True

    def _came(self, place: Place, member: Member) -> None:
        """It serves: whoever had its place goes."""
        member.stage = Stage.READY
        if self._ends:
            member.stage = Stage.LEAVING
            member.tell(STOP)
            return
        if member is place.successor:
            before = place.take()
            place.again = False
            if before is not None:
                before.stage = Stage.LEAVING
                before.deadline = monotonic() + self.terms.drain + SLACK
                before.tell(YIELD)
        self._settle(place)
        if not self._announced and self._crew.count(Stage.READY) == self.terms.workers:
            self._announced = True
            self._notify.ready()
            self._say()

    def _settle(self, place: Place) -> None:
        """Tell the only one there is that it is so."""
        if self.terms.workers == 1 and len(place.members) == 1:
            only = place.members[0]
            if only.stage is Stage.READY:
                only.tell(ALONE)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._ended(pid, os.waitstatus_to_exitcode(status))

    def _ended(self, pid: int, code: int) -> None:
        now = monotonic()
        if pid == self._rehearsal:
            self._rehearsal = 0
            self._renewing = not code
            if code:
                self._stays("the new program, or its configuration, cannot be used")
            return
        for name, one in self._beside.items():
            if one is not None and one.pid == pid:
                self._forget(one)
                self._beside[name] = None
                self._duties.ended(name, self._reason(one, code))
                if not self._ends and one.stage is not Stage.LEAVING:
                    self._due[name] = now + self._pause_for(one, code, now)
                return
        found = self._crew.find(pid)
        if found is None:
            return
        place, member = found
        vacant = place.remove(member)
        self._forget(member)
        self._duties.died(member.name)
        self._duties.ended(member.name, self._reason(member, code))
        if self._ends or member.stage is Stage.LEAVING:
            self._settle(place)
            return
        place.due = now + self._pause_for(member, code, now)
        if not vacant:
            self._settle(place)

    def _reason(self, member: Member, code: int) -> str:
        if member.aborted:
            return "watchdog"
        if self._ends or member.stage is Stage.LEAVING:
            return "told"
        return "crash" if code else "exit"

    def _pause_for(self, member: Member, code: int, now: float) -> float:
        pause = self._deaths.pause(member.name, now - member.begun, now)
        logger.error(
            "worker %s ended unexpectedly (%s); starting another",
            member.name,
            signal.Signals(-code).name if code < 0 else f"exit code {code}",
        )
        return pause

    def _forget(self, member: Member) -> None:
        try:
            self._selector.unregister(member.end)
        except KeyError:
            pass  # it said that it was its end
        member.end.close()


def _kill(member: Member, number: signal.Signals) -> None:
    try:
        os.kill(member.pid, number)
    except ProcessLookupError:  # it has just been waited for
        pass


def _said(status: int, word: str) -> tuple[int, str, bytes]:
    return status, JSON, orjson.dumps({"status": word})
