"""What is counted is read as it is, under the names of the conventions where they have one."""

from __future__ import annotations

from proxy.core.metrics import Metrics
from proxy.core.series import Kind, Registry
from proxy.telemetry.measures import LABELS, NAMES, Measure, Point, read


def test_every_kind_is_read() -> None:
    registry = Registry()
    registry.counter("a_total", "A.", ("model", "other")).child("m", "x").inc(3)
    registry.gauge("b_bytes", "B.").child().set(1.5)
    family = registry.histogram("c_seconds", "C.", (0.1, 1.0), ("provider",))
    family.child("p").observe(0.5)
    family.child("p").observe(7)
    family.child("q")  # bound by a request that never fed it
    registry.counter("d_total", "D.", ("target",)).watch(lambda: [(("t",), 2)])
    registry.counter("e_total", "E.", ("target",))  # nothing by now

    assert read(registry) == [
        Measure("a_total", "A.", "1", Kind.COUNTER, (), (Point({"gen_ai.request.model": "m", "other": "x"}, 3),)),
        Measure("b_bytes", "B.", "By", Kind.GAUGE, (), (Point({}, 1.5),)),
        Measure("c_seconds", "C.", "s", Kind.HISTOGRAM, (0.1, 1.0), (Point({"gen_ai.provider.name": "p"}, 7.5, (0, 1, 1)),)),
        Measure("d_total", "D.", "1", Kind.COUNTER, (), (Point({"headrace.deployment": "t"}, 2),)),
    ]  # fmt: skip


def test_what_is_renamed_exists_and_is_a_histogram() -> None:
    families = Metrics().registry.families

    assert {families[name].kind for name in NAMES} == {Kind.HISTOGRAM}
    assert {label for family in families.values() for label in family.labels} >= LABELS.keys()
