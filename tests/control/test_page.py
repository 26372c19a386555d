"""Numbers of several processes are one page: counters and histograms added up, gauges by their rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.exposition import render
from proxy.control.page import Kept, Page
from proxy.control.publishing import Publisher
from proxy.control.sheets import Numbers, Sheets
from proxy.core.series import Number, Registry, Rule
from tests.control.test_exposition import parsed, used


@pytest.fixture
def sheets() -> Iterator[Sheets]:
    one = Sheets.make()
    yield one
    one.close()


def published(sheets: Sheets, registries: Sequence[Registry]) -> list[Numbers]:
    """What each of these processes has in its seat."""
    for seat, registry in enumerate(registries):
        Publisher(registry, sheets, seat).publish()
    found = [sheets.read(seat) for seat in range(len(registries))]
    return [one for one in found if one is not None]


def page(sheets: Sheets, *registries: Registry, kept: Kept | None = None) -> str:
    numbers = published(sheets, registries)
    return Page(sheets.catalogue).render(numbers, kept or Kept()).decode()


def worker(
    requests: int, rule: Rule = Rule.SUM, gauge: float = 0.0, labels: tuple[str, ...] = ("a",)
) -> Registry:
    registry = Registry()
    registry.counter("c_total", "help", ("l",)).child("a").inc(requests)
    family = registry.gauge("g", "help", ("l",), rule=rule)
    for label in labels:
        family.child(label).set(gauge)
    histogram = registry.histogram("h", "help", (1, 2), ("l",)).child("a")
    for _ in range(requests):
        histogram.observe(1.5)
    return registry


def test_counters_and_histograms_are_added(sheets: Sheets) -> None:
    assert page(sheets, worker(1), worker(2), worker(4)) == (
        "# HELP c_total help\n"
        "# TYPE c_total counter\n"
        'c_total{l="a"} 7\n'
        "# HELP g help\n"
        "# TYPE g gauge\n"
        'g{l="a"} 0\n'
        "# HELP h help\n"
        "# TYPE h histogram\n"
        'h_bucket{l="a",le="1.0"} 0\n'
        'h_bucket{l="a",le="2.0"} 7\n'
        'h_bucket{l="a",le="+Inf"} 7\n'
        'h_sum{l="a"} 10.5\n'
        'h_count{l="a"} 7\n'
    )


@pytest.mark.parametrize(
    ("rule", "value"), [(Rule.SUM, "6"), (Rule.MAX, "3"), (Rule.MIN, "1"), (Rule.MEAN, "2")]
)
def test_a_gauge_follows_its_rule(sheets: Sheets, rule: Rule, value: str) -> None:
    text = page(sheets, worker(0, rule, 3), worker(0, rule, 1), worker(0, rule, 2))

    assert f'g{{l="a"}} {value}\n' in text


@pytest.mark.parametrize(
    ("rule", "value"), [(Rule.SUM, "6"), (Rule.MAX, "4"), (Rule.MIN, "2"), (Rule.MEAN, "3")]
)
def test_those_without_a_gauge_are_not_counted(sheets: Sheets, rule: Rule, value: str) -> None:
    text = page(sheets, worker(0, rule, 4), worker(0, rule, 2, ("a", "b")), worker(0, rule, 9, ()))

    assert f'g{{l="a"}} {value}\n' in text
    assert 'g{l="b"} 2\n' in text


def test_who_stands_beside_changes_nothing_but_where_numbers_are_looked_for(
    sheets: Sheets,
) -> None:
    numbers = published(sheets, [worker(1, gauge=1), worker(2, gauge=2), worker(3, gauge=4)])

    one = Page(sheets.catalogue).render(numbers, Kept())
    two = Page(sheets.catalogue).render(numbers[:1], Kept(), numbers[1:])

    assert one == two


def test_what_one_counted_alone_is_there(sheets: Sheets) -> None:
    one, two = Registry(), Registry()
    one.counter("one_total", "help").child().inc()
    two.counter("two_total", "help").child().inc(2)

    assert parsed(page(sheets, one, two).encode()) == {("one_total", ()): 1, ("two_total", ()): 2}


def test_a_process_that_ended_keeps_its_counts_and_loses_its_gauges(sheets: Sheets) -> None:
    kept = Kept()
    for numbers in published(sheets, [worker(5, gauge=3), worker(6, gauge=4)]):
        kept.add(numbers)
    sheets.clear(1)

    text = page(sheets, worker(1, gauge=2), kept=kept)

    assert 'c_total{l="a"} 12\n' in text
    assert 'h_bucket{l="a",le="2.0"} 12\n' in text
    assert 'h_sum{l="a"} 18' in text
    assert 'g{l="a"} 2\n' in text


def test_with_nobody_left_the_page_says_what_they_counted(sheets: Sheets) -> None:
    kept = Kept()
    (numbers,) = published(sheets, [worker(5, gauge=3)])
    kept.add(numbers)

    text = Page(sheets.catalogue).render([], kept).decode()

    assert 'c_total{l="a"} 5\n' in text
    assert "g{" not in text


def test_a_page_that_is_made_again_says_what_is_new(sheets: Sheets) -> None:
    registry = worker(1, gauge=1)
    publisher = Publisher(registry, sheets, 0)
    one = Page(sheets.catalogue)
    changes: list[Callable[[], None]] = [
        lambda: None,
        lambda: registry.families["c_total"].child("a").inc(),  # type: ignore[union-attr]
        lambda: registry.families["c_total"].child("new").inc(),  # type: ignore[union-attr]
        lambda: registry.families["g"].child("a").set(9),  # type: ignore[union-attr]
        lambda: registry.families["h"].child("a").observe(0.5),  # type: ignore[union-attr]
        lambda: registry.families["h"].child("new").observe(9),  # type: ignore[union-attr]
    ]
    for change in changes:
        change()
        publisher.publish()
        numbers = sheets.read(0)
        assert numbers is not None

        assert parsed(one.render([numbers], Kept())) == parsed(render(registry.snapshot()))


def test_the_whole_catalogue_of_one_worker_is_as_that_worker_says_it(sheets: Sheets) -> None:
    registry = used().registry

    said = parsed(page(sheets, registry).encode())

    own = parsed(render(registry.snapshot()))
    assert said.keys() == own.keys()
    moving = ("process_", "headrace_log_dropped")
    assert {k: v for k, v in said.items() if not k[0].startswith(moving)} == {
        k: v for k, v in own.items() if not k[0].startswith(moving)
    }


NUMBERS = st.integers(0, 2**53) | st.floats(allow_nan=False)


@given(
    workers=st.lists(
        st.tuples(
            st.dictionaries(st.text(max_size=3), st.integers(0, 2**40), max_size=4),
            st.dictionaries(st.text(max_size=3), st.floats(0, 1e9), max_size=4),
            st.lists(st.floats(-10, 10), max_size=5),
        ),
        max_size=4,
    ),
    gone=st.sets(st.integers(0, 3)),
)
def test_however_series_are_spread_the_page_has_their_sums(
    workers: list[tuple[dict[str, int], dict[str, float], list[float]]], gone: set[int]
) -> None:
    sheets = Sheets.make()
    registries = []
    for counters, gauges, observations in workers:
        registry = Registry()
        family = registry.counter("c_total", "help", ("l",))
        for label, count in counters.items():
            family.child(label).inc(count)
        levels = registry.gauge("g", "help", ("l",))
        for label, level in gauges.items():
            levels.child(label).set(level)
        histogram = registry.histogram("h", "help", (-1, 0, 1)).child()
        for value in observations:
            histogram.observe(value)
        registries.append(registry)
    kept, alive = Kept(), []
    for seat, numbers in enumerate(published(sheets, registries)):
        if seat in gone:
            kept.add(numbers)
        else:
            alive.append(numbers)

    said = parsed(Page(sheets.catalogue).render(alive, kept))

    sheets.close()
    sums: dict[str, Number] = {}
    for counters, _, _ in workers:
        for label, count in counters.items():
            sums[label] = sums.get(label, 0) + count
    assert {k[1][0][1]: v for k, v in said.items() if k[0] == "c_total"} == pytest.approx(sums)
    levels_: dict[str, float] = {}
    for seat, (_, gauges, _) in enumerate(workers):
        if seat not in gone:
            for label, level in gauges.items():
                levels_[label] = levels_.get(label, 0) + level
    assert {k[1][0][1]: v for k, v in said.items() if k[0] == "g"} == pytest.approx(levels_)
    observed = sum(len(each) for _, _, each in workers)
    assert said.get(("h_count", ()), 0) == observed
