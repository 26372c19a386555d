"""One page for all processes: of the living as they are now, of the dead what they had counted."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import orjson
import pytest

from proxy.control import instance as module
from proxy.control.exposition import CONTENT_TYPE
from proxy.control.instance import Instance
from proxy.core.clock import Hands
from proxy.core.series import Registry
from tests.control.test_exposition import parsed


@pytest.fixture
def instance() -> Iterator[Instance]:
    one = Instance(["0", "1", "2", "3", "shipper"], 2)
    yield one
    one.close()


def value(instance: Instance, name: str, **labels: str) -> float | None:
    return parsed(instance.page()).get((name, tuple(sorted(labels.items()))))


def counting(number: int) -> Registry:
    registry = Registry()
    registry.counter("c_total", "help").child().inc(number)
    registry.gauge("g", "help").child().set(number)
    return registry


@contextmanager
def forked(instance: Instance, name: str, registry: Registry) -> Iterator[int]:
    """A process with a loop that publishes; it has done so once. Killed at the end, if it lives."""
    ours, its = os.pipe()
    child = os.fork()
    if not child:

        async def serve() -> None:
            seat = instance.seat(name, registry)
            seat.publish()
            os.write(its, b".")
            await seat.keep()

        asyncio.run(serve())
        os._exit(1)
    os.read(ours, 1)
    os.close(ours)
    os.close(its)
    try:
        yield child
    finally:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def end(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)
    os.waitpid(pid, 0)


def test_the_page_adds_up_all_processes(instance: Instance) -> None:
    with ExitStack() as stack:
        for name, number in (("0", 1), ("1", 10), ("shipper", 100)):
            stack.enter_context(forked(instance, name, counting(number)))

        assert value(instance, "c_total") == 111
        assert value(instance, "g") == 111


def test_numbers_are_as_they_are_when_the_page_is_asked_for(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 10.0)
    registry = Registry()
    asked = 0

    def ask() -> list[tuple[tuple[str, ...], int]]:
        nonlocal asked
        asked += 1
        return [((), asked)]

    registry.gauge("asked", "help").watch(ask)
    with forked(instance, "0", registry):
        first, second = value(instance, "asked"), value(instance, "asked")

    assert first is not None
    assert second is not None
    assert second > first >= 2


def test_a_process_that_is_killed_keeps_what_it_had_counted(instance: Instance) -> None:
    with forked(instance, "0", counting(5)) as pid, forked(instance, "1", counting(1)):
        end(pid)
        instance.died("0", "crash")

        assert value(instance, "c_total") == 6
        assert value(instance, "g") == 1
        assert (
            value(instance, "headrace_process_ends_total", process="worker-0", reason="crash") == 1
        )
        with forked(instance, "0", counting(2)):
            assert value(instance, "c_total") == 8


def test_both_names_of_a_worker_are_one_process_in_metrics(instance: Instance) -> None:
    instance.died("1", "told")
    instance.died("3", "told")

    assert value(instance, "headrace_process_ends_total", process="worker-1", reason="told") == 2
    assert value(instance, "headrace_process_ends_total", process="shipper", reason="crash") == 0


def test_who_dies_again_and_again_is_counted_each_time(instance: Instance) -> None:
    for _ in range(3):
        with forked(instance, "0", counting(5)) as pid:
            end(pid)
            instance.died("0", "crash")

    assert value(instance, "c_total") == 15


def test_a_process_that_does_not_answer_counts_as_it_was_and_is_waited_for_once(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forked(instance, "0", counting(5)) as pid:
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        assert value(instance, "c_total") == 5

        monkeypatch.setattr(module, "PATIENCE", 60.0)  # longer than a test may take
        assert value(instance, "c_total") == 5
        assert value(instance, "headrace_metrics_stale_total", process="worker-0") == 3

        os.kill(pid, signal.SIGCONT)
        monkeypatch.setattr(module, "PATIENCE", 10.0)
        before, now = -1.0, 0.0
        while now > before:  # until it answers again
            found = value(instance, "headrace_metrics_stale_total", process="worker-0")
            assert found is not None
            before, now = now, found


def test_where_there_is_much_to_copy_who_did_so_lately_is_not_asked(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, hands: Hands
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    instance.seat("0", counting(5)).publish()  # and then it hangs

    def stale() -> float | None:
        return value(instance, "headrace_metrics_stale_total", process="worker-0")

    hands.advance(0.1)
    assert stale() == 1
    monkeypatch.setattr(module, "MANY", 2)
    assert stale() == 1
    hands.advance(module.LATELY - 0.2)
    assert stale() == 1
    assert value(instance, "c_total") == 5
    hands.advance(0.2)
    assert stale() == 2


def test_a_process_that_has_published_nothing_is_not_waited_for(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 60.0)

    assert value(instance, "headrace_workers") == 2


def test_the_supervisor_shows_what_it_takes_itself(instance: Instance) -> None:
    assert value(instance, "process_resident_memory_bytes", process="supervisor")
    assert value(instance, "headrace_metrics_page_seconds_count") == 1


def test_the_last_word_of_a_process_is_there_after_its_death(instance: Instance) -> None:
    child = os.fork()
    if not child:
        registry = counting(3)
        instance.seat("2", registry).publish()
        os._exit(0)
    os.waitpid(child, 0)

    instance.died("2", "told")

    assert value(instance, "c_total") == 3


def test_the_answer_is_a_page_of_http(instance: Instance) -> None:
    answer = instance.answer()

    assert answer is not None
    status, kind, body = answer
    assert (status, kind) == (200, CONTENT_TYPE)
    assert b"headrace_workers 2\n" in body


def test_who_asks_does_not_wait_and_asks_again(instance: Instance) -> None:
    seat = instance.seat("0", counting(1))
    seat.publish()

    assert instance.answer() is None
    assert instance.stats() is None
    seat.publish()

    assert instance.answer() is not None
    assert instance.answer() is None  # of another round


def test_who_dies_is_not_waited_for(instance: Instance) -> None:
    instance.seat("0", counting(1)).publish()
    assert instance.answer() is None

    instance.died("0")

    answer = instance.answer()
    assert answer is not None
    assert b"c_total 1\n" in answer[2]


def test_a_death_of_somebody_without_a_seat_is_counted(instance: Instance) -> None:
    instance.died("9", "exit")

    assert value(instance, "headrace_process_ends_total", process="9", reason="exit") == 1


def test_sums_are_of_all_processes_those_that_died_too(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serving(ok: int, inflight: int) -> Registry:
        registry = Registry()
        family = registry.counter("headrace_requests_total", "help", ("route", "status"))
        family.child("/v1", "200").inc(ok)
        family.child("/v2", "503").inc()
        gauge = registry.gauge("headrace_inflight_requests", "help", ("route",))
        gauge.child("/v1").set(inflight)
        tokens = registry.counter("headrace_tokens_total", "help", ("type",))
        tokens.child("input").inc(7)
        return registry

    instance.seat("0", serving(5, 2)).publish()
    instance.seat("1", serving(3, 1)).publish()
    instance.died("1", "crash")
    monkeypatch.setattr(module, "PATIENCE", 0.0)

    assert instance.sums("headrace_requests_total", "status") == {"200": 8, "503": 2}
    assert instance.sums("headrace_inflight_requests", "route") == {"/v1": 2}
    assert instance.sums("unknown", "x") == {}
    stats = instance.stats()
    assert stats is not None
    status, kind, body = stats
    assert (status, kind) == (200, "application/json; charset=utf-8")
    content = orjson.loads(body)
    assert (content["requests"], content["succeeded"], content["failed"]) == (10, 8, 2)
    assert (content["inflight"], content["tokens"]) == (2, {"input": 14})


def test_a_restart_that_came_to_nothing_counts_nothing_twice(instance: Instance) -> None:
    instance.died("1", "told")
    instance.died("9", "exit")

    instance.handed()  # and then there is no room for the new program
    handed = instance.handed()

    told = ("headrace_process_ends_total", {"process": "worker-1", "reason": "told"})
    assert value(instance, told[0], **told[1]) == 1
    after = Instance(["0", "1", "2", "3", "shipper"], 2, handed)
    assert after.sums("headrace_process_ends_total", "reason")["exit"] == 1
    assert value(after, told[0], **told[1]) == 1
