"""The HTTP/1.1 the simulator needs, without I/O: request heads, chunked bodies, response heads.

Strict enough to notice a proxy that sends nonsense (it gets a 400), and no more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

REASONS = {
    200: b"OK", 302: b"Found", 400: b"Bad Request", 401: b"Unauthorized", 402: b"Payment Required",
    403: b"Forbidden", 404: b"Not Found", 405: b"Method Not Allowed", 408: b"Request Timeout",
    409: b"Conflict", 413: b"Payload Too Large", 415: b"Unsupported Media Type",
    422: b"Unprocessable Entity", 429: b"Too Many Requests", 431: b"Headers Too Large",
    500: b"Internal Server Error", 501: b"Not Implemented", 502: b"Bad Gateway",
    503: b"Service Unavailable", 504: b"Gateway Timeout", 529: b"Overloaded",
}  # fmt: skip

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Malformed(Exception):
    """The request is not HTTP/1.1 as we speak it."""


def status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"Status"))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def date(skew: float = 0.0) -> str:
    """An HTTP date, `skew` seconds from now."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=skew), usegmt=True)


def field(head: bytes, lowered: bytes, name: bytes) -> bytes:
    """The value of the first header `name` (lower case) in a request head, or nothing."""
    start = lowered.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()


def body_length(lowered: bytes) -> int:
    """The length of a request's body, or -1 when it comes in chunks."""
    start = lowered.find(b"\r\ncontent-length:")
    coding = field(lowered, lowered, b"transfer-encoding")
    if start < 0:
        if coding and coding != b"chunked":
            raise Malformed
        return -1 if coding else 0
    if coding:
        raise Malformed
    end = lowered.find(b"\r\n", start + 17)
    digits = lowered[start + 17 : end if end >= 0 else len(lowered)].strip()
    if not digits.isdigit():
        raise Malformed
    return int(digits)


def pairs(head: bytes) -> list[tuple[str, str]]:
    """The headers in the order and case they came in."""
    lines = head.split(b"\r\n")[1:]
    split = [line.partition(b":") for line in lines]
    return [(name.decode("latin-1"), value.strip().decode("latin-1")) for name, _, value in split]


class Chunks:
    """Takes a chunked request body apart as it comes."""

    __slots__ = ("body", "pending", "size")

    def __init__(self) -> None:
        self.body = bytearray()
        self.pending = b""
        self.size = -1
        """Bytes missing of the current chunk; -1: a size line is next; -2: the trailer is next."""

    def feed(self, data: bytes) -> bytes | None:
        """None while the body is incomplete, then what follows it."""
        data = self.pending + data
        while True:
            if self.size >= 0:
                if len(data) < self.size + 2:
                    break
                if data[self.size : self.size + 2] != b"\r\n":
                    raise Malformed
                self.body += data[: self.size]
                data = data[self.size + 2 :]
                self.size = -1
                continue
            end = data.find(b"\r\n")
            if end < 0:
                break
            line, data = data[:end], data[end + 2 :]
            if self.size == -2:
                if not line:
                    return data
                continue
            self.size = _size(line) or -2
        self.pending = data
        return None


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise Malformed
    return int(digits, 16)


def form(body: bytes, content_type: bytes) -> dict[str, str]:
    """The short text fields of a multipart form; files are left out."""
    _, found, boundary = content_type.partition(b"boundary=")
    if not found:
        return {}
    fields: dict[str, str] = {}
    for part in body.split(b"--" + boundary.partition(b";")[0].strip().strip(b'"')):
        head, _, value = part.partition(b"\r\n\r\n")
        lowered = head.lower()
        start = lowered.find(b'name="')
        end = head.find(b'"', start + 6)
        if start >= 0 and end >= 0 and b"filename=" not in lowered and len(value) < 65536:
            name = head[start + 6 : end]
            fields[name.decode("latin-1")] = value.removesuffix(b"\r\n").decode("utf-8", "replace")
    return fields
