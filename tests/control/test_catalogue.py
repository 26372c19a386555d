"""Whoever reads the same log gives every series the same place."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.catalogue import Catalogue, Declared, Entry, Place, Series
from proxy.core.series import Kind, Rule

COUNTER = Declared("c_total", Kind.COUNTER, "help", Rule.SUM, ())
GAUGE = Declared("g", Kind.GAUGE, "help", Rule.MAX, ())
HISTOGRAM = Declared("h", Kind.HISTOGRAM, "help", Rule.SUM, (0.5, 1.0))


def read(*entries: Entry) -> Catalogue:
    catalogue = Catalogue()
    for entry in entries:
        catalogue.learn(entry)
    return catalogue


def test_places_of_each_kind_are_counted_by_themselves() -> None:
    catalogue = read(
        COUNTER,
        GAUGE,
        HISTOGRAM,
        Series("h", '{a="1"}'),
        Series("g", ""),
        Series("c_total", ""),
        Series("h", '{a="2"}'),
    )

    assert catalogue.series == {
        "c_total": {"": Place(1, 3)},
        "g": {"": Place(0)},
        "h": {'{a="1"}': Place(0, 0), '{a="2"}': Place(2, 3)},
    }
    assert (catalogue.counts, catalogue.totals, catalogue.levels) == (6, 3, 1)


def test_what_is_learnt_twice_has_one_place() -> None:
    catalogue = read(COUNTER, Series("c_total", ""), COUNTER, Series("c_total", ""))

    assert catalogue.totals == 1


def test_what_is_not_in_the_log_has_no_place() -> None:
    catalogue = read(COUNTER)

    assert catalogue.find("c_total", "") is None
    assert catalogue.find("unknown", "") is None
    assert not catalogue.knows(Series("c_total", ""))
    assert not catalogue.knows(GAUGE)
    assert catalogue.knows(COUNTER)


@given(
    st.lists(
        st.sampled_from([COUNTER, GAUGE, HISTOGRAM])
        | st.builds(Series, st.sampled_from(["c_total", "g", "h"]), st.text(max_size=3))
    )
)
def test_no_place_is_given_twice(entries: list[Entry]) -> None:
    catalogue = read(COUNTER, GAUGE, HISTOGRAM, *entries)

    totals: list[int] = []
    counts: list[int] = []
    levels: list[int] = []
    for name, series in catalogue.series.items():
        for place in series.values():
            (levels if name == "g" else totals).append(place.number)
            if name == "h":
                counts += range(place.counts, place.counts + 3)
    assert sorted(totals) == list(range(catalogue.totals))
    assert sorted(counts) == list(range(catalogue.counts))
    assert sorted(levels) == list(range(catalogue.levels))


def test_an_entry_crosses_a_process_border() -> None:
    entries: list[Entry] = [HISTOGRAM, Series("h", '{a="ü"}')]

    sent = msgspec.msgpack.encode(entries)

    assert msgspec.msgpack.decode(sent, type=list[Entry]) == entries
