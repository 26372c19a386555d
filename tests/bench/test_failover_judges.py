"""What passes, and above all what does not."""

from __future__ import annotations

from typing import Any

import pytest

from bench.failover_judges import JUDGES, Answer, Seen

TEXT = "the water goes down"


def good(**changes: Any) -> Answer:
    fields: dict[str, Any] = {
        "status": 200,
        "text": TEXT,
        "finish": "stop",
        "done": True,
        "usage": {"total_tokens": 9},
        "model": "second",
    }
    return Answer(**(fields | changes))


def seen(*answers: Answer, **changes: Any) -> Seen:
    fields: dict[str, Any] = {
        "answers": list(answers) or [good()],
        "text": TEXT,
        "primary": [0.0],
        "fallback": [1.0],
        "names": ("first", "second"),
        "seconds": 1.0,
        "alive": True,
        "outage": 60.0,
    }
    return Seen(**(fields | changes))


REFUSED = Answer(status=400, error={"message": "no", "code": "content_filter"})

PASSES = {
    "S01": seen(primary=[0.0, 2.0]),
    "S03": seen(primary=[0.0, 0.1]),
    "S13": seen(REFUSED, fallback=[]),
    "S15": seen(good(began=0.0), good(began=80.0, model="first")),
}


@pytest.mark.parametrize("name", JUDGES)
def test_what_should_pass_does(name: str) -> None:
    assert list(JUDGES[name](PASSES.get(name, seen()))) == []


@pytest.mark.parametrize("name", [name for name in JUDGES if name != "S13"])
@pytest.mark.parametrize(
    "answer",
    [
        good(text=TEXT[:-1]),
        good(text=TEXT + " down"),
        good(done=False),
        good(finish=""),
        good(error={"code": "stream_incomplete"}),
        good(broken="ClientPayloadError"),
        good(status=502),
    ],
    ids=["short", "twice", "no end", "no reason", "an error", "broken", "refused"],
)
def test_an_answer_that_is_not_whole_never_passes(name: str, answer: Answer) -> None:
    assert list(JUDGES[name](seen(answer, primary=[0.0, 2.0])))


@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("S01", seen(primary=[0.0])),
        ("S01", seen(primary=[0.0, 0.5])),
        ("S01", seen(primary=[0.0, 1.0, 1.4, 3.0])),
        ("S02", seen(primary=[0.0, 0.1, 0.2, 0.3, 0.4])),
        ("S02", seen(primary=[4.0 * n for n in range(7)])),
        ("S03", seen(primary=[0.0])),
        ("S04", seen(primary=[0.0] * 7)),
        ("S06", seen(primary=[0.0, 12.0])),
        ("S06", seen(seconds=101.0)),
        ("S07", seen(seconds=15.1)),
        ("S09", seen(seconds=46.0)),
        ("S09", seen(alive=False)),
        ("S11", seen(good(usage=None))),
        ("S11", seen(seconds=8.1)),
        ("S12", seen(primary=[0.0, 0.1])),
        ("S13", seen(good())),
        ("S13", seen(REFUSED)),
        ("S13", seen(REFUSED, fallback=[], primary=[0.0, 0.1])),
        ("S13", seen(Answer(status=502, error={"message": "no"}), fallback=[])),
        ("S15", seen(good(began=0.0), good(began=80.0))),
        ("S15", seen(good(began=0.0), good(began=91.0, model="first"))),
        ("S16", seen(good(model="first"))),
        ("S16", seen(good(usage=None))),
    ],
)
def test_what_should_not_pass_does_not(name: str, one: Seen) -> None:
    assert list(JUDGES[name](one))
