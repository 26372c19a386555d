"""What those see who watch an instance: the same from one process and from several."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from proxy.control.instance import Instance
from proxy.control.sampling import BUCKETS, PARTS, OfRegistry, Sample
from proxy.core.metrics import OVERHEAD, TTFT, Metrics

WORKERS = ("0", "1")


def busy(times: int = 1) -> Metrics:
    """A process that has answered some requests."""
    metrics = Metrics()
    metrics.allow({"m", 'odd"name'}, {"p"}, {"m/0:p"})
    for model in ("m", 'odd"name'):
        bundle = metrics.exchange("/v1/chat/completions", model, "p", stream=True)
        for _ in range(times):
            bundle.finish(200, 1.0, ttft=0.2, overhead=0.001)
            bundle.finish(503, 1.0)
            bundle.finish(429, 0.1)
            bundle.finish(499, 0.1)
            bundle.count_tokens(10, 20, cached_input=5)
            bundle.count_cost(500_000)
        bundle.inflight.set(3)
    attempts = metrics.attempts("m", "m/0:p", "p")
    for outcome in ("retry", "switch", "switch", "fallback"):
        attempts.count(outcome, "overloaded")
    return metrics


@pytest.fixture
def instance() -> Iterator[Instance]:
    one = Instance([*WORKERS, "shipper"], len(WORKERS))
    yield one
    one.close()


def seen(instance: Instance) -> Sample:
    while (said := instance.live()) is None:
        pass
    return msgspec.json.decode(said[2], type=Sample)


def test_a_process_says_what_it_counts() -> None:
    sample = OfRegistry(busy().registry).sample(7.0)

    assert sample.at == 7.0
    assert sample.requests == {"succeeded": 2, "failed": 2, "refused": 2, "client_gone": 2}
    assert sample.tokens["input"] == 20
    assert sample.tokens["cached_input"] == 10
    assert sample.tokens["output"] == 40
    assert (sample.inflight, sample.cost) == (3, 1.0)
    assert (sample.retries, sample.failovers, sample.fallbacks) == (1, 2, 1)
    assert sample.ttft[TTFT.index(0.2)] == sum(sample.ttft) == 2
    assert sample.overhead[OVERHEAD.index(0.001)] == sum(sample.overhead) == 2


def test_what_comes_later_is_counted_too() -> None:
    metrics = busy()
    sampler = OfRegistry(metrics.registry)
    before = sampler.sample(1.0)
    bundle = metrics.exchange("/v1/messages", "m", "p", stream=False)
    bundle.finish(200, 1.0, ttft=0.2)
    after = sampler.sample(2.0)

    assert after.requests["succeeded"] - before.requests["succeeded"] == 1
    assert sum(after.ttft) - sum(before.ttft) == 1


def test_several_processes_are_added_up_and_dead_ones_kept(instance: Instance) -> None:
    one, two = (
        instance.seat(name, busy(times).registry)
        for name, times in zip(WORKERS, (1, 2), strict=True)
    )
    one.publish()
    two.publish()
    instance.died("1")
    again = busy()
    instance.seat("1", again.registry).publish()

    found = seen(instance)
    expected = OfRegistry(busy().registry).sample(0.0)
    assert found.requests == {name: 4 * number for name, number in expected.requests.items()}
    assert found.tokens == {name: 4 * number for name, number in expected.tokens.items()}
    assert found.ttft == [4 * number for number in expected.ttft]
    assert found.overhead == [4 * number for number in expected.overhead]
    assert found.failovers == 3 * expected.failovers
    assert found.inflight == 2 * expected.inflight, "the dead are not serving"


def test_whoever_asks_in_the_same_moment_is_told_the_same(instance: Instance) -> None:
    metrics = busy()
    seat = instance.seat("0", metrics.registry)
    seat.publish()
    first = seen(instance)
    metrics.exchange("/v1/chat/completions", "m", "p", stream=True).finish(200, 1.0)
    seat.publish()

    assert seen(instance) == first


def test_nothing_is_told_of_what_nobody_counted(instance: Instance) -> None:
    found = seen(instance)

    assert found == Sample(found.at)


def test_every_part_is_of_a_family_there_is() -> None:
    families = Metrics().registry.families

    assert {one.family for one in PARTS.values()} <= set(families)
    assert all(families[PARTS[name].family].bounds for name in BUCKETS)
    assert {*PARTS, "at"} == set(Sample.__struct_fields__)
