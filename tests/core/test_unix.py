"""Sockets named by a file, however long its name is."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from proxy.core import unix


@pytest.mark.parametrize("deep", [1, 9], ids=["short", "longer than a name may be"])
def test_who_knows_the_path_is_let_in(tmp_path: Path, deep: int) -> None:
    path = tmp_path.joinpath(*["a-folder-with-a-name"] * deep) / unix.OPS

    with unix.listen(path) as listener, unix.connect(path) as client:
        accepted, _ = listener.accept()
        with accepted:
            client.sendall(b"hello")
            assert accepted.recv(9) == b"hello"


def test_it_is_for_this_user_alone_and_takes_the_place_of_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / unix.OPS
    unix.listen(path).close()
    with pytest.raises(ConnectionRefusedError):
        unix.connect(path)

    with unix.listen(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        unix.connect(path).close()
    unix.remove(path)
    unix.remove(path)

    with pytest.raises(FileNotFoundError):
        unix.connect(path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OSError, match="file"):
        unix.listen(tmp_path / "file" / unix.OPS)


def test_a_socket_that_is_in_the_way_of_nothing_else_is_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "other.sock"))
        with unix.listen(tmp_path / unix.OPS):
            assert (tmp_path / "other.sock").exists()
