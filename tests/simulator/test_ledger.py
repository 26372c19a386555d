"""The books of the simulator."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

import pytest

from proxy.simulator.ledger import Exchange, Ledger
from tests.simulator.raw import request

if TYPE_CHECKING:
    from tests.simulator.raw import Simulator


def exchange(number: int = 1) -> Exchange:
    return Exchange(number, 1, b"GET / HTTP/1.1\r\nHost: a", b"get / http/1.1\r\nhost: a")


def test_every_request_ends_once_in_one_column() -> None:
    ledger = Ledger()

    for number, outcome in enumerate(("finished", "aborted", "faulted")):
        one = exchange(number)
        ledger.begin(one)
        one.tokens = 2
        ledger.end(one, outcome)
    ledger.begin(exchange(9))

    report = ledger.report(last=2)
    counters = ("begun", "finished", "aborted", "faulted", "open", "tokens_sent")
    assert [report[name] for name in counters] == [4, 1, 1, 1, 1, 6]
    assert [entry["id"] for entry in report["requests"]] == [2, 9]


def test_a_reset_forgets_what_is_still_open() -> None:
    ledger = Ledger()
    one = exchange()
    ledger.begin(one)

    ledger.reset()
    ledger.end(one, "finished")

    report = ledger.report()
    assert (report["begun"], report["finished"], report["open"]) == (0, 0, 0)


def test_old_bodies_make_room_for_new_ones() -> None:
    ledger = Ledger()
    body = bytes(30 << 20)
    many = [exchange(number) for number in range(3)]

    for one in many:
        ledger.begin(one)
        ledger.keep(one, body)

    assert [len(one.body) for one in many] == [0, len(body), len(body)]
    assert {one.body_size for one in many} == {len(body)}


def test_bodies_go_with_their_requests() -> None:
    ledger = Ledger()

    for number in range(1500):
        one = exchange(number)
        ledger.begin(one)
        ledger.keep(one, b"body")

    assert len(ledger.kept) == len(ledger.recent) == 1000
    assert ledger.kept_bytes == 4000


def test_a_record_holds_the_request_as_it_came(sim: Simulator) -> None:
    body = {"model": "sim-n3-idledger", "messages": []}

    sim.post("/v1/chat/completions?a=b", body, **{"X-Odd-Case": "yes", "x-odd-case": "too"})

    entry = sim.record(model="sim-n3-idledger")
    assert entry["target"] == "/v1/chat/completions?a=b"
    assert entry["headers"][-2:] == [["X-Odd-Case", "yes"], ["x-odd-case", "too"]]
    assert b64decode(entry["body"]) == request("POST", "/", body).partition(b"\r\n\r\n")[2]
    assert (entry["outcome"], entry["tokens_sent"]) == ("finished", 3)
    assert entry["begun_at"] <= entry["ended_at"]


def test_looking_at_the_books_is_not_booked(sim: Simulator) -> None:
    sim.reset()

    sim.ledger()
    report = sim.ledger()

    assert (report["begun"], report["connections"], report["requests"]) == (0, 0, [])


@pytest.mark.parametrize(
    ("query", "status", "requests"),
    [
        ("last=1", 200, 1),
        ("last=1&as=json", 200, 1),
        ("as=json&last=2", 200, 2),
        ("last=0", 200, 0),
        ("", 200, 3),
        ("last=one", 400, None),
        ("last=-1", 400, None),
        ("last=" + "9" * 5000, 400, None),
    ],
)
def test_the_last_requests_are_asked_for_by_a_number(
    sim: Simulator, query: str, status: int, requests: int | None
) -> None:
    sim.reset()
    for _ in range(3):
        sim.post("/v1/chat/completions", {"model": "sim-n1"})

    with sim.wire() as wire:
        for _ in range(2):
            wire.send(request("GET", f"/ledger?{query}"))
            answer = wire.answer()
            assert answer.status == status
            if requests is not None:
                assert len(answer.json()["requests"]) == requests
