"""Edits are plain values: what nobody says is the careful choice."""

from __future__ import annotations

from proxy.control.admin.edits import Create, Delete, Rotate, Update


def test_nothing_is_swept_along_or_overwritten_unasked() -> None:
    assert Delete("provider", "p").cascade is False
    assert Update("key", "k", {}).merge is False
    assert Update("key", "k", {}).if_match is None
    assert Create("key", "k", {}).private is None


def test_an_old_key_is_refused_at_once_unless_it_may_stay() -> None:
    assert (Rotate("k").overlap, Rotate("k").kind) == (0.0, "key")
