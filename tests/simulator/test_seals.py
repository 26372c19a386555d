"""Sealed state."""

from __future__ import annotations

from proxy.simulator.seals import fits, opened, seal, thought


def test_a_seal_says_what_it_was_made_for() -> None:
    assert opened(seal("answer 7")) == "answer 7"


def test_what_was_altered_or_is_not_ours_does_not_open() -> None:
    whole = seal("answer 7")

    assert [opened(text) for text in (whole[:-4], whole + "AAAA", "x", "", None, "c2lt")] == [
        None
    ] * 6


def test_a_seal_fits_its_thoughts_alone() -> None:
    signature = thought("It rains.")

    assert fits(signature, "It rains.")
    assert not fits(signature, "It rains")
    assert not fits(None, "It rains.")
