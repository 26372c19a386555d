"""Where a listening socket is reached."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from proxy.core.listeners import url_of


@pytest.mark.parametrize(
    ("host", "said"),
    [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]")],
)
def test_an_address_is_one_that_can_be_asked(host: str, said: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert url_of(listener) == f"http://{said}:{listener.getsockname()[1]}"


def test_a_socket_of_this_machine_alone_is_a_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "api"))
        assert url_of(listener) == f"unix:{tmp_path / 'api'}"
        assert url_of(listener, tls=True) == f"unix+tls:{tmp_path / 'api'}"
