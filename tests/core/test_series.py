"""Numbers add up, label sets stay closed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from proxy.core.errors import Cause
from proxy.core.series import Histogram, Kind, Reading, Registry, Rule, Snapshot, label_text


def test_a_child_is_always_the_same_object() -> None:
    family = Registry().counter("c_total", "help", ("a", "b"))

    family.child("1", "2").inc()
    family.child("1", "2").inc(2)

    assert family.child("1", "2").value == 3
    assert family.child("2", "1").value == 0


def test_a_family_without_labels_is_shown_from_the_start() -> None:
    registry = Registry()

    registry.counter("c_total", "help")

    assert registry.snapshot()["c_total"].values == {"": 0}


def test_a_gauge_goes_both_ways() -> None:
    gauge = Registry().gauge("g", "help").child()

    gauge.set(5)
    gauge.inc()
    gauge.dec(2)

    assert gauge.value == 4


@pytest.mark.parametrize(
    ("value", "bucket"), [(-1, 0), (0.1, 0), (0.11, 1), (1, 1), (5, 2), (5.1, 3), (float("inf"), 3)]
)
def test_an_observation_falls_at_or_below_its_bound(value: float, bucket: int) -> None:
    histogram = Histogram((0.1, 1.0, 5.0))

    histogram.observe(value)

    assert histogram.counts.index(1) == bucket
    assert histogram.count == 1
    assert histogram.sum == value


def test_the_wrong_number_of_labels_is_refused() -> None:
    family = Registry().counter("c_total", "help", ("a", "b"))

    with pytest.raises(ValueError, match="got 1 values"):
        family.child("1")


def test_a_full_family_counts_the_rest_as_other() -> None:
    registry = Registry()
    family = registry.counter("c_total", "help", ("model",), cap=3)

    for number in range(100_000):
        family.child(f"model-{number}").inc()

    assert len(family.children()) == 4
    assert family.child("other").value == 99_997
    assert list(registry.overflows()) == [(("c_total",), 99_997)]


def test_a_name_that_was_there_first_stays_when_the_family_is_full() -> None:
    family = Registry().counter("c_total", "help", ("model",), cap=1)
    first = family.child("a")
    family.child("b")

    assert family.child("a") is first


def test_a_member_of_an_enumeration_and_its_text_are_one_label() -> None:
    family = Registry().counter("c_total", "help", ("reason",))

    family.child(Cause.CONNECT).inc()
    family.child("connect").inc()

    assert family.samples().values == {'{reason="connect"}': 2}


def test_label_values_are_escaped() -> None:
    text = label_text(("a", "b"), ('x"\\\n', "\udc80é"))

    assert text == '{a="x\\"\\\\\\n",b="\\\\udc80é"}'


def test_a_source_is_read_at_each_snapshot() -> None:
    registry = Registry()
    numbers = {"a": 1.5}
    registry.gauge("g", "help", ("name",)).watch(lambda: [((n,), v) for n, v in numbers.items()])

    before = registry.snapshot()["g"].values
    numbers.clear()
    numbers["b"] = 2
    after = registry.snapshot()["g"].values

    assert before == {'{name="a"}': 1.5}
    assert after == {'{name="b"}': 2}


def test_a_source_cannot_pass_the_cap() -> None:
    family = Registry().gauge("g", "help", ("name",), cap=2)
    family.watch(lambda: [((str(n),), n) for n in range(10)])

    assert len(family.samples().values) == 2
    assert family.overflowed


def test_a_source_that_fails_is_logged_and_spares_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> Iterable[Reading]:
        raise RuntimeError

    registry = Registry()
    registry.gauge("broken", "help").watch(broken)
    registry.gauge("well", "help").child().set(1)

    snapshot = registry.snapshot()

    assert snapshot["broken"].values == {}
    assert snapshot["well"].values == {"": 1}
    assert "reading broken failed" in caplog.text


def test_a_histogram_cannot_be_read_from_a_source() -> None:
    family = Registry().histogram("h", "help", (1,))

    with pytest.raises(TypeError, match="histogram"):
        family.watch(list)


def test_a_histogram_is_shown_from_its_first_observation() -> None:
    family = Registry().histogram("h", "help", (1, 2), ("a",))
    bound = family.child("x")

    before = family.samples()
    bound.observe(0)
    after = family.samples()

    assert before.values == {}
    assert after.values == {'{a="x"}': 0}
    assert after.buckets == {'{a="x"}': [1, 0, 0]}


def test_a_snapshot_does_not_change_afterwards() -> None:
    registry = Registry()
    histogram = registry.histogram("h", "help", (1,)).child()
    histogram.observe(0.5)

    snapshot = registry.snapshot()
    histogram.observe(0.5)

    assert snapshot["h"].buckets == {"": [1, 0]}


def test_a_snapshot_crosses_a_process_border() -> None:
    registry = Registry()
    registry.counter("c_total", "help", ("a",)).child("x").inc(2)
    registry.gauge("g", "help", rule=Rule.MAX).child().set(0.5)
    registry.histogram("h", "help", (1, 2)).child().observe(1.5)
    snapshot = registry.snapshot()

    sent = msgspec.msgpack.encode(snapshot)

    assert msgspec.msgpack.decode(sent, type=Snapshot) == snapshot
    assert snapshot["g"].kind is Kind.GAUGE


def test_a_name_is_declared_once() -> None:
    registry = Registry()
    registry.counter("c_total", "help")

    with pytest.raises(ValueError, match="twice"):
        registry.gauge("c_total", "help")


@pytest.mark.parametrize("name", ["", "9a", "a-b", "a b", "é", 'a"'])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        Registry().counter(name, "help")
    with pytest.raises(ValueError, match="no name"):
        Registry().counter("c_total", "help", (name,))


@pytest.mark.parametrize("bounds", [(), (2, 1), (1, 1)])
def test_bounds_must_rise(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rise"):
        Registry().histogram("h", "help", bounds)
