from __future__ import annotations

from bench.tracing import QUICK, TRACED, measure


def test_every_way_has_its_figures() -> None:
    said: list[str] = []

    found = {one.name: one for one in measure(QUICK, said.append)}

    assert found.keys() >= {f"tracing_{name}" for name in TRACED}
    assert found.keys() >= {f"tracing_{name}_off" for name in TRACED if name != "off"}
    assert found["tracing_span"].value > 0
    # Two spans for each request that is recorded, and none for any other.
    assert said == ["tracing: 50 spans to encode"]
