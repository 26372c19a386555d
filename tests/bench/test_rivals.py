"""Other people's proxies: what is not there is left out and said, what is there is asked as it wants to be."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from bench import machine, measure, peers, rivals
from bench.__main__ import main
from bench.load import Load, request_bytes
from bench.rivals import RIVALS, Rival

FREE = machine.Cores(frozenset(), frozenset(), frozenset())
RELAY = str(peers.ROOT / "bench" / "relay.py")


@pytest.fixture
def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A rival that is there: our own bare relay, as a program of an environment."""
    monkeypatch.setattr(rivals, "HOME", tmp_path)
    one = Rival(
        ("relay==1.0",),
        "start",
        "{port} {upstream}",
        ("request",),
        headers=("x-to: {upstream}/v1",),
    )
    monkeypatch.setattr(rivals, "RIVALS", {"relay": one})
    (tmp_path / "relay").mkdir()
    program = tmp_path / "relay" / "start"
    program.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(RELAY)} $*\n")
    program.chmod(0o755)
    return "relay"


def test_it_is_ready_once_it_has_passed_a_request_on(relay: str) -> None:
    with peers.simulator(FREE) as upstream, rivals.rival(relay, upstream, FREE) as peer:
        outcome = measure.run(Load(model="sim-n2-d0-f0-s4", seconds=0.05, warm=0.05), peer, FREE)

    assert outcome.requests > 0
    assert outcome.errors == 0
    assert peer.headers == (f"x-to: http://127.0.0.1:{upstream.port}/v1",)


def test_it_is_there_in_the_version_that_the_table_has(relay: str) -> None:
    mark = rivals.home(relay) / "installed"

    assert rivals.left_out(["nginx", relay]) == [relay]
    mark.write_text("relay==0.9")
    assert rivals.left_out(["nginx", relay]) == [relay]
    mark.write_text("relay==1.0")
    assert rivals.left_out(["nginx", relay]) == []


def test_who_is_not_installed_is_left_out_with_a_word_how_to_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rivals, "HOME", tmp_path)

    assert main(["--peers", "litellm", "--upstream", "127.0.0.1:9"]) == 1

    said = capsys.readouterr().err
    assert "litellm is left out: scripts/bench --install-peers has it installed" in said


def test_versions_are_pinned() -> None:
    assert all(one.version[0].isdigit() for one in RIVALS.values())
    assert rivals.takes_part("nginx", "many")
    assert not rivals.takes_part("litellm", "held")


def test_lines_of_a_rival_are_in_the_head_of_its_requests() -> None:
    head, _, _ = request_bytes(Load(model="sim", headers=["x-to: there"])).partition(b"\r\n\r\n")

    assert head.endswith(b"\r\nx-to: there")


def test_one_whose_client_is_not_there_keeps_no_other_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals, "HOME", tmp_path)
    monkeypatch.setattr(
        rivals, "RIVALS", {name: Rival((name,), "x", "", (), is_npm=True) for name in ("a", "b")}
    )
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(peers.PeerError, match=r"(?s)a could not .*: npm: No such.*\nb could not"):
        rivals.install(["a", "b"], lambda line: None)

    assert rivals.left_out(["a", "b"]) == ["a", "b"]
