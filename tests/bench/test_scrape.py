from __future__ import annotations

from bench.scrape import QUICK, Filled, measure


def test_a_scrape_and_what_it_costs_have_their_figures() -> None:
    said: list[str] = []

    found = {one.name: one.value for one in measure(QUICK, said.append)}

    assert said == [f"scrape: {QUICK.workers} workers, {QUICK.deployments} deployments"]
    assert found["scrape_series"] > QUICK.deployments * 25
    assert found["scrape_bytes"] > 0
    assert 0 < found["scrape_share"] < 0.5
    assert found["scrape_slice"] <= found["scrape_copy"] * QUICK.rounds


def test_every_family_with_a_target_is_filled() -> None:
    filled = Filled(3, "0")

    samples = filled.registry.snapshot()

    families = filled.registry.families
    names = [name for name, one in families.items() if "target" in one.labels]
    assert len(names) >= 8
    for name in names:
        found = samples[name]
        assert sum(filled.targets[0] in labels for labels in (*found.values, *found.buckets)), name
