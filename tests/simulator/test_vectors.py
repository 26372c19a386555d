"""Embedding vectors."""

from __future__ import annotations

from proxy.simulator.vectors import vector


def test_vectors_are_stable_distinct_and_short() -> None:
    assert vector(0, 8) == vector(0, 8)
    assert vector(0, 8) != vector(1, 8)
    assert len(vector(3, 1536)) == 1536
    assert sum(value * value for value in vector(3, 1536)) < 1.01
