"""The log: stdlib logging and request lines, written by a thread of its own.

The event loop only appends to a queue. One thread takes lines out, in batches so that the two do not fight over the
interpreter, turns them into bytes and writes them. When the sink does not take them (a pipe nobody reads, a full
disk) the queue fills up to its limit and new lines are dropped and counted: neither requests nor memory notice.

`configure` is called once a process, after a fork again; `bare` in one that forks. Until then warnings go to standard
error and request lines nowhere. `adjust` changes afterwards what can be changed while it is written.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from zlib import crc32

from proxy.core import model
from proxy.core.bare import Bare
from proxy.core.clock import now
from proxy.core.lines import Entry, Line, clip, encoder, entry_of
from proxy.core.lines import RequestLine as RequestLine
from proxy.core.output import Output, losses

logger = logging.getLogger("headrace")

QUEUE_LINES = 10_000
QUEUE_CHARACTERS = 16 * 1024 * 1024
"""Of messages and tracebacks together; a line of them can be long."""
BATCH_SECONDS = 0.05
CLOSE_SECONDS = 2.0
_LOTS = 1 << 32


class Sink:
    """The queue and the thread that empties it."""

    def __init__(self, output: Output, encode: Callable[[Line], bytes]) -> None:
        self._output = output
        self._encode = encode
        self._queue: deque[Line | threading.Event] = deque()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._closing = False
        self._lock = threading.Lock()
        # Characters of messages that were queued, ever: the first changes under the lock, the second in the thread.
        self._taken = 0
        self._given = 0
        self._reported = losses.refused
        self._thread = threading.Thread(target=self._run, name="headrace-log", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> bool:
        """Queue a line, or drop it; whether it was queued. Never waits."""
        queue = self._queue
        if len(queue) >= QUEUE_LINES:
            losses.refused += 1
            return False
        queue.append(line)
        if not self._wake.is_set():
            self._wake.set()
        return True

    def put_entry(self, entry: Entry) -> None:
        """The same for a message; these may be long, so characters are limited too."""
        size = len(entry.message) + len(entry.error)
        with self._lock:
            if self._taken - self._given + size > QUEUE_CHARACTERS:
                losses.refused += 1
                return
            self._taken += size
        if not self.put(entry):
            with self._lock:
                self._taken -= size

    def turn(self, *, rotate: bool, keep: int) -> None:
        """Whether each day has a file of its own, and how many days those stay."""
        self._output.rotate, self._output.keep = rotate, keep

    def flush(self, timeout: float) -> bool:
        """Wait until what is queued now is written; False when it took too long."""
        done = threading.Event()
        self._queue.append(done)
        self._hurry.set()
        self._wake.set()
        written = done.wait(timeout)
        self._hurry.clear()
        return written

    def close(self, timeout: float) -> None:
        """Write what is queued, for so long at most, and end the thread."""
        self._closing = True
        self._hurry.set()
        self._wake.set()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._output.close()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            # Let lines gather: a hundred in one batch cost the loop one change of threads, not a hundred.
            self._hurry.wait(BATCH_SECONDS)
            self._wake.clear()
            self._drain()
            if self._closing:
                return

    def _drain(self) -> None:
        batch: list[bytes] = []
        size = 0
        while self._queue:
            line = self._queue.popleft()
            if isinstance(line, threading.Event):
                self._write(batch)
                batch, size = [], 0
                line.set()
                continue
            data = self._bytes(line)
            if size + len(data) > self._output.batch and batch:
                self._write(batch)
                batch, size = [], 0
            batch.append(data)
            size += len(data)
        self._write(batch)
        refused = losses.refused - self._reported
        if refused:
            self._reported += refused
            self._write([self._encode(_refusal(refused))])

    def _bytes(self, line: Line) -> bytes:
        if isinstance(line, Entry):
            self._given += len(line.message) + len(line.error)
        try:
            return self._encode(line)
        except Exception:
            # The thread must live on, and there is no log to tell of a line that cannot be written.
            losses.unwritten += 1
            return b""

    def _write(self, batch: list[bytes]) -> None:
        if not batch:
            return
        try:
            self._output.write(b"".join(batch), lambda: self._closing)
        except OSError:
            losses.unwritten += len(batch)


class Queued(logging.Handler):
    """Hands records of stdlib logging to the sink."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        self._sink.put_entry(entry_of(record))


