"""Those beside the workers count under names of their own, and with labels that are closed."""

from __future__ import annotations

from proxy.core.metrics import Metrics
from proxy.core.metrics_beside import Shipping, Supervision
from proxy.core.series import Registry


def families(registry: Registry) -> dict[str, tuple[object, ...]]:
    return {
        name: (one.kind, one.help, one.rule, one.labels, one.bounds)
        for name, one in registry.families.items()
    }


def test_a_family_that_several_have_is_the_same_for_all() -> None:
    worker, supervisor, shipper = (
        families(one.registry) for one in (Metrics(), Supervision(2), Shipping("shipper"))
    )

    for one, two in ((worker, supervisor), (worker, shipper), (supervisor, shipper)):
        both = one.keys() & two.keys()
        assert "process_cpu_seconds_total" in both
        assert {name: one[name] for name in both} == {name: two[name] for name in both}


def test_each_says_which_process_it_is() -> None:
    for registry, name in (
        (Metrics("3").registry, "worker-3"),
        (Supervision(2).registry, "supervisor"),
        (Shipping("shipper").registry, "shipper"),
    ):
        assert list(registry.snapshot()["process_max_fds"].values) == [f'{{process="{name}"}}']


def test_how_many_workers_there_should_be_is_known() -> None:
    assert Supervision(7).registry.snapshot()["headrace_workers"].values == {"": 7}
