"""One thread over everything that can happen: signals, ends of processes, words of workers, questions to the ops listener.

Nothing in it waits for anything else, so the instance answers whether it is alive whatever its workers do. The supervisor
serves no request. One that is killed takes its workers along: they would hold the port, with nobody to replace them or to
tell them anything. They drain, as they do when they are told to leave.

    SIGTERM, SIGINT   all drain; again: within 5 s      SIGHUP    all read the configuration anew
    SIGUSR2           all are replaced by those of a new program, one after the other
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

import orjson

from proxy.core import berths
from proxy.core.log import logger
from proxy.supervisor.crew import Member, Stage
from proxy.supervisor.handover import Handover, processes, restore
from proxy.supervisor.ops import JSON, Ops, Page
from proxy.supervisor.spawn import OURS
from proxy.supervisor.staff import Duties, Staff, Terms, kill
from proxy.supervisor.systemd import Notifier
from proxy.supervisor.watch import Watch
from proxy.tether import BEAT, READY, Beats


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
        self._duties = duties
        self._selector = selectors.DefaultSelector()
        self._beats = Beats(berths.columns(terms.workers), -1 if handed is None else handed.beats)
        self._watch = Watch(self._beats, terms.watchdog)
        self._notify = Notifier(os.environ)
        table: dict[str, Page] = dict.fromkeys(("/health/live", "/livez"), self.live)
        table |= dict.fromkeys(("/health/ready", "/readyz"), self.ready)
        table["/health"] = self.health
        self._ops = Ops(self._selector, {**table, **(pages or {})})
        for listener in ops:
            self._ops.listen(listener)
        self._wakeup = socket.socketpair()
        self.staff = Staff(terms, duties, self._selector, self._beats, self._sockets)
        self._rehearsal = 0
        """The process that shows whether a new program would do."""
        self._again = False
        """It is to be shown anew: something was changed meanwhile."""
        self._renewing = False
        self._announced = handed is not None
        self._rolling = handed is not None
        self._shut: float | None = None
        """When the listeners are closed."""
        self._tick = 0.0
        self._sign = 0.0
        """When systemd is told again that we live."""
        for one in () if handed is None else handed.processes:
            self.staff.adopt(restore(one))

    def _sockets(self) -> list[socket.socket]:
        return [*self._wakeup, *self._ops.sockets()]

    # --- pages -------------------------------------------------------------------------------------------------

    def live(self) -> tuple[int, str, bytes]:
        """Somebody's loop turns."""
        alive = self._watch.live
        return _said(200 if alive else 503, "alive" if alive else "no worker answers")

    def ready(self) -> tuple[int, str, bytes]:
        """Requests may come."""
        serving = self.staff.serving
        if self.staff.leaving:
            return _said(503, "draining")
        if self.staff.deaths.looping:
            return _said(503, "workers die as soon as they are started")
        if not serving:
            return _said(503, "no worker is ready")
        if not any(self._beats.usable(one.at) for one in serving):
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
                "connections": self._beats.connections(one.at),
            }
            for place in self.staff.crew.places
            for one in place.members
        ]
        looping = self.staff.deaths.looping
        content = {"pid": os.getpid(), "looping": looping, "workers": workers}
        return 200, JSON, orjson.dumps(content)

    # --- the loop ----------------------------------------------------------------------------------------------

    def run(self, begun: Callable[[], None] = lambda: None) -> int:
        """Until told to stop; the exit code. `begun` is called as soon as signals are obeyed."""
        ours, its = self._wakeup
        ours.setblocking(False)
        its.setblocking(False)
        for number in OURS:
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(its.fileno(), warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OURS)
        self._selector.register(ours, selectors.EVENT_READ, lambda _: self._signalled(ours))
        begun()
        try:
            self._reap()
            while True:
                self._arrange()
                if self.staff.leaving and not any(True for _ in self.staff):
                    return 0
                for key, mask in self._selector.select(self._pause()):
                    # What came before may have closed it: one who died is reaped, and its end says so too.
                    if self._selector.get_map().get(key.fd) == key:
                        key.data(mask)
                self._hear()
                self._ops.again()
                self._turn()
        finally:
            signal.set_wakeup_fd(-1)
            self._ops.close()
            self._notify.close()
            self._selector.close()
            ours.close()
            its.close()

    def _pause(self) -> float:
        due = [self._tick, *self.staff.due(), *self._ops.due()]
        if self._shut is not None:
            due.append(self._shut)
        return max(min(due) - monotonic(), 0.0)

    def _arrange(self) -> None:
        now = monotonic()
        if self._shut is not None and now >= self._shut:
            self._shut = None
            self._duties.shut()
        # Once all leave, nobody is there for a new program, which would not know of it.
        starting = self.staff.crew.count(Stage.STARTING)
        if self._renewing and not starting and not self.staff.leaving:
            self._renew()
        self.staff.arrange(now)

    def _hear(self) -> None:
        """What workers said, as far as others want to know."""
        news, self.staff.news = self.staff.news, set()
        ready = self.staff.crew.count(Stage.READY)
        if READY in news and not self._announced and ready == self.staff.terms.workers:
            self._announced = True
            self._notify.ready()
        if news - {READY}:
            self._notify.ready()  # a reload has ended
            self._watch.limit = self.staff.terms.watchdog
        if self._rolling and not self.staff.rolling:
            self._rolling = False
            logger.warning("restarted: every worker is a new one")
            self._notify.ready()

    def _turn(self) -> None:
        """What is done once a second."""
        now = monotonic()
        if now < self._tick:
            return
        self._tick = now + BEAT
        for member, number in self._watch.turn(self.staff.crew, now):
            self._hangs(member, number)
        self.staff.overdue(now)
        lived = [now - one.begun for one in self.staff.serving]
        self.staff.deaths.lived(max(lived, default=0.0))
        self._ops.tick()
        if self._watch.live and now >= self._sign:
            self._sign = now + self._notify.watchdog
            self._notify.alive()
        self._notify.status(self._status())

    def _hangs(self, member: Member, number: signal.Signals) -> None:
        if number is signal.SIGABRT:
            member.aborted = True
            logger.error(
                "worker %s gave no sign of life for %.0f s: where it hangs follows",
                member.name,
                member.silent,
            )
        kill(member, number)

    def _status(self) -> str:
        crew = self.staff.crew
        words = [f"{crew.count(Stage.READY)} of {self.staff.terms.workers} workers ready"]
        leaving = crew.count(Stage.LEAVING)
        if leaving:
            words.append(f"{leaving} leaving")
        if self.staff.deaths.looping:
            words.append("workers die as soon as they are started")
        return ", ".join(words)

    # --- signals -----------------------------------------------------------------------------------------------

    def _signalled(self, wakeup: socket.socket) -> None:
        try:
            numbers = wakeup.recv(4096)
        except BlockingIOError:
            return
        acts: dict[int, Callable[[], None]] = {
            signal.SIGCHLD: self._reap,
            signal.SIGHUP: self._reload,
            signal.SIGINT: self._leave,
            signal.SIGTERM: self._leave,
            signal.SIGUSR2: self._restart,
        }
        for number in dict.fromkeys(numbers):
            if number in acts:
                acts[number]()

    def _reap(self) -> None:
        for pid, code in self.staff.reap():
            if pid == self._rehearsal:
                self._rehearsal = 0
                if self._again:
                    self._again = False
                    self._restart()
                elif not code:
                    self._renewing = True
                else:
                    self._stays("the new program, or its configuration, cannot be used")

    def _reload(self) -> None:
        self._notify.reloading()
        for member in self.staff.crew:  # those beside are told when one of these has taken it
            if member.stage is not Stage.LEAVING:
                kill(member, signal.SIGHUP)

    def _leave(self) -> None:
        self.staff.leave()
        now = monotonic()
        if self.staff.leaving == 1:
            self._notify.stopping()
            self._shut = now + self.staff.terms.delay
        elif self._shut is not None:
            self._shut = now

    def _restart(self) -> None:
        """Replace every worker by one of a new program, if that can start."""
        if self._rehearsal:
            self._again = True
            return
        if self.staff.leaving or self._renewing:
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
        """Nobody is just being started: become the new program, unless told to stop in this very moment."""
        # Signals from here on wait for the new program; of those before it, it would know nothing.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, OURS)
        try:
            self._signalled(self._wakeup[0])
            self._renewing = False
            if not self.staff.leaving:
                self._duties.renew(processes(self.staff), self._beats.fd)
        except OSError as error:
            self._stays(str(error))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _stays(self, reason: str) -> None:
        logger.error("not restarted: %s", reason)
        self._notify.ready()


def _said(status: int, word: str) -> tuple[int, str, bytes]:
    return status, JSON, orjson.dumps({"status": word})
