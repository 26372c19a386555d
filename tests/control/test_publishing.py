"""What a registry counts is in its seat: as often as somebody asks, and without holding up the loop."""

from __future__ import annotations

import asyncio
import math
import os
from array import array
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control import publishing
from proxy.control import sheets as module
from proxy.control.publishing import Publisher, heard, tell
from proxy.control.sheets import Sheets
from proxy.core import tasks
from proxy.core.series import Number, Reading, Registry, Rule


@pytest.fixture
def sheets() -> Iterator[Sheets]:
    one = Sheets.make()
    yield one
    one.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    yield ends
    for end in ends:
        os.close(end)


def number(sheets: Sheets, family: str, labels: str = "", seat: int = 0) -> Number | None:
    """What a seat has for a series; None: no place."""
    while sheets.look():
        pass
    place = sheets.catalogue.find(family, labels)
    found = sheets.read(seat)
    if place is None or found is None:
        return None
    lane = found.levels if sheets.catalogue.families[family].kind == "gauge" else found.totals
    return lane[place.number]


def test_every_kind_of_number_is_copied(sheets: Sheets) -> None:
    registry = Registry()
    registry.counter("c_total", "help", ("a",)).child("1").inc(3)
    registry.gauge("g", "help").child().set(-0.5)
    histogram = registry.histogram("h", "help", (1, 2), ("a",)).child("1")
    for value in (0.5, 1.5, 1.75):
        histogram.observe(value)

    Publisher(registry, sheets, 0).publish()

    assert number(sheets, "c_total", '{a="1"}') == 3
    assert number(sheets, "g") == -0.5
    assert number(sheets, "h", '{a="1"}') == 3.75
    found = sheets.read(0)
    assert found is not None
    assert found.counts == array("q", [1, 2, 0])


def test_every_family_is_declared_and_no_histogram_without_observations_has_a_place(
    sheets: Sheets,
) -> None:
    registry = Registry()
    registry.counter("c_total", "what it is", ("a",))
    registry.gauge("g", "help", rule=Rule.MAX)
    hungry = registry.histogram("h", "help", (1, 2)).child()
    publisher = Publisher(registry, sheets, 0)

    publisher.publish()

    families = sheets.catalogue.families
    assert list(families) == ["c_total", "g", "h"]
    assert (families["c_total"].help, families["g"].rule) == ("what it is", Rule.MAX)
    assert families["h"].bounds == (1.0, 2.0)
    assert number(sheets, "h") is None
    hungry.observe(1)
    publisher.publish()
    assert number(sheets, "h") == 1


def test_what_comes_later_has_its_place_at_once(sheets: Sheets) -> None:
    registry = Registry()
    family = registry.counter("c_total", "help", ("a",))
    publisher = Publisher(registry, sheets, 0)
    family.child("1").inc()
    publisher.publish()
    family.child("2").inc(2)
    family.child("1").inc()

    publisher.publish()

    assert number(sheets, "c_total", '{a="1"}') == 2
    assert number(sheets, "c_total", '{a="2"}') == 2


def test_a_source_is_read_each_time(sheets: Sheets) -> None:
    registry = Registry()
    there: dict[str, int] = {"a": 1, "b": 2}
    for name in ("g", "c_total"):
        make = registry.gauge if name == "g" else registry.counter
        make(name, "help", ("l",)).watch(lambda: [((k,), v) for k, v in there.items()])
    publisher = Publisher(registry, sheets, 0)
    publisher.publish()
    del there["a"]
    there["b"] = 5
    there["c"] = 6

    publisher.publish()

    gone = number(sheets, "g", '{l="a"}')
    assert gone is not None
    assert math.isnan(gone)
    assert number(sheets, "g", '{l="b"}') == 5
    assert number(sheets, "g", '{l="c"}') == 6
    # A counter does not fall because nobody speaks of it any more.
    assert number(sheets, "c_total", '{l="a"}') == 1


def test_a_source_that_fails_costs_only_itself(sheets: Sheets) -> None:
    registry = Registry()

    def broken() -> Iterator[tuple[tuple[str, ...], Number]]:
        yield (), 1
        raise RuntimeError("broken")

    registry.gauge("g", "help").watch(broken)
    registry.counter("c_total", "help").child().inc()

    Publisher(registry, sheets, 0).publish()

    assert number(sheets, "c_total") == 1


def test_two_processes_share_places_and_keep_their_numbers_apart(sheets: Sheets) -> None:
    one, two = Registry(), Registry()
    one.counter("c_total", "help", ("a",)).child("one").inc(1)
    family = two.counter("c_total", "help", ("a",))
    family.child("two").inc(2)
    family.child("one").inc(10)
    other = sheets.view()

    Publisher(one, sheets, 0).publish()
    Publisher(two, other, 1).publish()

    assert number(sheets, "c_total", '{a="one"}', 0) == 1
    assert number(sheets, "c_total", '{a="one"}', 1) == 10
    assert number(sheets, "c_total", '{a="two"}', 1) == 2
    other.close()


def given_out(numbers: dict[str, float]) -> list[Reading]:
    return [((name,), value) for name, value in numbers.items()]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5)), max_size=12), st.integers(1, 4))
