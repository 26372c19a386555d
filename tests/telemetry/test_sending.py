"""Spans on their way: in order, in batches, lost with a count, and never waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from proxy.core.series import Kind
from proxy.core.span import Content, Span
from proxy.telemetry.measures import Measure
from proxy.telemetry.sending import MOST_SAID, Counts, Sender
from proxy.telemetry.wanted import Wanted


class Place:
    """An exporter that is told when to let go."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.measured: list[list[str]] = []
        self.results: list[bool | Exception] = []
        """Of the batches to come; then True. An exception is raised."""
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)
        self.stopped = threading.Event()

    def send(self, spans: Sequence[Span]) -> bool:
        self.entered.release()
        self.open.wait(10)
        self.batches.append([one.name for one in spans])
        return self._result()

    def measure(self, measures: Sequence[Measure]) -> bool:
        self.entered.release()
        self.open.wait(10)
        self.measured.append([one.name for one in measures])
        return self._result()

    def _result(self) -> bool:
        result = self.results.pop(0) if self.results else True
        if isinstance(result, Exception):
            raise result
        return result

    def stop(self) -> None:
        self.stopped.set()
        self.open.set()

    @property
    def names(self) -> list[str]:
        return [name for batch in self.batches for name in batch]


Start = Callable[..., Sender]


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def start(place: Place, counts: Counts) -> Iterator[Start]:
    senders: list[Sender] = []

    def begin(queue: int = 8, batch: int = 2, pause: float = 0.001) -> Sender:
        wanted = Wanted(None, {}, 1.0, True, None, 0, queue, batch, pause)
        senders.append(Sender(wanted, counts, lambda _wanted: place))
        return senders[-1]

    yield begin
    place.open.set()
    for sender in senders:
        sender.close()


def span(name: str) -> Span:
    return Span(name, True, "1" * 32, "2" * 16, "", False, 1, "", 0.0, 1.0, False, {})


def test_what_waits_with_spans_has_an_end(start: Start, place: Place) -> None:
    place.open.clear()
    sender = start(queue=1000, batch=8)
    part = MOST_SAID // 20
    spans = [span(str(number)) for number in range(100)]
    for one in spans:
        one.content = Content(bytes(part), "said", "stop", 10)
    sender.put([spans[0]])
    assert place.entered.acquire(timeout=10)

    sender.put(spans[1:])
    held = sum(one.content is not None for one in spans)
    place.open.set()
    sender.close()

    assert held == 20
    assert place.names == [one.name for one in spans]


