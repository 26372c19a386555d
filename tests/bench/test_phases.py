"""Phases of a request, told by functions of the line itself."""

from __future__ import annotations

from bench.phases import PHASES, PLACES, QUICK, SHOWN, measure
from proxy.gateway import pipeline


def test_each_phase_has_its_time_and_its_bytecodes() -> None:
    before = dict(vars(pipeline))

    found = {one.name: one.value for one in measure(QUICK, lambda _: None)}

    assert dict(vars(pipeline)) == before
    for way in SHOWN:
        codes = {name: found.get(f"codes_{way}_request_{name}", 0.0) for name in PHASES}
        idle = {name for name, number in codes.items() if not number}
        # A whole answer is not relayed; without limits nothing is admitted, without a ledger nothing written down.
        assert idle == ({"relay", "limits", "ledger"} if way == "off" else {"relay"})
        assert sum(codes.values()) == found[f"codes_{way}_request_sum"]
        assert found[f"codes_{way}_token_relay"] > 0
        assert found[f"phases_{way}_request_whole"] > 0
    assert found["codes_limits_request_sum"] > found["codes_off_request_sum"]


def test_every_phase_has_a_place() -> None:
    assert {place.phase for place in PLACES} == set(PHASES)
