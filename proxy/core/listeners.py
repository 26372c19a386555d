"""Where a listening socket is reached."""

from __future__ import annotations

import socket

_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Its URL for this machine: `http://127.0.0.1:8000`, `https://[::1]:8000`, `unix:/path`, `unix+tls:/path`."""
    if listener.family == socket.AF_UNIX:
        return f"{'unix+tls' if tls else 'unix'}:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    host = _ANY.get(host, host)
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
