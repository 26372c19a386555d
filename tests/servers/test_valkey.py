"""The server of the tests does what tests ask of it."""

from __future__ import annotations

from tests.servers.valkey import ValkeyServer


def test_one_that_was_started_again_is_empty_and_on_the_same_port(valkey: ValkeyServer) -> None:
    port = valkey.port
    assert valkey.command("SET", "here", "1") == b"+OK"

    valkey.kill()
    assert not valkey.running
    assert not valkey.answers()
    valkey.start()

    assert valkey.port == port
    assert valkey.command("EXISTS", "here") == b":0"


def test_a_frozen_server_says_nothing_until_it_thaws(valkey: ValkeyServer) -> None:
    valkey.freeze()
    assert not valkey.answers()

    valkey.thaw()

    assert valkey.answers()


def test_nothing_is_left_of_a_server_that_is_closed() -> None:
    server = ValkeyServer()
    server.start()

    server.close()

    assert not server.running
    assert not server.folder.exists()
