"""After a worker died: what it had begun and not ended is ended for it.

Its records are read from where an earlier recovery stopped, together with what the reader of the spool carried over from
segments that are gone. The ends are written as one new segment, which appears whole or not at all: killed in the middle,
it is done again from the beginning, and done twice it finds nothing.

Live counters are told of these ends, and of those the worker wrote last: it may have died before it counted the last
one. Whoever counts knows by the position of each whether that is done. The segment is sealed when it is.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from proxy.core.log import logger
from proxy.ledger.cursor import frames
from proxy.ledger.reading import parse_open, stored_open
from proxy.ledger.records import Adjust, End, Progress, Start, Tokens, Try, frame, parse
from proxy.ledger.room import NO_SPACE, release
from proxy.ledger.segments import (
    FIRST,
    FRAME,
    MARK,
    SETTLED,
    Found,
    Segment,
    following,
    listed,
    look,
    mark_of,
    position,
    seal,
    sequence_of,
    sync_folder,
    write_through,
)
from proxy.ledger.unfinished import Unfinished

Settled = Callable[[End | Adjust, int], None]
"""An end, or a request that an attempt in vain had counted, and its position (`segments.position`)."""

_COUNTED: Final = ("E", "A")
_TOGETHER: Final = 8
"""Records that are written before any of them is counted, at most."""
_TRIES: Final = 100
"""Looks at a spool from which a reader deletes meanwhile."""


def recover(folder: Path, worker: str, settled: Settled | None = None) -> int:
    """Write an `End` with outcome `unknown` for every request of this (dead) worker that has none; how many.

    It is charged with its last `Progress`, or with its prompt alone. `settled` is told each, and before that those of the
    segment that was written last, all in the order of their positions: some of them it may have been told before. Blocks. Called by the supervisor before another worker takes the place, and for every worker at the start.

    Raises OSError. When there is no room for the ends, not even in the emergency room, that is logged, and 0: the next
    recovery finds them.
    """
    own = folder / "spool" / worker
    for left in own.glob("*.new") if own.is_dir() else ():
        left.unlink(missing_ok=True)
    names, unfinished, last = _unfinished(folder, worker)
    if settled is not None:
        for end, place in _parsed(last):
            settled(end, place)
    ends = [_end(starts, progress) for starts, progress in unfinished.records()]
    if not ends:
        if names and not _is_settled(own / names[-1]):
            _settle(own / names[-1])
        return 0
    try:
        written = _write(folder, worker, names, ends)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        logger.error("the ledger has no room for the ends of %d requests", len(ends))
        return 0
    if settled is not None:
        for end, place in zip(ends, written.places, strict=True):
            settled(end, place)
    _settle(own / written.name)
    if names:
        _settle(own / names[-1])
    return len(ends)


def _unfinished(folder: Path, worker: str) -> tuple[list[str], Unfinished, list[tuple[bytes, int]]]:
    """The segments of the worker, what is open in them, and what is to be counted of the last one in which something stands,
    and of the very last before: some of what was written in one moment may be there."""
    own = folder / "spool" / worker
    for _ in range(_TRIES):
        names = listed(own)
        before = max((sequence_of(name) for name in names if _is_settled(own / name)), default=-1)
        # What the reader carries is written before it deletes. Read behind the list, it has what the list lacks; and what
        # the list has is either read, or gone when its turn comes.
        unfinished = Unfinished(parse_open(stored_open(folder)).get(worker))
        unfinished.forget(before)
        last: list[tuple[bytes, int]] = []
        try:
            for name in names:
                sequence, new = sequence_of(name), True
                if sequence <= before:
                    continue
                for body, end in frames(own, name):
                    if new:
                        last, new = last[-_TOGETHER:], False
                    if unfinished.see(body, sequence) in _COUNTED:
                        last.append((body, position(sequence, end)))
        except FileNotFoundError:
            continue
        return names, unfinished, last
    raise OSError(errno.EBUSY, f"the spool of worker {worker} does not hold still")


def _parsed(found: Iterable[tuple[bytes, int]]) -> Iterator[tuple[End | Adjust, int]]:
    for body, place in found:
        try:
            record = parse(body)
        except msgspec.MsgspecError:
            continue
        # What an operator took back was counted before it was written.
        if isinstance(record, End) or (isinstance(record, Adjust) and record.requests > 0):
            yield record, place


def _end(starts: Sequence[Start], progress: Progress | None) -> End:
    last = starts[-1]
    tokens = Tokens(input=last.prompt) if progress is None else progress.tokens
    cost = last.likely if progress is None else progress.cost
    return End(
        rid=last.rid,
        at=last.at,
        key_id=last.key_id,
        key=last.key,
        team=last.team,
        owner=last.owner,
        route=last.route,
        operation=last.operation,
        dialect=last.dialect,
        stream=last.stream,
        asked=last.asked,
        model=last.model,
        deployment=last.deployment,
        provider=last.provider,
        upstream_model=last.upstream_model,
        status=0,
        outcome="unknown",
        cause="",
        finish="",
        queue_ms=-1.0,
        connect_ms=-1.0,
        ttft_ms=-1.0,
        total_ms=-1.0,
        overhead_ms=-1.0,
        tokens=tokens,
        source="estimated",
        cost=cost,
        estimate=cost,
        cost_upstream=cost,
        bytes_in=0,
        bytes_out=0,
        client="",
        user_agent="",
        tries=tuple(_try(start, cost if start is last else -1) for start in starts),
        charges=last.charges,
    )


def _try(start: Start, cost: int) -> Try:
    return Try(
        number=start.attempt,
        deployment=start.deployment,
        provider=start.provider,
        credential="",
        upstream_model=start.upstream_model,
        dialect="",
        status=0,
        outcome="unknown",
        cause="",
        started_ms=-1.0,
        connect_ms=-1.0,
        ttft_ms=-1.0,
        total_ms=-1.0,
        cost=cost,
    )


class _Written(NamedTuple):
    """A segment that is not sealed, and the positions of what is in it."""

    name: str
    places: list[int]


def _write(folder: Path, worker: str, names: list[str], ends: Sequence[End]) -> _Written:
    """All of them, or OSError and none. A seal fits behind, so it takes no room then."""
    made = [frame(end) for end in ends]
    size = FIRST + sum(FRAME.size - 8 + len(one) for one in made) + FRAME.size
    segment = _make(folder, worker, size)
    sequence = following(sequence_of(names[-1]) if names else 0)
    at, places = FIRST, []
    try:
        for one in made:
            segment.data[at : at + MARK + len(one)] = segment.mark + one
            at += MARK + len(one)
            places.append(position(sequence, at))
        write_through(segment.fd)
        segment.publish(sequence)
    except OSError:
        segment.discard()
        raise
    segment.cut(at + FRAME.size)
    sync_folder(folder / "spool" / worker)
    return _Written(segment.name, places)


def _make(folder: Path, worker: str, size: int) -> Segment:
    own = folder / "spool" / worker
    while True:
        try:
            return Segment(own, worker, size, mapped=False)
        except OSError as error:
            if error.errno not in NO_SPACE or not release(folder, size):
                raise


def _is_settled(path: Path) -> bool:
    mark = mark_of(path.name)
    assert mark is not None
    try:
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - FRAME.size, 0))
            return file.read() == seal(mark, SETTLED)
    except FileNotFoundError:
        return False


def _settle(path: Path) -> None:
    """Close the last segment: nothing that began before its end is open. What is torn behind its last frame goes."""
    mark = mark_of(path.name)
    assert mark is not None
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        end = _tail(data, mark)
        os.pwrite(fd, seal(mark, SETTLED), end)
        os.ftruncate(fd, end + FRAME.size)
        write_through(fd)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
    finally:
        os.close(fd)


def _tail(data: bytes, mark: bytes) -> int:
    """Behind the last whole frame."""
    end = at = FIRST
    while at >= 0:
        found, behind = look(data, at, mark)
        if found is Found.WHOLE:
            end = at = behind
        else:
            at = data.find(mark, at + 1)
    return end
