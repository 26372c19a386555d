from __future__ import annotations

from proxy.ledger.records import Record, encode
from proxy.ledger.unfinished import Unfinished
from tests.ledger.samples import end, progress, start


def shown(*records: tuple[Record, int]) -> Unfinished:
    unfinished = Unfinished()
    for record, sequence in records:
        unfinished.see(encode(record), sequence)
    return unfinished


def test_what_has_no_end_is_open() -> None:
    unfinished = shown((start("a"), 1), (start("b"), 1), (progress("b", 5), 1), (end("a"), 2))

    assert list(unfinished.records()) == [([start("b")], progress("b", 5))]
    assert len(unfinished) == 1


def test_every_attempt_is_kept_once_and_the_last_progress() -> None:
    records: list[Record] = [start("a"), progress("a", 1), start("a", 2), progress("a", 9)]
    unfinished = shown(*((record, n) for _ in range(3) for n, record in enumerate(records)))

    assert list(unfinished.records()) == [([start("a"), start("a", 2)], progress("a", 9))]


def test_nothing_else_opens_one() -> None:
    unfinished = shown((progress("a", 5), 1), (end("b"), 1))
    unfinished.see(b"\xc0", 1)
    unfinished.see(b"", 1)
    unfinished.note("S", "c", b"no start", 1)

    assert list(unfinished.records()) == []


def test_where_it_began_is_known() -> None:
    unfinished = shown((start("a"), 3), (progress("a", 5), 5), (start("b"), 4))

    assert [unfinished.began(n) for n in (3, 4, 5)] == [True, True, False]
    unfinished.forget(3)
    assert [one[0].rid for one, _ in unfinished.records()] == ["b"]


def test_it_is_put_down_and_taken_up_again() -> None:
    unfinished = shown((start("a"), 3), (progress("a", 5), 5))
    again = Unfinished(unfinished.stored())

    assert list(again.records()) == [([start("a")], progress("a", 5))]
