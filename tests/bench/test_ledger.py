"""The books after everything was killed: by a short run of the bench, and by books that are wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.ledger import Plan, scaled
from bench.ledger_acts import ACTS, Act
from bench.ledger_audit import Books, Money, Row, audit, cost
from bench.ledger_load import ABORTED, CUT, OK, REFUSED, SECOND, Asked
from bench.ledger_upstream import FINISHED, LEFT, RESET, Served, Usage
from bench.peers import ROOT

USAGE = Usage(1000, 200, 50, 10)
COST = 3223


def asked(fate: str = OK, said: str = "", at: int = 100 * SECOND) -> Asked:
    usage = USAGE if fate == OK else None
    return Asked("soak-1", False, at, at + SECOND // 10, fate, said, usage)


def served(fate: str = FINISHED) -> Served:
    return Served("soak-1", False, USAGE, fate, 100 * SECOND, 100 * SECOND + 1)


def row(**other: object) -> Row:
    whole = Row("r:soak-1", 3, "ok", "7", 800, 200, 50, 10, "reported", COST, 200, "")
    return whole._replace(**other)  # type: ignore[arg-type]


def books(*rows: Row) -> Books:
    found = Books()
    found.rows = list(rows)
    money = Money(len(rows), sum(one.tokens for one in rows), sum(one.cost or 0 for one in rows))
    found.statistics = money
    if rows:
        found.counters = {"7": money}
        found.table = {"7": (money.micro, 0, 0)}
    found.attempts.update(one.rid for one in rows)
    return found


def wrong(one: Asked, some: list[Served], found: Books, *acts: Act) -> str:
    lines, figures = audit([one], some, acts, found)
    assert figures
    return "\n".join(lines)


def test_a_cost_is_rounded_once() -> None:
    assert cost(USAGE) == COST  # 2400 + 150 + 500 + 173
    assert cost(Usage(1, 1, 0, 0)) == 1  # 0.75
    assert cost(Usage(0, 0, 1, 0)) == 13  # 12.5


def test_equal_books_are_right() -> None:
    assert wrong(asked(), [served()], books(row())) == ""


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (books(), "soak-1: lost"),
        (books(row(), row(rid="s:soak-1")), "soak-1: 2 rows"),
        (books(row(rid="r:soak-2")), "soak-2: in the database, and asked by nobody"),
        (books(row(phase=1)), "soak-1: has no end"),
        (books(row(output=51)), "soak-1: (input, cached, output, reasoning, micro)"),
        (books(row(cost=COST + 1)), "soak-1: (input, cached, output, reasoning, micro)"),
        (books(row(outcome="unknown")), "soak-1: the client has it whole, the database says"),
        (books(row(source="estimated")), "soak-1: the client has it whole, the database says"),
    ],
)
def test_what_the_database_has_otherwise_is_named(found: Books, said: str) -> None:
    assert said in wrong(asked(), [served()], found)


def test_sums_that_differ_are_named() -> None:
    found = books(row())
    found.counters = {"7": Money(1, 1050, COST + 1)}
    found.statistics = Money(2, 1050, COST)
    found.table = {"7": (COST, 1, 0)}
    found.waiting = 3

    lines = wrong(asked(), [served()], found)

    for said in ("counters say", "statistics say", "1 reserved", "the spool has 3 records left"):
        assert said in lines


def test_a_request_that_the_provider_alone_knows_is_lost() -> None:
    assert "lost" in wrong(asked(CUT), [served(LEFT)], books(), Act("kill worker", 100 * SECOND, 0))


@pytest.mark.parametrize(
    ("one", "some", "acts", "right"),
    [
        (asked(ABORTED), [served(LEFT)], [], True),
        (asked(CUT), [served(RESET)], [], True),
        (asked(CUT), [served(LEFT)], [], False),
        (asked(CUT), [served(LEFT)], [Act("kill worker", 99 * SECOND, 99 * SECOND)], True),
        (asked(CUT), [served(LEFT)], [Act("kill worker", 90 * SECOND, 90 * SECOND)], False),
        (asked(CUT), [served(LEFT)], [Act("end worker", 99 * SECOND, 99 * SECOND)], False),
        (asked(REFUSED, "503 "), [served(LEFT)], [Act("kill worker", 99 * SECOND, 0)], False),
        (asked(REFUSED, '503 {"error":{"code":"gateway_overloaded"}}'), [], [], True),
        (asked(REFUSED, '503 {"error":{"code":"gateway_overloaded"}}'), [served(LEFT)], [], False),
    ],
)
def test_a_failure_has_a_reason_or_is_named(
    one: Asked, some: list[Served], acts: list[Act], right: bool
) -> None:
    found = books(row(outcome="client_gone", source="estimated", cost=5))

    assert ("failed without a reason" not in wrong(one, some, found, *acts)) is right


def test_what_is_asked_for_takes_the_place_of_what_is_usual() -> None:
    assert scaled(Plan(), minutes=2.0, seed=9) == Plan(minutes=2.0, seed=9)
    assert scaled(Plan(), outage=60.0).outage == 60.0


@pytest.mark.timeout(180)
def test_nothing_is_lost_or_booked_twice_whatever_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "soak", "--ledger", "--quick", "--json", str(file)]

    done = subprocess.run(
        [*command, "--postgres", "own", "--valkey", "own"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    figures = {
        one["name"]: one["value"] for one in msgspec.json.decode(file.read_bytes())["figures"]
    }
    assert (figures["ledger_lost"], figures["ledger_twice"], figures["ledger_wrong"]) == (0, 0, 0)
    assert figures["ledger_whole"] > 500
    for name in ACTS:
        assert figures["ledger_act_" + name.replace(" ", "_")] >= 1
