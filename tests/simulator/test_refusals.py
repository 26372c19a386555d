"""Answers that say no, and when to come back."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.simulator.raw import Simulator


def test_a_redirect_goes_where_the_request_says(sim: Simulator) -> None:
    answer = sim.post(
        "/v1/chat/completions", {"model": "sim-302"}, **{"x-sim-location": "http://other/"}
    )

    assert (answer.status, answer.header("location")) == (302, "http://other/")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("ra2", {"retry-after": ["2"]}),
        ("ra-5", {"retry-after": ["-5"]}),
        ("ra1e12", {"retry-after": ["1e12"]}),
        ("rasoon", {"retry-after": ["soon"]}),
        ("rams300", {"retry-after-ms": ["300"]}),
        ("ratwo", {"retry-after": ["1", "4"]}),
        ("ra1-rams20", {"retry-after": ["1"], "retry-after-ms": ["20"]}),
        ("rareset6m0s", {"x-ratelimit-reset-requests": ["6m0s"]}),
    ],
)
def test_a_refusal_says_when_to_come_back(
    sim: Simulator, words: str, wanted: dict[str, list[str]]
) -> None:
    answer = sim.post("/v1/chat/completions", {"model": f"sim-429-{words}"})

    for name, values in wanted.items():
        assert [value for key, value in answer.headers if key == name] == values


@pytest.mark.parametrize("skew", [0, 3600, -3600])
def test_a_date_to_come_back_is_relative_to_the_date_of_the_answer(
    sim: Simulator, skew: int
) -> None:
    true = sim.post("/v1/messages", {"model": "sim-429"})
    answer = sim.post("/v1/messages", {"model": f"sim-429-radate+3-raskew{skew}"})

    def moment(text: str | None) -> float:
        assert text is not None
        return parsedate_to_datetime(text).timestamp()

    date = moment(answer.header("date"))
    assert moment(answer.header("retry-after")) - date in (3, 4)
    assert abs(date - moment(true.header("date")) - skew) < 60


def test_gemini_says_when_to_come_back_in_the_body(sim: Simulator) -> None:
    answer = sim.post("/v1beta/models/sim-429-rainfo22s:generateContent", {})

    assert answer.json()["error"]["details"][0]["retryDelay"] == "22s"
