"""Reads one HTTP/1.1 answer from pieces of a connection, without I/O: just enough for a load generator.

It knows content-length, chunked and "until the connection closes". It does not know
trailers' meaning, interim answers, or answers without a body to a HEAD.
"""

from __future__ import annotations

HEAD, LENGTH, CHUNKS, TRAILER, DONE = range(5)


class Response:
    """`feed` returns the body bytes a piece contains; `complete` says that the answer is over."""

    __slots__ = ("closes", "complete", "left", "part", "pending", "status")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.part = HEAD
        self.pending = b""
        self.left = 0
        self.status = 0
        self.closes = False
        self.complete = False

    def feed(self, data: bytes) -> bytes:
        if self.pending:
            data = self.pending + data
            self.pending = b""
        if self.part == HEAD:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.pending = data
                return b""
            self._head(data[: end + 2].lower())
            data = data[end + 4 :]
        return self._length(data) if self.part == LENGTH else self._chunks(data)

    def end(self) -> None:
        """The connection is closed: complete only when nothing else said where the body ends."""
        self.complete = self.complete or (self.part == LENGTH and self.left < 0)

    def _head(self, head: bytes) -> None:
        self.status = int(head[9:12])
        self.closes = b"\r\nconnection: close" in head
        if b"\r\ntransfer-encoding: chunked" in head:
            self.part = CHUNKS
            return
        self.part = LENGTH
        at = head.find(b"\r\ncontent-length:")
        self.left = int(head[at + 17 : head.index(b"\r", at + 2)]) if at >= 0 else -1

    def _length(self, data: bytes) -> bytes:
        if self.left >= 0:
            self.left -= len(data)
            self.complete = self.left <= 0
        return data

    def _chunks(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            if self.part == CHUNKS and self.left:
                # `left` counts the CR LF after the payload too, so that both are skipped as one.
                piece = data[at : at + self.left]
                at += len(piece)
                self.left -= len(piece)
                pieces.append(piece if self.left > 1 else piece[: self.left - 2])
                continue
            line_end = data.find(b"\n", at)
            if line_end < 0:
                self.pending = data[at:]
                break
            line = data[at:line_end]
            at = line_end + 1
            if self.part == CHUNKS:
                self.left = int(line.split(b";", 1)[0], 16) + 2
                if self.left == 2:
                    self.part, self.left = TRAILER, 0
            elif line in (b"\r", b""):
                self.part = DONE
                self.complete = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