_sink: Sink | None = None
_request_sink: Sink | None = None
_handler: logging.Handler | None = None
_bound = _LOTS
"""Of the checksums of request ids: from here on, lines of requests that went well are not written."""


def configure(settings: model.Logging, fd: int = 2) -> None:
    """Send everything to `settings.file`, or to this descriptor (stderr). A second call replaces the first."""
    global _sink
    close()
    output, encode = _place(settings, fd)
    _sink = Sink(output, encode)
    _begin(Queued(_sink), settings)
    adjust(settings)


def bare(settings: model.Logging, fd: int = 2) -> None:
    """The same for a process that forks: messages are written at once or not at all (`core.bare`), requests never."""
    close()
    output, encode = _place(settings, fd)
    _begin(Bare(output, encode), settings)
    adjust(settings)


def _place(settings: model.Logging, fd: int) -> tuple[Output, Callable[[Line], bytes]]:
    output = Output(path=settings.file) if settings.file else Output(fd)
    return output, encoder(settings.format, terminal=not settings.file and os.isatty(fd))


def _begin(handler: logging.Handler, settings: model.Logging) -> None:
    global _handler
    _handler = handler
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    atexit.register(close)


def adjust(settings: model.Logging) -> None:
    """Change what can be changed while it is written: which lines, not where and how. Nothing before `configure` or `bare`."""
    global _request_sink, _bound
    if _handler is None:
        return
    logging.getLogger().setLevel(settings.level.upper())
    if isinstance(_handler, Bare):
        _handler.turn(rotate=settings.rotate, keep=settings.keep)
    if _sink is None:
        return
    _request_sink = _sink if settings.requests else None
    _bound = int(settings.sample * _LOTS)
    _sink.turn(rotate=settings.rotate, keep=settings.keep)


def request(line: RequestLine) -> None:
    """One line for one request."""
    sink = _request_sink
    if sink is not None:
        # By the id, so that all proxies that a request passes write its line, or none does.
        if _bound < _LOTS and line.outcome == "ok" and crc32(line.request_id.encode()) >= _bound:
            return
        clip(line)
        sink.put(line)


def dropped() -> int:
    """Lines lost since the process began."""
    return losses.refused + losses.unwritten


def flush(timeout: float = CLOSE_SECONDS) -> bool:
    """Wait until everything logged so far is written; False when it took too long."""
    return _sink is None or _sink.flush(timeout)


def close(timeout: float = CLOSE_SECONDS) -> None:
    """Write what is queued, for so long at most, and undo `configure`."""
    global _sink, _request_sink, _handler
    sink = _sink
    if _handler is not None:
        logging.getLogger().removeHandler(_handler)
        _handler.close()
        logging.captureWarnings(False)
        sys.excepthook = sys.__excepthook__
        threading.excepthook = threading.__excepthook__
        sys.unraisablehook = sys.__unraisablehook__
        atexit.unregister(close)
    _sink = _request_sink = _handler = None
    if sink is not None:
        sink.close(timeout)


def _refusal(lines: int) -> Entry:
    return Entry(
        now(),
        "warning",
        "headrace.log",
        f"{lines} lines dropped, they could not be written in time",
    )


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # The interpreter would print it as it is, with any secret in its text.
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger.critical("the program failed", exc_info=(kind, error, trace))


def _uncaught_in_thread(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is None or issubclass(failure.exc_type, SystemExit):
        return
    where = "a thread" if failure.thread is None else f"thread {failure.thread.name}"
    logger.error("%s failed", where, exc_info=failure.exc_value)


def _unraisable(failure: sys.UnraisableHookArgs) -> None:
    # Somebody's `__del__`: the object itself may hold anything, and is not shown.
    logger.error("an error nobody could catch", exc_info=failure.exc_value)


logging.lastResort = Bare(level=logging.WARNING)


def _after_fork() -> None:
    # The thread stayed with the parent; so does what it had queued.
    global _sink, _request_sink, _handler
    if _handler is not None:
        logging.getLogger().removeHandler(_handler)
    _sink = _request_sink = _handler = None


os.register_at_fork(after_in_child=_after_fork)
