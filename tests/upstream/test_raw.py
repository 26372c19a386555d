"""A socket that has another protocol: everything goes to the consumer of the connection it belonged to."""

from __future__ import annotations

from typing import Any

from proxy.upstream.raw import RawConnection


class Side:
    """A connection, its consumer and the other side, in one."""

    def __init__(self) -> None:
        self.consumer: Any = self
        self.heard: list[Any] = []

    def body(self, data: bytes) -> None:
        self.heard.append(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.heard.append(exc)

    def wait(self) -> None:
        self.heard.append("wait")

    def go_on(self) -> None:
        self.heard.append("go on")


def test_what_happens_is_handed_on() -> None:
    side: Any = Side()
    raw = RawConnection(side, side)
    raw.data_received(b"a")
    raw.pause_writing()
    raw.resume_writing()
    assert raw.eof_received() is False
    raw.connection_lost(None)
    side.consumer = None
    raw.data_received(b"nobody wants this")

    assert side.heard == [b"a", "wait", "go on", None]
