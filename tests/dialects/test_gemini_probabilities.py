"""How likely each token was."""

from __future__ import annotations

import pytest

from proxy.dialects.gemini.probabilities import read_probabilities, write_probabilities

RESULT = {
    "chosenCandidates": [
        {"token": "é", "logProbability": -0.5},
        {"token": "x", "logProbability": 0},
    ],
    "topCandidates": [{"candidates": [{"token": "e", "logProbability": -2}]}],
}


def test_a_token_has_its_rivals_and_its_bytes() -> None:
    first, second = read_probabilities(RESULT)

    assert first == {
        "token": "é",
        "logprob": -0.5,
        "bytes": [195, 169],
        "top_logprobs": [{"token": "e", "logprob": -2.0, "bytes": [101]}],
    }
    assert second["top_logprobs"] == []


def test_tokens_come_back() -> None:
    tokens = read_probabilities(RESULT)

    assert read_probabilities(write_probabilities(tokens)) == tokens
    assert "topCandidates" not in write_probabilities(tokens[1:])


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"chosenCandidates": 5},
        {"chosenCandidates": [5, {"token": 1}, {"logProbability": "x"}, {"logProbability": True}]},
    ],
)
def test_odd_values_are_left_out(value: object) -> None:
    assert read_probabilities(value) == []
