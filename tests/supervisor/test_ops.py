"""Pages without a worker: whoever asks is answered or cut off, and nobody waits for anybody."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest

from proxy.supervisor import ops
from proxy.supervisor.ops import HEAD, MOST, Ops

PAGES = {
    "/one": lambda: (200, "text/plain", b"one\n"),
    "/sick": lambda: (503, "text/plain", b"no\n"),
    "/broken": lambda: 1 / 0,
    "/long": lambda: (200, "text/plain", b"x" * 4_000_000),
}


class Site:
    """A listener in a loop that the test turns by hand."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.ops = Ops(self.selector, PAGES)  # type: ignore[arg-type]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.ops.listen(self.listener)
        self.clients: list[socket.socket] = []

    def client(self) -> socket.socket:
        one = socket.create_connection(self.listener.getsockname())
        one.setblocking(False)
        self.clients.append(one)
        return one

    def turn(self) -> None:
        for key, mask in self.selector.select(0.02):
            key.data(mask)

    def answer(self, request: bytes, *, end: bool = False) -> bytes:
        """All that comes until the other side closes."""
        client = self.client()
        client.sendall(request)
        if end:
            client.shutdown(socket.SHUT_WR)
        return self.rest(client)

    def rest(self, client: socket.socket) -> bytes:
        found = b""
        while True:
            self.turn()
            try:
                data = client.recv(1 << 20)
            except BlockingIOError:
                continue
            if not data:
                return found
            found += data


@pytest.fixture
def site() -> Iterator[Site]:
    one = Site()
    yield one
    for client in one.clients:
        client.close()
    one.ops.close()
    one.selector.close()


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def test_a_page_is_served_and_the_connection_closed(site: Site) -> None:
    head, _, body = site.answer(b"GET /one?x=1 HTTP/1.1\r\nhost: x\r\n\r\n").partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 4" in head
    assert b"connection: close" in head
    assert body == b"one\n"


def test_of_a_page_the_head_alone_may_be_asked_for(site: Site) -> None:
    answer = site.answer(b"HEAD /one HTTP/1.1\r\n\r\n")

    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 4" in answer


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET /sick HTTP/1.1\r\n\r\n", 503),
        (b"GET /none HTTP/1.1\r\n\r\n", 404),
        (b"POST /one HTTP/1.1\r\ncontent-length: 0\r\n\r\n", 405),
        (b"GET /one\r\n\r\n", 400),
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET /one SPDY/3\r\n\r\n", 400),
        (b"GET /one HTTP/1.1\r\nx: " + b"y" * HEAD, 431),
        (b"GET /broken HTTP/1.1\r\n\r\n", 500),
    ],
    ids=["sick", "unknown", "method", "no version", "tls", "version", "long", "broken"],
)
def test_what_is_no_page_has_a_status_of_its_own(
    site: Site, request_: bytes, expected: int
) -> None:
    assert status(site.answer(request_)) == expected


def test_a_request_may_come_in_pieces_and_end_early(site: Site) -> None:
    client = site.client()
    for piece in (b"GET /o", b"ne HTTP/1.1\r\n", b"\r\n"):
        client.sendall(piece)
        site.turn()
    assert site.rest(client).endswith(b"one\n")

    assert status(site.answer(b"GET /one HTTP/1.1\r\n", end=True)) == 400


def test_an_answer_goes_out_as_the_client_takes_it(site: Site) -> None:
    answer = site.answer(b"GET /long HTTP/1.1\r\n\r\n")

    assert len(answer.partition(b"\r\n\r\n")[2]) == 4_000_000


def test_a_client_that_leaves_without_a_word_is_forgotten(site: Site) -> None:
    client = site.client()
    site.turn()
    client.close()

    site.turn()

    assert site.ops.sockets() == [site.listener]


def test_the_oldest_makes_room(site: Site) -> None:
    first, *others = [site.client() for _ in range(MOST + 1)]
    while len(site.ops.sockets()) < MOST + 1:
        site.turn()
    site.turn()

    assert site.rest(first) == b""
    others[0].sendall(b"GET /one HTTP/1.1\r\n\r\n")
    assert site.rest(others[0]).endswith(b"one\n")


def test_who_is_slow_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    client = site.client()
    site.turn()
    site.ops.tick()
    assert len(site.ops.sockets()) == 2

    monkeypatch.setattr(ops, "PATIENCE", -1.0)
    site.ops.tick()

    assert site.rest(client) == b""


def test_a_page_that_is_not_known_yet_is_said_later(site: Site) -> None:
    known: list[bytes] = []
    PAGES["/later"] = lambda: (200, "text/plain", known[0]) if known else None
    try:
        waits, gone = site.client(), site.client()
        for one in (waits, gone):
            one.sendall(b"GET /later HTTP/1.1\r\nhost: x\r\n\r\n")
        for _ in range(8):
            site.turn()
            site.ops.again()
        assert site.ops.due()
        with pytest.raises(BlockingIOError):
            waits.recv(1)
        # Another is answered meanwhile, and one of those who wait leaves.
        assert site.answer(b"GET /one HTTP/1.1\r\nhost: x\r\n\r\n").endswith(b"one\n")
        gone.close()

        known.append(b"at last\n")
        site.ops.again()

        assert site.rest(waits).endswith(b"at last\n")
        assert site.ops.due() == []
    finally:
        del PAGES["/later"]


def test_who_waits_for_too_long_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    PAGES["/never"] = lambda: None
    try:
        client = site.client()
        client.sendall(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n")
        for _ in range(4):
            site.turn()
        assert site.ops.due()

        monkeypatch.setattr(ops, "PATIENCE", -1.0)
        site.ops.tick()

        assert site.rest(client) == b""
        assert site.ops.due() == []
    finally:
        del PAGES["/never"]
