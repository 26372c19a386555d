"""What is listened on: opened, given, or left by the program before."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.core import unix
from proxy.core.listeners import url_of
from proxy.core.model import Admin, Ops, Server, Snapshot
from proxy.listening import Listeners

FREE = Snapshot(server=Server(host="127.0.0.1", port=0), admin=Admin(port=0))


def test_the_ports_of_the_configuration_are_opened(capsys: pytest.CaptureFixture[str]) -> None:
    ops = replace(FREE, server=replace(FREE.server, ops=Ops(port=0)))
    with_ops, without = Listeners(ops, {}), Listeners(FREE, {})

    assert without.ops is None
    assert set(without.descriptors()) == {"api", "admin"}
    assert set(with_ops.descriptors()) == {"api", "admin", "ops"}
    address = with_ops.announce("a-token")
    said = capsys.readouterr().err
    assert f"listening on {address}\n" in said
    assert "admin on http://127.0.0.1:" in said
    assert "/dashboard\n" in said
    assert "admin token, for this run only: a-token\n" in said
    assert "ops on http://127.0.0.1:" in said
    for one in (with_ops, without):
        one.close()


def test_one_port_may_serve_both() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    same = replace(FREE, server=replace(FREE.server, port=port), admin=Admin(port=port))

    one = Listeners(same, {})

    assert one.admin is None
    one.close()


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = replace(FREE.server, port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            Listeners(replace(FREE, server=server), {})


def test_what_the_program_before_left_is_taken(tmp_path: Path) -> None:
    before = Listeners(FREE, {})
    before.inside = unix.listen(tmp_path / unix.OPS)
    names = before.descriptors()

    after = Listeners(FREE, {name: os.dup(fd) for name, fd in names.items()})

    assert url_of(after.api) == url_of(before.api)
    assert after.inside is not None
    assert url_of(after.inside).startswith("unix:")
    after.shut()
    assert after.api.fileno() == -1
    assert after.inside.fileno() >= 0
    after.close()
    before.close()
