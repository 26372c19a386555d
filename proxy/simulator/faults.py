"""Everything that can go wrong with an answer: one small generator of steps for each fault word.

A fault is written at one of two levels. A *body* fault yields the body and leaves the chunked framing and the
response head to `framed`; a *wire* fault yields every byte itself. `FAULTS` maps the words to wire faults.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from proxy.simulator import errors
from proxy.simulator.answers import Act, Step, Stream, Whole
from proxy.simulator.bedrock import EVENT_STREAM
from proxy.simulator.http import LAST_CHUNK, chunk
from proxy.simulator.refusals import error_in_200, redirect, refusal
from proxy.simulator.take import Fault, Take, answered, framed, head, sized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TICK = 0.02
"""Seconds between the bytes of `drip` and the pings of `pings`."""
SLICE = 65536
"""Bytes of a huge event in one step."""


# Connections that break or never speak.


def close_now(take: Take) -> Iterator[Step]:
    yield Act.FIN


def ok_then_close(take: Take) -> Iterator[Step]:
    yield from answered(take)
    yield 0.001
    yield Act.FIN


def ok_then_rst_next(take: Take) -> Iterator[Step]:
    yield from answered(take)
    yield Act.DOOM


def no_headers(take: Take) -> Iterator[Step]:
    yield Act.STALL


def no_first(take: Take) -> Iterator[Step]:
    yield take.opening() + b"transfer-encoding: chunked\r\n\r\n"
    yield Act.STALL


def rst(take: Take) -> Iterator[Step]:
    left = take.steer.cut
    if left == 0:
        yield Act.RST
    yield from framed(take, _first_bytes(take, left) if left > 0 else take.until_cut(), last=False)
    # The kernel throws away what the peer has not read yet when a reset comes.
    yield 0.002
    yield Act.RST


def _first_bytes(take: Take, left: int) -> Iterator[Step]:
    for step in take.steps:
        if isinstance(step, bytes):
            yield step[:left]
            left -= len(step)
            if left <= 0:
                return
        else:
            yield step


# Bytes that are not HTTP, or too much of it.


def raw(data: bytes) -> Fault:
    """These bytes and nothing else."""

    def play(take: Take) -> Iterator[Step]:
        yield data
        yield Act.FIN

    return play


UNASKED = sized(
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n", b'{"unasked":"nobody asked for this"}'
)


def smuggle(take: Take) -> Iterator[Step]:
    body = chunk(take.body()) + LAST_CHUNK
    lines = b"content-length: %d\r\ntransfer-encoding: chunked\r\n\r\n" % len(body)
    yield take.opening() + lines + body + UNASKED


def two_cl(take: Take) -> Iterator[Step]:
    body = take.body()
    yield sized(take.opening(b"content-length: %d\r\n" % (len(body) + 7)), body)


def bare_lf(take: Take) -> Iterator[Step]:
    body = take.body()
    yield sized(take.opening(), b"", len(body)).replace(b"\r\n", b"\n") + body


def unasked(take: Take) -> Iterator[Step]:
    yield sized(take.opening(), take.body()) + UNASKED


def cl_short(take: Take) -> Iterator[Step]:
    body = take.body()
    yield sized(take.opening(), body, len(body) + 100)
    yield Act.FIN


def cl_long(take: Take) -> Iterator[Step]:
    body = take.body()
    yield sized(take.opening(), body, max(len(body) - 10, 0))


def html(take: Take) -> Iterator[Step]:
    page = b"<!doctype html><title>Sign in</title><p>Welcome to the hotel network.</p>\n"
    yield sized(head(take.family, 200, b"text/html", take.serial), page)


def empty(take: Take) -> Iterator[Step]:
    if isinstance(take.answer, Stream):
        return framed(take, ())
    return iter([sized(take.opening(), b"")])


def informed(take: Take) -> Iterator[Step]:
    yield b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
    yield from answered(take)


def flood_of_1xx(take: Take) -> Iterator[Step]:
    while True:
        yield b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n" * 16
        yield 0.001


def with_headers(extra: bytes) -> Fault:
    """A good answer with more headers."""
    return lambda take: answered(take, extra)


EVIL_HEADERS = (
    b"set-cookie: session=sim; Path=/; HttpOnly\r\nserver: sim/1.0\r\nvia: 1.1 sim-edge\r\n"
    b"openai-organization: org-sim-secret\r\nanthropic-organization-id: org-sim-secret\r\n"
    b"location: http://127.0.0.1:9/\r\naccess-control-allow-origin: *\r\n"
    b'access-control-allow-credentials: true\r\nalt-svc: h3=":443"\r\n'
    b"strict-transport-security: max-age=1\r\nx-upstream-secret: sim-secret\r\n"
    b"x-powered-by: sim\r\nwww-authenticate: Basic realm=sim\r\nkeep-alive: timeout=5\r\n"
)


# Streams that end wrongly.


def chunk_fin(take: Take) -> Iterator[Step]:
    yield from take.until_cut()
    yield Act.FIN


def eof_half(take: Take) -> Iterator[Step]:
    yield take.opening() + b"connection: close\r\n\r\n"
    yield from take.until_cut()
    yield take.half()
    yield Act.FIN


def nodone(take: Take) -> Iterator[Step]:
    if isinstance(take.answer, Stream):
        take.answer.finish = take.answer.usage = take.answer.end = b""
    return take.steps


def finish_no_done(take: Take) -> Iterator[Step]:
    if isinstance(take.answer, Stream):
        take.answer.end = b""
    return take.steps


def half_stall(take: Take) -> Iterator[Step]:
    yield from take.until_cut()
    yield take.half()
    yield Act.STALL


def stall(take: Take) -> Iterator[Step]:
    yield from take.until_cut()
    yield Act.STALL


def pings(take: Take) -> Iterator[Step]:
    yield from take.until_cut()
    ping = take.answer.ping if isinstance(take.answer, Stream) else b"\n"
    while True:
        yield TICK
        yield ping


def drip(take: Take) -> Iterator[Step]:
    yield from take.until_cut()
    for index in range(len(start := take.half() or b" ")):
        yield start[index : index + 1]
        yield TICK
    while True:
        yield b"x" if isinstance(take.answer, Stream) else b" "
        yield TICK


def error_first(take: Take) -> Iterator[Step]:
    if not isinstance(take.answer, Stream):
        return error_in_200(take)
    return framed(take, [take.answer.error(-1)])


def error_mid(take: Take) -> Iterator[Step]:
    answer = take.answer
    if not isinstance(answer, Stream):
        return error_in_200(take)

    def play() -> Iterator[Step]:
        yield from framed(take, events())
        yield Act.FIN

    def events() -> Iterator[Step]:
        yield from take.until_cut()
        yield answer.error(take.cut)

    return play()


def lifecycle_error(take: Take) -> Iterator[Step]:
    answer = take.answer
    if not isinstance(answer, Stream):
        return error_in_200(take)
    opening = answer.opening + answer.blocks[0].opening
    return framed(take, [opening, answer.error(0)])


# Streams with something odd inside.


def bad_utf8(take: Take) -> Iterator[Step]:
    odd = b"\xff\xfe \xc3( \xe6\xb0"
    if isinstance(take.answer, Whole):
        yield take.answer.body.replace(b"The", b"The " + odd, 1)
        return
    yield from take.until_cut()
    yield take.answer.event(odd)
    yield from take.rest()


def _is_framed(take: Take) -> bool:
    """An AWS event stream: frames with lengths and checksums, not lines."""
    return isinstance(take.answer, Stream) and take.answer.content_type == EVENT_STREAM


def huge_event(take: Take) -> Iterator[Step]:
    size = (take.steer.size or 10) << 20
    if _is_framed(take):
        # The length of a frame comes first, and a checksum last.
        yield from take.until_cut()
        assert isinstance(take.answer, Stream)
        event = take.answer.event(b"The" + b"x" * size)
        yield from (event[start : start + SLICE] for start in range(0, len(event), SLICE))
        yield from take.rest()
        return
    if isinstance(take.answer, Whole):
        before, word, after = take.answer.body.partition(b"The")
    else:
        yield from take.until_cut()
        before, word, after = take.answer.event(b"The").partition(b"The")
    yield before + word
    for start in range(0, size, SLICE):
        yield b"x" * min(SLICE, size - start)
    yield after
    if isinstance(take.answer, Stream):
        yield from take.rest()


def then_garbage(take: Take) -> Iterator[Step]:
    yield from take.until_cut()
    yield b"<html><body>502 Bad Gateway</body></html>\nTraceback (most recent call last):\n\n" * 4


def bad_json(take: Take) -> Iterator[Step]:
    yield from take.until_cut()
    if isinstance(take.answer, Stream):
        # A quote inside the text of a frame ends it: what follows is no JSON.
        odd = b'data: {"choices":[{"delta":{"content":\n\n'
        yield take.answer.event(b'"') if _is_framed(take) else odd
        yield from take.rest()


def bad_chunk(line: bytes) -> Fault:
    """Chunked framing that breaks at the cut and goes on as if nothing had happened."""

    def play(take: Take) -> Iterator[Step]:
        yield from framed(take, take.until_cut(), last=False)
        yield line
        for step in take.rest():
            yield chunk(step) if isinstance(step, bytes) else step
        yield LAST_CHUNK

    return play


def gzip(take: Take) -> Iterator[Step]:
    return framed(take, _deflated(take.steps), b"content-encoding: gzip\r\n")


def gzip_cut(take: Take) -> Iterator[Step]:
    return framed(take, _deflated(take.until_cut(), end=False), b"content-encoding: gzip\r\n")


def _deflated(steps: Iterable[Step], *, end: bool = True) -> Iterator[Step]:
    packer = zlib.compressobj(wbits=31)
    for step in steps:
        if isinstance(step, bytes):
            yield packer.compress(step) + packer.flush(zlib.Z_SYNC_FLUSH)
        else:
            yield step
    if end:
        yield packer.flush()


def gzip_bomb(take: Take) -> Iterator[Step]:
    """1 GB of zeros in 1 MB: one flushed megabyte, a thousand times (a flushed block depends on nothing)."""
    packer = zlib.compressobj(9, wbits=31)
    start = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return framed(take, [start, *[block] * 1024], b"content-encoding: gzip\r\n")


def unknown_coding(take: Take) -> Iterator[Step]:
    return framed(take, take.steps, b"content-encoding: sim\r\n")


def after_done(take: Take) -> Iterator[Step]:
    yield from take.steps
    if isinstance(take.answer, Stream):
        yield (take.answer.event(b" late") + take.answer.ping) * 2


def dup_usage(take: Take) -> Iterator[Step]:
    answer = take.answer
    if isinstance(answer, Stream):
        if answer.usage:
            answer.usage *= 2
        else:
            answer.finish *= 2
    return take.steps


# Other ways to write the same stream.


def rewritten(rewrite: Callable[[bytes], bytes], first: bytes = b"") -> Fault:
    """Every event written in another legal way, and `first` before all of them."""

    def play(take: Take) -> Iterator[Step]:
        if not isinstance(take.answer, Stream) or _is_framed(take):
            return answered(take)
        return framed(take, events(take.steps))

    def events(steps: Iterator[Step]) -> Iterator[Step]:
        begin = first
        for step in steps:
            if isinstance(step, bytes):
                whole = step.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]
                yield begin + b"".join([rewrite(event + b"\n\n") for event in whole])
                begin = b""
            else:
                yield step

    return play


def _multiline(event: bytes) -> bytes:
    """A line break between two members of the JSON object, where JSON does not mind."""
    return event.replace(b',"', b',\ndata: "', 1) if b"data: {" in event else event


def body(play: Fault) -> Fault:
    """A body fault behind a response head and in chunks."""
    return lambda take: framed(take, play(take))


FAULTS: dict[str, Fault] = {
    "": answered,
    **{str(status): refusal(str(status)) for status in errors.STATUSES},
    **{word: refusal(word) for word in errors.NAMED},
    "302": redirect,
    "200err": error_in_200,
    "close_now": close_now,
    "ok_then_close": ok_then_close,
    "ok_then_rst_next": ok_then_rst_next,
    "no_first": no_first,
    "no_headers": no_headers,
    "rst": rst,
    "garbage": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "tls_alert": raw(b"\x15\x03\x01\x00\x02\x02\x28"),
    "smuggle": smuggle,
    "two_cl": two_cl,
    "bare_lf": bare_lf,
    "unasked": unasked,
    "cl_short": cl_short,
    "cl_long": cl_long,
    "html": html,
    "empty": empty,
    "1xx": informed,
    "1xx_flood": flood_of_1xx,
    "bighdr": with_headers(b"x-big: " + b"a" * SLICE + b"\r\n"),
    "manyhdr": with_headers(b"".join(b"x-many-%d: sim\r\n" % index for index in range(500))),
    "evil_headers": with_headers(EVIL_HEADERS),
    "chunk_fin": body(chunk_fin),
    "eof_half": eof_half,
    "nodone": body(nodone),
    "finish_no_done": body(finish_no_done),
    "half_stall": body(half_stall),
    "stall": body(stall),
    "pings": body(pings),
    "drip": body(drip),
    "err_first": error_first,
    "err_mid": error_mid,
    "lifecycle_err": lifecycle_error,
    "bad_utf8": body(bad_utf8),
    "event": body(huge_event),
    "then_garbage": body(then_garbage),
    "bad_json": body(bad_json),
    "bad_chunk": bad_chunk(b"zz\r\nno such size\r\n"),
    "bad_chunk_crlf": bad_chunk(b"5\r\nhelloXX"),
    "gzip": gzip,
    "gztrunc": gzip_cut,
    "gzbomb": gzip_bomb,
    "badenc": unknown_coding,
    "after_done": body(after_done),
    "dup_usage": body(dup_usage),
    "no_usage": answered,
    "slow_read": answered,
    "early_413": refusal("413"),
    "crlf": rewritten(lambda event: event.replace(b"\n", b"\r\n")),
    "cr": rewritten(lambda event: event.replace(b"\n", b"\r")),
    "comments": rewritten(lambda event: b": alive\n\n: still\n" + event),
    "multiline": rewritten(_multiline),
    "nospace": rewritten(lambda event: event.replace(b"data: ", b"data:", 1).replace(b"event: ", b"event:", 1)),
    "bom": rewritten(lambda event: event, b"\xef\xbb\xbf"),
    "idretry": rewritten(lambda event: b"id: 7\nretry: 3000\n" + event),
}  # fmt: skip
"""The fault words. `slow_read` and `early_413` also change how the request is read (see `connection`)."""

LEGAL = frozenset(
    ("", "ok_then_close", "ok_then_rst_next", "1xx", "evil_headers", "finish_no_done", "gzip", "event",
     "dup_usage", "no_usage", "slow_read", "crlf", "cr", "comments", "multiline", "nospace", "bom", "idretry")
)  # fmt: skip
"""Words whose answer is complete and right: such a request counts as finished, not as faulted."""
