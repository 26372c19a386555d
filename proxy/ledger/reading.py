"""Reading spools: whole records in order, from where the last reader stopped.

The tail of the newest segment may be torn (its worker was killed in the middle of a copy) or not yet written: reading
stops there and is tried again. A bad frame in a segment that is closed is stepped over to the next one that is whole,
counted, and the file is kept for inspection in `<folder>/damaged`. One that cannot be opened is put into `<folder>/unread`
once its worker has left it; none of those is deleted.

A segment is deleted once all of it is booked. What of it is still needed, should its worker die, is the starts of requests
that are not over: those are written to `<folder>/open` first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Set
from heapq import heapify, heappop, heapreplace
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from proxy.core.log import logger
from proxy.ledger.cursor import Cursor, bodies
from proxy.ledger.folder import Lock as Lock
from proxy.ledger.folder import replace
from proxy.ledger.forms import END
from proxy.ledger.records import End, Record, parse
from proxy.ledger.room import NO_SPACE, release, workers
from proxy.ledger.segments import FIRST, sequence_of, sync_folder
from proxy.ledger.unfinished import Begun, Key, Unfinished, key_of

KEPT: Final = 16
"""Damaged segments, at most: the oldest go."""
AHEAD: Final = 8 << 20
"""Bytes read ahead of each worker, and in one batch, at most; but for what was read together with the last."""
_LATER: Final = frozenset({"S", "P"})
"""Tags of what says nothing any more once the end is there."""


class Batch(Struct, frozen=True):
    """Some records, and what to say once they are booked."""

    records: Sequence[Record]
    """But for what an end that is read takes the place of (unless the reader gives the whole): there may be none."""
    over: Set[str]
    """Requests whose end is read already, be it in this batch or behind it: once that is booked, nothing else of them says
    more."""
    more: bool
    """There are others behind it."""
    mark: object
    """For `done`."""


_Head = tuple[Record | Key, bytes, str, int]
"""A record that was read, its body, the name of its segment, and where the one behind it is."""


class _Worker:
    """What is read of one, and what is booked."""

    def __init__(self, folder: Path, offsets: dict[str, int], begun: dict[str, Begun]) -> None:
        self.cursor = Cursor(folder, offsets)
        self.cursor.opened = self._replay
        self.unfinished = Unfinished(begun)
        self.heads: deque[_Head] = deque()
        self.taken: list[_Head] = []
        self.booked: dict[str, int] = {}
        """How far, by segment."""

    def read(self, most: int, over: set[str]) -> bool:
        """Have so many records ready, or all there are; whether there is one. `over`: gets the requests that ended."""
        cursor, heads = self.cursor, self.heads
        size = sum(len(body) for _, body, _, _ in heads)
        while len(heads) < most and size < AHEAD:
            run = cursor.run(most - len(heads))
            if not run:
                break
            name = cursor.name
            for body, at in run:
                try:
                    what = _what(body)
                except msgspec.MsgspecError:
                    cursor.spoil()
                    continue
                if type(what) is End:
                    over.add(what.rid)
                size += len(body)
                heads.append((what, body, name, at))
        return bool(heads)

    def take_back(self) -> None:
        """What is taken of a batch that came to nothing."""
        self.heads.extendleft(reversed(self.taken))
        self.taken = []

    def book(self) -> None:
        """What is taken."""
        begun = self.unfinished
        ended = {what.rid for what, _, _, _ in self.taken if type(what) is End}
        begun.end(ended)
        name, sequence = "", 0
        for what, body, of, at in self.taken:
            if of != name:
                name, sequence = of, sequence_of(of)
            self.booked[name] = at
            if type(what) is Key and what.rid not in ended:
                begun.note(what.tag, what.rid, body, sequence)
        self.taken = []

    def read_through(self) -> list[str]:
        """Segments of which everything is booked, in order. Nothing is taken and not booked."""
        finished = self.cursor.finished
        if self.heads and self.heads[0][2] in finished:
            return finished[: finished.index(self.heads[0][2])]
        return list(finished)

    def _replay(self, name: str, at: int) -> None:
        """What was booked of a segment by an earlier reader may be the start of something."""
        if at > FIRST:
            try:
                for body in bodies(self.cursor.folder, name, at):
                    self.unfinished.see(body, sequence_of(name))
            except OSError as error:
                logger.error(
                    "what was booked of %s cannot be read again: what began in it may get no end: %s",
                    self.cursor.folder / name,
                    error.strerror,
                )


class Reader:
    """Of one host's spools: the oldest records first, over all workers. One at a time on a host (`Lock`)."""

    def __init__(self, folder: Path, *, whole: bool = False) -> None:
        """`whole`: everything that stands there is given, for who wants to know that."""
        self._folder = folder
        self._whole = whole
        self._offsets = _load_offsets(folder)
        self._begun = parse_open(stored_open(folder))
        self._workers: dict[str, _Worker] = {}
        self._pending: Batch | None = None
        self._over: set[str] = set()
        """Requests whose end is read and not booked."""
        self._ill = False

    def take(self, most: int = 500) -> Batch | None:
        """The next records; None: nothing new. Blocks on the disk only. Raises OSError; they come the next time then.

        Until a batch is `done` it is the same one again, whatever `most`.
        """
        if self._pending is not None:
            return self._pending
        for one in self._workers.values():
            one.take_back()
        ahead = self.read(most)
        workers = list(self._workers.values())
        oldest = [(one.heads[0][0].at, number) for number, one in enumerate(workers) if one.heads]
        if not oldest:
            self._tidy()
            return None
        heapify(oldest)
        records: list[Record] = []
        size = 0
        while oldest and len(records) < most and size < AHEAD:
            number = oldest[0][1]
            one = workers[number]
            head = one.heads.popleft()
            one.taken.append(head)
            what, body, name, _ = head
            size += len(body)
            if type(what) is not Key:
                records.append(what)  # type: ignore[arg-type]
            elif self._whole or what.rid not in self._over:
                try:
                    records.append(parse(body))
                except msgspec.MsgspecError:
                    one.cursor.spoil(name)
            if one.heads or one.read(ahead, self._over):
                heapreplace(oldest, (one.heads[0][0].at, number))
            else:
                heappop(oldest)
        self._pending = Batch(records, self._over, bool(oldest), self)
        return self._pending

    def read(self, most: int) -> int:
        """Have ready what a `take` of so many needs: while a batch is booked, another thread may do that. How many of
        each worker."""
        self._look()
        # Half of them are starts, which say nothing where their ends are read: most requests that begin in a batch end in
        # the one behind it at the latest.
        ahead = max(4 * most // max(len(self._workers), 1), 1)
        for one in self._workers.values():
            one.read(ahead, self._over)
        return ahead

    def done(self, batch: Batch) -> None:
        """They are booked: remember it (by rename), and delete segments that are read through and closed.

        Never raises: where the disk takes nothing, they are given again by the next reader.
        """
        if batch is not self._pending:
            return
        self._pending = None
        self._over.difference_update(one.rid for one in batch.records if type(one) is End)
        for each in self._workers.values():
            each.book()
        self._tidy(moved=True)

    def close(self) -> None:
        """Let go of all files. What is not done is given again by the next reader."""
        for one in self._workers.values():
            one.cursor.close()

    @property
    def lag(self) -> int:
        """Bytes not yet booked."""
        self._look()
        ahead = sum(
            len(body)
            for one in self._workers.values()
            for _, body, _, _ in (*one.taken, *one.heads)
        )
        return ahead + sum(one.cursor.waiting for one in self._workers.values())

    @property
    def damaged(self) -> int:
        """Places at which bytes were no records."""
        return sum(one.cursor.bad for one in self._workers.values())

    @property
    def open(self) -> int:
        """Requests that have begun and not ended, as far as is booked."""
        return sum(len(one.unfinished) for one in self._workers.values())

    def _look(self) -> None:
        for folder in workers(self._folder):
            one = self._workers.get(folder.name)
            if one is None:
                offsets = self._offsets.setdefault(folder.name, {})
                begun = self._begun.pop(folder.name, {})
                one = self._workers[folder.name] = _Worker(folder, offsets, begun)
            one.cursor.refresh()

    def _tidy(self, *, moved: bool = False) -> None:
        through = {name: one.read_through() for name, one in self._workers.items()}
        through = {name: segments for name, segments in through.items() if segments}
        for name, one in self._workers.items():
            self._offsets[name].update(one.booked)
            one.booked.clear()
        try:
            if through:
                self._write(
                    "open", {n: one.unfinished.stored() for n, one in self._workers.items()}
                )
            if moved:
                self._write("offsets", self._offsets)
        except OSError as error:
            self._complain(error)
            if error.errno not in NO_SPACE:
                return
            # Nothing can be written down. Segments in which nothing began that is still open can go all the same, which
            # makes room. (Should a worker die before that helps, an end may be written for what has one: it is not booked.)
            for name, segments in through.items():
                unfinished = self._workers[name].unfinished
                through[name] = [s for s in segments if not unfinished.began(sequence_of(s))]
        else:
            self._ill = False
        for name, segments in through.items():
            self._delete(self._workers[name], self._offsets[name], segments)

    def _delete(self, one: _Worker, offsets: dict[str, int], segments: Sequence[str]) -> None:
        """In order, so that no end goes before its start."""
        cursor = one.cursor
        try:
            for name in segments:
                path = cursor.folder / name
                if name in cursor.unread:
                    self._put_aside(path)
                elif name in cursor.damaged:
                    self._keep(path)
                else:
                    path.unlink(missing_ok=True)
                cursor.finished.remove(name)
                cursor.damaged.discard(name)
                cursor.unread.discard(name)
                offsets.pop(name, None)
            cursor.refresh()
        except OSError as error:
            self._complain(error)

    def _put_aside(self, path: Path) -> None:
        """All of them: somebody may make them readable, and put them back."""
        aside = self._aside("unread")
        if _moved(path, aside):
            logger.error("a segment of the ledger that cannot be read was put into %s", aside)

    def _keep(self, path: Path) -> None:
        aside = self._aside("damaged")
        kept = sorted(aside.iterdir(), key=lambda one: one.name.rpartition("_")[2])
        for oldest in kept[: max(len(kept) - KEPT + 1, 0)]:
            oldest.unlink(missing_ok=True)
        if _moved(path, aside):
            logger.error("a segment of the ledger is damaged: kept in %s", aside)

    def _aside(self, name: str) -> Path:
        aside = self._folder / name
        aside.mkdir(mode=0o700, exist_ok=True)
        return aside

    def _write(self, name: str, what: object) -> None:
        data = msgspec.msgpack.encode(what) if name == "open" else msgspec.json.encode(what)
        try:
            replace(self._folder / name, data)
        except OSError as error:
            # What makes room again may use the room that is kept for need.
            if error.errno not in NO_SPACE or not release(self._folder, len(data) + (64 << 10)):
                raise
            replace(self._folder / name, data)
        if name == "open":
            sync_folder(self._folder)

    def _complain(self, error: OSError) -> None:
        if not self._ill:
            self._ill = True
            logger.error("what is booked of the ledger cannot be written down: %s", error.strerror)


def _moved(path: Path, aside: Path) -> bool:
    """Whether it was there."""
    try:
        path.rename(aside / f"{path.parent.name}_{path.name}")
    except FileNotFoundError:
        return False
    return True


def _what(body: bytes) -> Record | Key:
    """As much of it as is needed now. Raises msgspec.MsgspecError for what no version has written."""
    if body.startswith(END):
        return parse(body)
    key = key_of(body)
    return key if key.tag in _LATER else parse(body)


def stored_open(folder: Path) -> bytes:
    """What the last reader wrote to `<folder>/open`; empty: nothing."""
    try:
        return (folder / "open").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        logger.error("%s cannot be read: %s", folder / "open", error.strerror)
        return b""


def parse_open(stored: bytes) -> dict[str, dict[str, Begun]]:
    """By worker and request."""
    if not stored:
        return {}
    try:
        return msgspec.msgpack.decode(stored, type=dict[str, dict[str, Begun]])
    except msgspec.MsgspecError:
        logger.error("the open requests of the ledger cannot be read: they are not ended")
        return {}


def _load_offsets(folder: Path) -> dict[str, dict[str, int]]:
    try:
        return msgspec.json.decode(
            (folder / "offsets").read_bytes(), type=dict[str, dict[str, int]]
        )
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, msgspec.MsgspecError):
        logger.error("%s cannot be read: everything is booked again", folder / "offsets")
        return {}
