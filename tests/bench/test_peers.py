"""Starting and stopping: failures say why, and nothing is left running."""

from __future__ import annotations

import shlex
import socket
import sys

import pytest

from bench import machine, peers
from bench.peers import PeerError, Upstream

FREE = machine.Cores(frozenset(), frozenset(), frozenset())
UPSTREAM = Upstream("127.0.0.1", 9)
SERVER = """
import socket, subprocess, sys
child = subprocess.Popen(["sleep", "1000"])
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        server.accept()[0].close()
"""


def python(code: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"


def test_a_command_is_a_peer_while_it_runs_and_gone_with_its_children() -> None:
    with peers.command("other", python(SERVER) + " {port}", UPSTREAM, FREE) as peer:
        assert peer.pid is not None
        members = machine.tree(peer.pid)
        with socket.create_connection((peer.host, peer.port)):
            pass

    assert len(members) == 2
    assert not any(machine.is_alive(pid) for pid in members)


def test_a_command_that_ends_says_its_last_words() -> None:
    code = "import sys; sys.exit('no such model')"

    with (
        pytest.raises(PeerError, match=r"(?s)ended with 1.*no such model"),
        peers.command("other", python(code), UPSTREAM, FREE),
    ):
        pass


def test_a_command_that_does_not_exist_is_named() -> None:
    with (
        pytest.raises(PeerError, match="no-such-program"),
        peers.command("other", "no-such-program", UPSTREAM, FREE),
    ):
        pass


def test_a_target_may_name_its_path_and_process() -> None:
    with peers.target("mine", "http://127.0.0.1:8123/openai/chat", 42, "sk-1") as peer:
        assert (peer.host, peer.port, peer.path, peer.pid, peer.key) == (
            "127.0.0.1",
            8123,
            "/openai/chat",
            42,
            "sk-1",
        )


def test_a_target_without_a_path_is_asked_for_chat() -> None:
    with peers.target("mine", "http://127.0.0.1:8123/", None, "sk-1") as peer:
        assert peer.path == peers.PATH


@pytest.mark.skipif(peers.nginx_program() is None, reason="nginx is not installed")
def test_nginx_starts_with_our_configuration() -> None:
    with peers.nginx(UPSTREAM, FREE) as peer, socket.create_connection((peer.host, peer.port)):
        assert peer.pid is not None
