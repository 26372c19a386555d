"""A log of each day, kept for so long, whoever writes to it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.core import clock
from proxy.core.clock import Hands
from proxy.core.output import DAY, Output, free_name, prune

NOON = 20_900 * DAY + DAY / 2
"""2027-03-23, at noon."""


@pytest.fixture
def hands() -> Iterator[Hands]:
    with clock.held(NOON) as hands:
        yield hands


def write(output: Output, text: str) -> None:
    output.write(text.encode(), lambda: False)


def opened(path: Path, keep: int = 0) -> Output:
    output = Output(path=str(path))
    output.rotate, output.keep = True, keep
    return output


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_its_folder_is_made_where_there_is_none(tmp_path: Path) -> None:
    output = opened(tmp_path / "var" / "logs" / "a.log")
    write(output, "one")
    output.close()

    assert (tmp_path / "var" / "logs" / "a.log").read_bytes() == b"one"


def test_each_day_has_its_file(tmp_path: Path, hands: Hands) -> None:
    output = opened(tmp_path / "a.log")
    write(output, "one")
    hands.advance(DAY / 2 - 1)
    write(output, " two")
    hands.advance(1)
    write(output, "three")
    hands.advance(3 * DAY)
    write(output, "four")
    output.close()

    assert names(tmp_path) == ["a.log", "a.log.2027-03-23", "a.log.2027-03-24"]
    assert (tmp_path / "a.log.2027-03-23").read_text() == "one two"
    assert (tmp_path / "a.log.2027-03-24").read_text() == "three"
    assert (tmp_path / "a.log").read_text() == "four"


def test_a_file_of_an_earlier_day_is_found_at_the_start(tmp_path: Path, hands: Hands) -> None:
    path = tmp_path / "a.log"
    path.write_text("old")
    os.utime(path, (NOON - 2 * DAY, NOON - 2 * DAY))

    output = opened(path)
    write(output, "new")
    output.close()

    assert (tmp_path / "a.log.2027-03-21").read_text() == "old"
    assert path.read_text() == "new"


def test_several_processes_move_a_file_once(tmp_path: Path, hands: Hands) -> None:
    first, second = opened(tmp_path / "a.log"), opened(tmp_path / "a.log")
    write(first, "1")
    write(second, "2")
    hands.advance(DAY)
    write(second, "3")
    write(first, "4")
    first.close()
    second.close()

    assert names(tmp_path) == ["a.log", "a.log.2027-03-23"]
    assert (tmp_path / "a.log.2027-03-23").read_text() == "12"
    assert (tmp_path / "a.log").read_text() == "34"


def _race(path: str, number: int, begin: object) -> None:
    with clock.held(NOON) as hands:
        output = Output(path=path)
        output.rotate = True
        begin.wait()  # type: ignore[attr-defined]
        for turn in range(50):
            output.write(b"%d\n" % (number * 1000 + turn), lambda: False)
            hands.advance(DAY)
        output.close()


def test_no_line_is_lost_when_all_move_it_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    racers = [
        context.Process(target=_race, args=(str(tmp_path / "a.log"), number, barrier))
        for number in range(3)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(20)
        assert racer.exitcode == 0

    lines = "".join(each.read_text() for each in tmp_path.iterdir()).split()
    assert sorted(map(int, lines)) == sorted(
        n * 1000 + turn for n in range(3) for turn in range(50)
    )


def test_a_day_that_comes_twice_writes_nothing_over(tmp_path: Path, hands: Hands) -> None:
    output = opened(tmp_path / "a.log")
    write(output, "one")
    hands.advance(DAY)
    write(output, "two")
    output.close()
    hands.set_wall(NOON)
    output = opened(tmp_path / "a.log")
    os.utime(tmp_path / "a.log", (NOON, NOON))
    output.close()
    output = opened(tmp_path / "a.log")
    hands.advance(DAY)
    write(output, "three")
    output.close()

    assert names(tmp_path) == ["a.log", "a.log.2027-03-23", "a.log.2027-03-23.1"]
    assert (tmp_path / "a.log.2027-03-23").read_text() == "one"


def test_an_empty_file_is_not_moved(tmp_path: Path, hands: Hands) -> None:
    output = opened(tmp_path / "a.log")
    hands.advance(DAY)
    write(output, "x")
    output.close()

    assert names(tmp_path) == ["a.log"]


def test_files_of_days_are_kept_for_so_long_and_others_for_ever(
    tmp_path: Path, hands: Hands
) -> None:
    stays = ["a.log.2027-03-22", "a.log.2027-03-22.1", "b.log.2020-01-01", "a.log.2020-13-01"]
    stays += ["a.log.old", "a.log.2020-01-01.gz"]
    for name in (*stays, "a.log.2027-03-21", "a.log.2020-01-01.2"):
        (tmp_path / name).touch()

    output = opened(tmp_path / "a.log", keep=2)
    write(output, "x")
    hands.advance(DAY)
    write(output, "y")
    output.close()

    assert names(tmp_path) == sorted([*stays, "a.log", "a.log.2027-03-23"])


def test_without_a_limit_all_stay(tmp_path: Path, hands: Hands) -> None:
    (tmp_path / "a.log.1999-01-01").touch()
    output = opened(tmp_path / "a.log")
    write(output, "x")
    hands.advance(DAY)
    write(output, "y")
    output.close()

    assert "a.log.1999-01-01" in names(tmp_path)


def test_a_folder_that_takes_no_names_goes_on_in_one_file(
    tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, _target: Path) -> None:
        raise PermissionError

    output = opened(tmp_path / "a.log")
    write(output, "x")
    hands.advance(DAY)
    monkeypatch.setattr(Path, "rename", refuse)
    write(output, "y")
    output.close()

    assert (tmp_path / "a.log").read_text() == "xy"


def test_it_is_switched_on_while_it_is_written(tmp_path: Path, hands: Hands) -> None:
    output = Output(path=str(tmp_path / "a.log"))
    write(output, "x")
    hands.advance(DAY)
    write(output, "y")
    assert names(tmp_path) == ["a.log"]

    output.rotate = True
    hands.advance(DAY)
    write(output, "z")
    output.close()

    assert names(tmp_path) == ["a.log", "a.log.2027-03-23"]


def test_names_of_days(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert free_name(path, 0).name == "a.log.1970-01-01"
    (tmp_path / "a.log.1970-01-01").touch()
    assert free_name(path, 0).name == "a.log.1970-01-01.1"
    prune(path, 1)
    assert names(tmp_path) == []