def test_there_is_room_again_once_they_are_sent(start: Start, place: Place) -> None:
    sender = start(queue=1000, batch=8)
    for number in range(10):
        one = span(str(number))
        one.content = Content(bytes(MOST_SAID // 2), "said", "stop", 10)
        sender.put([one])
        assert place.entered.acquire(timeout=10)
        sender.measure(
            [Measure("a", "", "1", Kind.COUNTER, (), ())]
        )  # follows when the others are sent
        assert place.entered.acquire(timeout=10)
        assert one.content is not None


def test_spans_arrive_in_their_order_and_none_twice(
    start: Start, place: Place, counts: Counts
) -> None:
    sender = start(queue=100)

    for number in range(0, 20, 2):
        sender.put([span(str(number)), span(str(number + 1))])
    sender.close()

    assert place.names == [str(number) for number in range(20)]
    assert all(len(batch) <= 2 for batch in place.batches)
    assert (counts.sent, counts.failed, counts.dropped) == (20, 0, 0)
    assert place.stopped.is_set()


def test_what_does_not_fit_is_dropped_whole_and_counted(
    start: Start, place: Place, counts: Counts
) -> None:
    place.open.clear()
    sender = start(queue=4)

    sender.put([span("a"), span("b")])
    assert place.entered.acquire(timeout=10)  # these two are on their way
    sender.put([span("c"), span("d"), span("e")])
    sender.put([span("f"), span("g")])
    sender.put([span("h")])
    place.open.set()
    sender.close()

    assert place.names == ["a", "b", "c", "d", "e", "h"]
    assert counts.dropped == 2


def test_what_the_collector_refuses_is_counted_and_said_once(
    start: Start, place: Place, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    place.results = [False] * 4
    sender = start(batch=1, pause=600.0)

    sender.put([span("a")])
    sender.put([span("b"), span("c"), span("d")])
    sender.close()

    assert counts.failed == 4
    assert [record.message for record in caplog.records] == [
        "the collector does not take spans: they are lost, and counted"
    ]


def test_it_is_said_when_the_collector_is_back(
    start: Start, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    place.results = [False, True]
    sender = start()
    sender.put([span("a"), span("b")])
    sender.put([span("c"), span("d")])
    sender.close()

    assert "the collector takes spans again" in caplog.text


def test_what_cannot_be_made_costs_its_batch_and_nothing_else(
    start: Start, place: Place, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    place.results = [RecursionError("too deep"), ValueError("too odd")]
    sender = start(batch=1)

    sender.put([span("a"), span("b"), span("c")])
    sender.close()

    assert (counts.sent, counts.failed) == (1, 2)
    assert caplog.text.count("cannot be sent") == 1
    assert "RecursionError: too deep" in caplog.text


def test_a_reading_that_cannot_be_made_costs_nothing_else(
    start: Start, place: Place, counts: Counts
) -> None:
    place.results = [ValueError("too odd")]
    sender = start(pause=600.0)
    reading = [Measure("a", "", "1", Kind.COUNTER, (), ())]

    sender.measure(reading)
    assert place.entered.acquire(timeout=10)
    sender.put([span("a"), span("b")])
    sender.measure(reading)
    sender.close()

    assert counts.sent == 2
    assert len(place.measured) == 2


def test_of_what_is_counted_the_last_reading_is_sent(start: Start, place: Place) -> None:
    place.open.clear()
    sender = start()
    sender.put([span("a"), span("b")])
    assert place.entered.acquire(timeout=10)

    for name in ("old", "new"):
        sender.measure([Measure(name, "", "1", Kind.COUNTER, (), ())])
    place.open.set()
    sender.close()

    assert place.measured == [["new"]]


def test_the_reading_of_the_end_is_sent_also_behind_another_one(start: Start, place: Place) -> None:
    place.open.clear()
    sender = start()
    sender.measure([Measure("old", "", "1", Kind.COUNTER, (), ())])
    assert place.entered.acquire(timeout=10)  # on its way

    sender.measure([Measure("last", "", "1", Kind.COUNTER, (), ())])
    sender.refuse()
    place.open.set()
    sender.close()

    assert place.measured == [["old"], ["last"]]


def test_a_collector_that_takes_spans_alone_is_told_of_once(
    start: Start, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    place.results = [True, False] * 3
    sender = start(batch=1, pause=600.0)

    for name in "abc":
        sender.put([span(name)])
        assert place.entered.acquire(timeout=10)
        sender.measure([Measure("a", "", "1", Kind.COUNTER, (), ())])
        assert place.entered.acquire(timeout=10)
    sender.close()

    assert [record.message for record in caplog.records] == [
        "the collector does not take metrics: the next it takes have what is missing"
    ]


def test_closing_does_not_wait_for_a_collector_that_does_not_answer(
    start: Start, place: Place
) -> None:
    place.open.clear()
    sender = start()
    sender.put([span("a"), span("b")])
    assert place.entered.acquire(timeout=10)

    sender.close(timeout=0.01)

    # What was being sent has been told to give up.
    assert place.stopped.is_set()


def test_what_comes_when_it_is_closed_is_dropped_and_counted(
    start: Start, place: Place, counts: Counts
) -> None:
    sender = start()
    sender.put([span("a"), span("b")])

    sender.refuse()
    sender.put([span("c"), span("d")])
    sender.close()
    sender.put([span("e")])

    assert place.names == ["a", "b"]
    assert (counts.sent, counts.failed, counts.dropped) == (2, 0, 3)


def test_an_exporter_that_cannot_be_made_costs_spans_and_nothing_else(
    counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_wanted: Wanted) -> Place:
        raise ValueError("OTEL_EXPORTER_OTLP_COMPRESSION: what is that?")

    sender = Sender(Wanted(None, {}, 1.0, True, None, 0), counts, broken)
    sender.put([span("a")])
    sender.close()

    assert counts.dropped == 1
    assert "no spans are sent: OTEL_EXPORTER_OTLP_COMPRESSION" in caplog.text
