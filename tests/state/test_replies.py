"""Answers that are kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.state.replies import OVERHEAD, Replies, Reply

ROOM = 10 * OVERHEAD


def reply(size: int = 0) -> Reply:
    return Reply(200, b"", bytes(size))


def test_it_is_there_until_its_time_is_over() -> None:
    replies, one = Replies(), reply()
    replies.put(b"a", one, 100.0, 10.0, ROOM)

    assert replies.get(b"a", 109.9) == (one, 109.9 - 100.0)
    assert replies.get(b"a", 109.9, max_age=5.0) is None
    assert replies.get(b"a", 110.0) is None
    assert len(replies) == replies.size == 0


def test_the_one_unused_for_longest_goes_first() -> None:
    replies = Replies()
    for number in range(10):
        replies.put(b"%d" % number, reply(), 0.0, 10.0, ROOM)
    replies.get(b"0", 1.0)
    replies.put(b"new", reply(), 1.0, 10.0, ROOM)

    assert replies.get(b"0", 1.0)
    assert replies.get(b"1", 1.0) is None
    assert replies.dropped == 1


def test_one_that_is_too_large_takes_nobodys_place() -> None:
    replies = Replies()
    replies.put(b"a", reply(), 0.0, 10.0, ROOM)

    assert not replies.put(b"b", reply(ROOM), 0.0, 10.0, ROOM)
    assert len(replies) == 1


def test_it_can_be_emptied() -> None:
    replies = Replies()
    replies.put(b"a", reply(5), 0.0, 10.0, ROOM)

    assert replies.clear() == 1
    assert replies.size == 0
    assert replies.get(b"a", 0.0) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, ROOM), st.integers(0, 3))))
def test_never_more_than_its_room(steps: list[tuple[int, int, int]]) -> None:
    replies, now = Replies(), 0.0
    for name, size, time in steps:
        now += time
        replies.put(b"%d" % name, reply(size), now, 5.0, ROOM)
        replies.get(b"%d" % (name + 1), now)

        assert replies.size <= ROOM
        assert replies.size == sum(one.size for one, *_ in replies._kept.values())
