"""Steering words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.simulator.faults import FAULTS
from proxy.simulator.grammar import Steer, parse

DEFAULT = Steer()


def changes(text: str) -> dict[str, Any]:
    """What a text asks for beyond the default."""
    steer = parse(text, FAULTS)
    fields = Steer.__struct_fields__
    return {
        name: getattr(steer, name)
        for name in fields
        if getattr(steer, name) != getattr(DEFAULT, name)
    }


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt-4o-2024-08-06",
        "o4-mini",
        "claude-sonnet-4-5-20250929",
        "gemini-2.5-flash-preview-05-20",
        "meta-llama/Llama-3.1-405B-Instruct",
        "text-embedding-3-small",
        "deepseek-r1-distill-qwen-32b",
        "sim-id503x2",
        "sim-x9-hello",
    ],
)
def test_a_real_name_asks_for_nothing(name: str) -> None:
    assert changes(name) == {}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sim-n20-d5-chunk_fin", {"tokens": 20, "gap": 0.005, "fault": "chunk_fin"}),
        ("sim-d0.5-f1500-s40-t", {"gap": 0.0005, "first": 1.5, "pad": 40, "stamp": True}),
        ("team/sim-n3/tool2-think", {"tokens": 3, "tools": 2, "think": True}),
        ("tool", {"tools": 1}),
        ("tool2-rounds3", {"tools": 2, "rounds": 3}),
        ("think-redact-signed", {"think": True, "redact": True, "signed": True}),
        ("strict-look-cite", {"strict": True, "look": True, "cite": True}),
        ("refuse-stop", {"refuse": True, "stop": True}),
        ("sim-in1000-cached900-length", {"input": 1000, "cached": 900, "length": True}),
        ("503x2", {"fault": "503", "times": 2}),
        ("1xx", {"fault": "1xx"}),
        ("1xxx3", {"fault": "1xx", "times": 3}),
        ("after1_close_now", {"fault": "close_now", "after": 1}),
        ("after2_500x1", {"fault": "500", "after": 2, "times": 1}),
        ("event10M-at3", {"fault": "event", "size": 10, "at": 3}),
        ("rst-k0", {"fault": "rst", "cut": 0}),
        ("split1-crlf", {"split": 1, "fault": "crlf"}),
        ("429-ra2", {"fault": "429", "hints": (("ra", "2"),)}),
        ("429-ra-5-n2", {"fault": "429", "hints": (("ra", "-5"),), "tokens": 2}),
        ("429-raskew-3600", {"fault": "429", "hints": (("raskew", "-3600"),)}),
        ("429-rams300-ratwo", {"fault": "429", "hints": (("rams", "300"), ("ratwo", ""))}),
        ("429-radate+3", {"fault": "429", "hints": (("radate", "+3"),)}),
    ],
)
def test_words_mean_what_the_page_says(text: str, wanted: dict[str, Any]) -> None:
    assert changes(text) == wanted


@given(st.text(), st.lists(st.sampled_from([*FAULTS, "n3", "d1", "ra", "x2", "after1_"])))
def test_any_text_can_be_read(text: str, words: list[str]) -> None:
    steer = parse("-".join([text, *words]), FAULTS)

    assert steer.fault in FAULTS
