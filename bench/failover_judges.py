"""What passes in each scenario of `failover.py`: every function yields its complaints, and none is a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct


class Answer(Struct):
    """What a caller got of one request."""

    status: int = 0
    text: str = ""
    finish: str = ""
    done: bool = False
    usage: dict[str, Any] | None = None
    model: str = ""
    error: Any = None
    broken: str = ""
    """The connection ended before the message did: the client's error."""
    began: float = 0.0
    seconds: float = 0.0


class Seen(Struct, frozen=True):
    """What there is to be judged."""

    answers: list[Answer]
    text: str
    """What a whole answer says."""
    primary: list[float]
    """When the failing model was asked: monotonic seconds."""
    fallback: list[float]
    names: tuple[str, str]
    """Of the two models, as the provider knows them."""
    seconds: float
    alive: bool
    outage: float


Judge = Callable[[Seen], Iterator[str]]


def whole(seen: Seen) -> Iterator[str]:
    """Every answer is complete, to the letter, and ends as one that is."""
    for answer in seen.answers:
        if answer.status != 200:
            yield f"status {answer.status}: {answer.error}"
        elif answer.error is not None or answer.broken:
            yield f"an error in the stream: {answer.error or answer.broken}"
        elif answer.text != seen.text:
            yield f"{len(answer.text)} characters that are not the answer's {len(seen.text)}"
        elif not answer.finish or not answer.done:
            yield "no clean end"
    if not seen.alive:
        yield "the proxy is not well afterwards"


def waited(seen: Seen) -> Iterator[str]:
    """S01: the model that was asked for is asked again, no sooner than it said."""
    yield from whole(seen)
    times = seen.primary
    if len(times) < 2:
        yield f"the primary was asked {len(times)} times"
    elif times[1] - times[0] < 1.8:
        yield f"asked again after {times[1] - times[0]:.2f} s"
    if sum(time - times[0] <= 1.5 for time in times) > 2:
        yield "hurried"


def patient(seen: Seen) -> Iterator[str]:
    """S02: somebody who is limited is not pressed."""
    yield from whole(seen)
    yield from at_most(6)(seen)
    soon = sum(time - seen.primary[0] <= 3.0 for time in seen.primary)
    if soon > 4:
        yield f"asked {soon} times in 3 s"


def again(seen: Seen) -> Iterator[str]:
    """S03: one slip is forgiven."""
    yield from whole(seen)
    if len(seen.primary) < 2:
        yield "the primary was not asked again"


def at_most(count: int) -> Judge:
    """Not hammered."""

    def judge(seen: Seen) -> Iterator[str]:
        if len(seen.primary) > count:
            yield f"the primary was asked {len(seen.primary)} times"

    return judge


def within(seconds: float) -> Judge:
    def judge(seen: Seen) -> Iterator[str]:
        if seen.seconds > seconds:
            yield f"took {seen.seconds:.1f} s"

    return judge


def counted(seen: Seen) -> Iterator[str]:
    """Usage was told."""
    if any(not answer.usage for answer in seen.answers):
        yield "no usage"


def refused(seen: Seen) -> Iterator[str]:
    """S13: a refusal for what was said is the caller's to know, and nobody else's to answer."""
    (answer,) = seen.answers
    if not 400 <= answer.status < 500 or not answer.error or answer.error == "not JSON":
        yield f"no clean error: status {answer.status}, {answer.error}"
    if len(seen.primary) != 1:
        yield f"the primary was asked {len(seen.primary)} times"
    if seen.fallback:
        yield "routed around the refusal"


def returned(seen: Seen) -> Iterator[str]:
    """S15: everybody is served, and the primary is used again soon after it is well."""
    yield from whole(seen)
    began = seen.answers[0].began
    back = [one.began - began for one in seen.answers if one.model == seen.names[0]]
    if not back:
        yield "the primary was never used again"
    elif back[0] - seen.outage > 30.0:
        yield f"the primary was back {back[0] - seen.outage:.1f} s late"


def told(seen: Seen) -> Iterator[str]:
    """S16: the answer says who gave it."""
    for answer in seen.answers:
        if answer.model != seen.names[1]:
            yield f"said to be of {answer.model}"


def all_of(*judges: Judge) -> Judge:
    def judge(seen: Seen) -> Iterator[str]:
        for one in judges:
            yield from one(seen)

    return judge


JUDGES: Mapping[str, Judge] = {
    "S01": waited,
    "S02": patient,
    "S03": again,
    "S04": all_of(whole, at_most(6)),
    "S05": whole,
    "S06": all_of(whole, at_most(1), within(100.0)),
    "S07": all_of(whole, within(15.0)),
    "S08": whole,
    "S09": all_of(whole, within(45.0)),
    "S10": whole,
    "S11": all_of(whole, counted, within(8.0)),
    "S12": all_of(whole, at_most(1)),
    "S13": refused,
    "S14": whole,
    "S15": returned,
    "S16": all_of(whole, counted, told, at_most(6)),
}
