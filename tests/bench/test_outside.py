"""Two judges in the same words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import machine, outside, rivals
from bench.load import Latency, Outcome
from bench.outside import TOKENS, Times, of, read
from bench.peers import PeerError, Upstream

if TYPE_CHECKING:
    from pathlib import Path

FREE = machine.Cores(frozenset(), frozenset(), frozenset())
SAID = b"""a bar that moves
{"failed_requests": 0, "time_to_first_token-p50": 0.2, "time_per_output_token-p50": 0.02, "time_to_last_token-p50": 1.46}
"""


def test_the_judge_says_its_medians_in_its_last_line() -> None:
    assert read(SAID) == Times(first=200.0, between=20.0, whole=1460.0)


def test_a_request_of_the_judge_that_failed_is_no_figure() -> None:
    with pytest.raises(PeerError, match="3 requests failed"):
        read(SAID.replace(b'"failed_requests": 0', b'"failed_requests": 3'))


def test_our_outcome_is_said_in_the_same_words() -> None:
    last = 200_000 + 20_000 * (TOKENS - 1)
    outcome = Outcome(first_token=Latency(p50=200_000), latency=Latency(p50=last))

    assert of(outcome) == Times(first=200.0, between=20.0, whole=last / 1e3)


def test_without_the_judge_it_says_how_to_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals, "HOME", tmp_path)

    with pytest.raises(PeerError, match="llmeter is not installed: scripts/bench --install-peers"):
        outside.judge(outside.QUICK, Upstream("127.0.0.1", 9), FREE, lambda _: None)