def test_numbers_are_where_they_belong_however_the_places_were_given_out(
    turns: list[tuple[bool, int]], size: int
) -> None:
    """Two processes make series in turns, some of which the other one has as well, and runs end after a few."""
    sheets = Sheets.make()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(publishing, "SLICE", size)
            registries = Registry(), Registry()
            counters = [one.counter("c_total", "help", ("a",)) for one in registries]
            read: tuple[dict[str, float], dict[str, float]] = {}, {}
            for registry, numbers in zip(registries, read, strict=True):
                registry.gauge("g", "help", ("a",)).watch(partial(given_out, numbers))
            views = sheets.view(), sheets.view()
            publishers = [
                Publisher(registry, view, seat)
                for seat, (registry, view) in enumerate(zip(registries, views, strict=True))
            ]
            for turn, (second, more) in enumerate(turns):
                for nth in range(more):
                    name = f"{turn % 3}-{nth}"
                    counters[second].child(name).inc(turn + nth + 1)
                    read[second][name] = float(turn - nth)
                publishers[second].publish()
                if turn % 4 == 3:
                    read[second].pop(next(iter(read[second])))
            for publisher in publishers:
                publisher.publish()
        for view in views:
            view.close()
        for seat in (0, 1):
            for (name,), child in counters[seat].children().items():
                assert number(sheets, "c_total", f'{{a="{name}"}}', seat) == child.value
            for name in {name for numbers in read for name in numbers}:
                found = number(sheets, "g", f'{{a="{name}"}}', seat)
                assert found == read[seat].get(name) or (
                    name not in read[seat] and (found is None or math.isnan(found))
                )
    finally:
        sheets.close()


@pytest.mark.parametrize(
    ("took", "expected"), [(0.0, 1.0), (0.003, 1.0), (0.006, 2.0), (1.0, 10.0)]
)
def test_who_has_more_to_copy_does_so_more_rarely(took: float, expected: float) -> None:
    assert publishing.pause(took) == pytest.approx(expected)


def test_while_another_process_adds_names_only_the_new_ones_wait(
    sheets: Sheets, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    family = registry.counter("c_total", "help", ("a",))
    family.child("1").inc()
    publisher = Publisher(registry, sheets, 0)
    publisher.publish()
    family.child("1").inc()
    family.child("2").inc()

    with monkeypatch.context() as patch:
        patch.setattr(Sheets, "add", lambda _self, _wanted: False)
        publisher.publish()

    assert number(sheets, "c_total", '{a="1"}') == 2
    assert number(sheets, "c_total", '{a="2"}') is None
    publisher.publish()
    assert number(sheets, "c_total", '{a="2"}') == 1


def test_a_large_registry_is_copied_in_small_slices(
    sheets: Sheets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "SLICE", 10)
    registry = Registry()
    family = registry.counter("c_total", "help", ("a",))
    for n in range(100):
        family.child(str(n)).inc(n)
    publisher = Publisher(registry, sheets, 0)

    assert sum(1 for _ in publisher.slices()) >= 20
    assert sheets.read(0) is not None
    assert number(sheets, "c_total", '{a="99"}') == 99


def test_no_memory_is_said_once(
    sheets: Sheets, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry()
    registry.counter("c_total", "help").child().inc()
    publisher = Publisher(registry, sheets, 0)

    def full(_self: Sheets, _seat: int, _numbers: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Sheets, "write", full)
        publisher.publish()
        publisher.publish()

    assert [one.message for one in caplog.records if "no memory" in one.message] == [
        "there is no memory for what is counted: No space left on device"
    ]
    publisher.publish()
    assert number(sheets, "c_total") == 1


def test_too_many_series_are_said_once_and_the_others_stay(
    sheets: Sheets, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    registry = Registry()
    family = registry.counter("c_total", "help", ("a",))
    publisher = Publisher(registry, sheets, 0)
    for name in ("1", "2"):
        family.child(name).inc()
    publisher.publish()
    family.child("3").inc()
    family.child("1").inc()

    for _ in range(3):
        publisher.publish()

    assert number(sheets, "c_total", '{a="1"}') == 2
    assert number(sheets, "c_total", '{a="3"}') is None
    assert len([one for one in caplog.records if "too many series" in one.message]) == 1


async def test_whoever_asks_is_answered(sheets: Sheets, pipe: tuple[int, int]) -> None:
    asked, ask = pipe
    answers = asyncio.StreamReader()
    back = os.pipe()
    registry = Registry()
    counter = registry.counter("c_total", "help").child()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(answers), os.fdopen(back[0], "rb")
    )
    task = tasks.spawn(Publisher(registry, sheets, 0).keep(asked, back[1]), name="publish")
    try:
        async with asyncio.timeout(5):
            await answers.readexactly(1)  # the first comes by itself
            counter.inc(7)
            tell(ask)
            await answers.readexactly(1)
        assert number(sheets, "c_total") == 7
    finally:
        task.cancel()
        await asyncio.wait({task})
        transport.close()
        os.close(back[1])


async def test_numbers_are_copied_without_being_asked_for(
    sheets: Sheets, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "PAUSE_MIN", 0.001)
    asked, answers = pipe
    task = tasks.spawn(Publisher(Registry(), sheets, 0).keep(asked, answers), name="publish")
    try:
        async with asyncio.timeout(5):
            while sheets.newest(0)[0] < 3:
                await asyncio.sleep(0.001)
    finally:
        task.cancel()
        await asyncio.wait({task})


def test_a_pipe_that_is_full_or_empty_blocks_nobody(pipe: tuple[int, int]) -> None:
    assert not heard(pipe[0])
    for _ in range(100_000):
        tell(pipe[1])

    assert heard(pipe[0])
