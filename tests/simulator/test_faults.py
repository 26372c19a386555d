"""Every fault word, in every dialect, byte by byte.

The model name is the same in all requests (the header `x-sim` steers), so that a faulty answer can be compared with
the good one.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from proxy.simulator.errors import NAMED, STATUSES
from proxy.simulator.faults import EVIL_HEADERS, FAULTS, LEGAL, UNASKED
from tests.simulator.raw import Seen, Simulator, dechunk, events, request


class Dialect(NamedTuple):
    """How to ask for a stream, and what to look for in it."""

    path: str
    body: dict[str, Any]
    terminal: bytes
    """The last event of a good stream."""
    finish: bytes
    """Says that the answer is over."""
    error: bytes
    lifecycle: bytes


DIALECTS = {
    "chat": Dialect(
        "/v1/chat/completions",
        {"stream": True, "stream_options": {"include_usage": True}, "messages": []},
        b"data: [DONE]\n\n",
        b'"finish_reason":"stop"',
        b'data: {"error":{"message"',
        b'"delta":{"role":"assistant"',
    ),
    "responses": Dialect(
        "/v1/responses",
        {"stream": True, "input": "hi"},
        b"event: response.completed\n",
        b"event: response.completed\n",
        b"event: error\n",
        b"event: response.created\n",
    ),
    "anthropic": Dialect(
        "/v1/messages",
        {"stream": True, "max_tokens": 9, "messages": []},
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        b'"stop_reason":"end_turn"',
        b"event: error\n",
        b"event: message_start\n",
    ),
    "gemini": Dialect(
        "/v1beta/models/gpt-4o:streamGenerateContent?alt=sse",
        {"contents": []},
        b'"finishReason":"STOP"',
        b'"finishReason":"STOP"',
        b'data: {"error":{"code":503',
        b"",
    ),
}

Check = Callable[[Seen, Seen, Dialect], None]
"""Given what was seen, what a good answer looks like, and the dialect."""


def is_prefix(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.status == 200
    assert good.body.startswith(seen.body)
    assert len(seen.body) < len(good.body)
    assert seen.body.count(b"\n\n") or seen.body.count(b"\r\n\r\n")
    assert dialect.terminal not in seen.body


def ends_at_an_event(seen: Seen, good: Seen, dialect: Dialect) -> None:
    is_prefix(seen, good, dialect)
    assert seen.body.endswith((b"\n\n", b"\r\n\r\n"))
    assert b"turns" in seen.body
    assert b"stones" not in seen.body


def ends_in_an_event(seen: Seen, good: Seen, dialect: Dialect) -> None:
    is_prefix(seen, good, dialect)
    assert not seen.body.endswith(b"\n")


def is_good(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.status == 200
    assert seen.body == good.body
    assert seen.complete


def same_events(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.raw != good.raw
    assert seen.complete
    assert events(seen.body) == events(good.body)


def chunk_fin(seen: Seen, good: Seen, dialect: Dialect) -> None:
    ends_at_an_event(seen, good, dialect)
    assert seen.ending == "fin"
    assert not seen.complete


def rst(seen: Seen, good: Seen, dialect: Dialect) -> None:
    ends_at_an_event(seen, good, dialect)
    assert seen.ending == "rst"


def eof_half(seen: Seen, good: Seen, dialect: Dialect) -> None:
    ends_in_an_event(seen, good, dialect)
    assert seen.ending == "fin"
    assert b"transfer-encoding" not in seen.head
    assert b"content-length" not in seen.head


def nodone(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.complete
    assert good.body.startswith(seen.body)
    assert b"keeper" not in good.body or b"keeper" in seen.body
    assert dialect.finish not in seen.body
    assert dialect.terminal not in seen.body


def finish_no_done(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.complete
    assert good.body.startswith(seen.body)
    if dialect.terminal != dialect.finish:
        assert dialect.finish in seen.body
        assert dialect.terminal not in seen.body


def stall(seen: Seen, good: Seen, dialect: Dialect) -> None:
    ends_at_an_event(seen, good, dialect)
    assert (seen.ending, seen.outcome) == ("open", "open")
    assert not seen.complete


def half_stall(seen: Seen, good: Seen, dialect: Dialect) -> None:
    ends_in_an_event(seen, good, dialect)
    assert (seen.ending, seen.outcome) == ("open", "open")


def no_first(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert (seen.head + b"\r\n\r\n", seen.ending) == (seen.raw, "open")
    assert seen.status == 200
    assert seen.outcome == "open"


def no_headers(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert (seen.raw, seen.ending, seen.outcome) == (b"", "open", "open")


def close_now(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert (seen.raw, seen.ending) == (b"", "fin")


def ok_then_close(seen: Seen, good: Seen, dialect: Dialect) -> None:
    is_good(seen, good, dialect)
    assert b"connection: close" not in seen.head
    assert seen.ending == "fin"


def is_exactly(data: bytes) -> Check:
    def check(seen: Seen, good: Seen, dialect: Dialect) -> None:
        assert (seen.raw, seen.ending) == (data, "fin")

    return check


def smuggle(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert b"transfer-encoding: chunked" in seen.head
    _, complete, behind = dechunk(seen.rest)
    assert complete
    assert behind == UNASKED
    assert f"content-length: {len(seen.rest) - len(behind)}".encode() in seen.head


def two_cl(seen: Seen, good: Seen, dialect: Dialect) -> None:
    lengths = [line for line in seen.head.split(b"\r\n") if line.startswith(b"content-length")]
    assert len(set(lengths)) == 2
    assert seen.body == good.body


def bare_lf(seen: Seen, good: Seen, dialect: Dialect) -> None:
    head, _, body = seen.raw.partition(b"\n\n")
    assert b"\r" not in head
    assert head.startswith(b"HTTP/1.1 200 OK\ncontent-type:")
    assert f"content-length: {len(body)}".encode() in head


def unasked(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.raw.endswith(UNASKED)
    assert seen.body.removesuffix(UNASKED) == good.body


def declared(seen: Seen) -> int:
    lines = [line for line in seen.head.split(b"\r\n") if line.startswith(b"content-length: ")]
    return int(lines[0].removeprefix(b"content-length: "))


def cl_short(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert declared(seen) == len(seen.rest) + 100
    assert (seen.body, seen.ending) == (good.body, "fin")


def cl_long(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert declared(seen) == len(seen.rest) - 10
    assert (seen.body, seen.ending) == (good.body, "open")


def html(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.status == 200
    assert b"content-type: text/html" in seen.head
    assert seen.body.startswith(b"<!doctype html>")


def empty(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert b"content-type: text/event-stream" in seen.head
    assert (seen.rest, seen.status) == (b"0\r\n\r\n", 200)


def error_in_200(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.status == 200
    assert b"content-type: application/json" in seen.head
    assert "error" in orjson.loads(seen.body)


def err_first(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.body.startswith(dialect.error)
    assert len(events(seen.body)) == 1
    assert seen.complete


def err_mid(seen: Seen, good: Seen, dialect: Dialect) -> None:
    before, found, _ = seen.body.partition(dialect.error)
    assert found
    assert good.body.startswith(before)
    assert b"turns" in before
    assert seen.complete
    assert seen.ending == "fin"


def lifecycle_err(seen: Seen, good: Seen, dialect: Dialect) -> None:
    before, found, _ = seen.body.partition(dialect.error)
    assert found
    assert dialect.lifecycle in before
    assert b"The" not in before
    assert good.body.startswith(before)


def bad_utf8(seen: Seen, good: Seen, dialect: Dialect) -> None:
    with pytest.raises(UnicodeDecodeError):
        seen.body.decode()
    assert events(seen.body.decode(errors="replace").encode())
    assert dialect.terminal in seen.body
    assert seen.complete


def huge_event(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.complete
    longest = max(events(seen.body), key=lambda event: len(orjson.dumps(event.data)))
    assert len(orjson.dumps(longest.data)) > 1 << 20
    assert dialect.terminal in seen.body


def then_garbage(seen: Seen, good: Seen, dialect: Dialect) -> None:
    before, found, _ = seen.body.partition(b"<html>")
    assert found
    assert good.body.startswith(before)
    assert seen.complete


def bad_json(seen: Seen, good: Seen, dialect: Dialect) -> None:
    broken = b'data: {"choices":[{"delta":{"content":\n\n'
    assert seen.body.replace(broken, b"") == good.body
    assert seen.body.count(broken) == 1
    assert seen.complete


def bad_chunk(seen: Seen, good: Seen, dialect: Dialect) -> None:
    _, complete, behind = dechunk(seen.rest)
    assert not complete
    assert good.body.startswith(seen.body)
    assert behind.startswith((b"zz\r\n", b"5\r\nhelloXX"))
    assert behind.endswith(b"0\r\n\r\n")


def gzipped(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert b"content-encoding: gzip" in seen.head
    plain = gzip.decompress(dechunk(seen.rest)[0])
    assert events(plain)[-1] is not None
    assert dialect.terminal in plain


def gztrunc(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.complete
    with pytest.raises(EOFError):
        gzip.decompress(dechunk(seen.rest)[0])


def gzbomb(seen: Seen, good: Seen, dialect: Dialect) -> None:
    body = dechunk(seen.rest)[0]
    unpacker = zlib.decompressobj(wbits=31)
    assert len(body) < 2 << 20
    assert len(unpacker.decompress(body, 8 << 20)) == 8 << 20
    assert unpacker.unconsumed_tail


def badenc(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert b"content-encoding: sim" in seen.head
    is_good(seen, good, dialect)


def informed(seen: Seen, good: Seen, dialect: Dialect) -> None:
    interim, _, rest = seen.raw.partition(b"\r\n\r\n")
    assert interim.startswith(b"HTTP/1.1 103 ")
    assert rest.startswith(b"HTTP/1.1 200 ")
    is_good(seen._replace(raw=rest), good, dialect)


def after_done(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.body.startswith(good.body)
    assert b" late" in seen.body.removeprefix(good.body)
    assert seen.complete


def dup_usage(seen: Seen, good: Seen, dialect: Dialect) -> None:
    once = [event for event in events(good.body) if b"okens" in orjson.dumps(event.data)]
    twice = [event for event in events(seen.body) if b"okens" in orjson.dumps(event.data)]
    if dialect is not DIALECTS["responses"]:
        assert len(twice) > len(once) or len(events(seen.body)) > len(events(good.body))


def no_usage(seen: Seen, good: Seen, dialect: Dialect) -> None:
    counts = (b'"completion_tokens"', b'"output_tokens"', b'TokenCount"')
    assert any(count in good.body for count in counts)
    assert not any(count in seen.body for count in counts)
    assert dialect.terminal in seen.body
    assert seen.complete


def comments(seen: Seen, good: Seen, dialect: Dialect) -> None:
    same_events(seen, good, dialect)
    assert seen.body.startswith(b": ")


def crlf(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.body.count(b"\n") == seen.body.count(b"\r\n")
    assert events(seen.body) == events(good.body)


def cr(seen: Seen, good: Seen, dialect: Dialect) -> None:
    same_events(seen, good, dialect)
    assert b"\n" not in seen.body


def has(mark: bytes) -> Check:
    def check(seen: Seen, good: Seen, dialect: Dialect) -> None:
        same_events(seen, good, dialect)
        assert mark in seen.body
        assert mark not in good.body

    return check


def with_header(line: bytes) -> Check:
    def check(seen: Seen, good: Seen, dialect: Dialect) -> None:
        assert line in seen.head
        is_good(seen, good, dialect)

    return check


def redirected(seen: Seen, good: Seen, dialect: Dialect) -> None:
    assert seen.status == 302
    assert b"location: http://127.0.0.1:9/" in seen.head


def refused(status: int) -> Check:
    def check(seen: Seen, good: Seen, dialect: Dialect) -> None:
        assert seen.status == status
        body = orjson.loads(seen.body)
        assert body["error"]["message"]
        if dialect is DIALECTS["anthropic"]:
            assert body["type"] == "error"
            assert body["error"]["type"]
        elif dialect is DIALECTS["gemini"]:
            assert body["error"]["code"] == status
            assert body["error"]["status"].isupper()
        else:
            assert body["error"]["type"]
            assert "code" in body["error"]

    return check


CHECKS: dict[str, Check] = {
    **{str(status): refused(status) for status in STATUSES},
    **{word: refused(kind.status) for word, kind in NAMED.items()},
    "early_413": refused(413),
    "": is_good,
    "slow_read": is_good,
    "302": redirected,
    "200err": error_in_200,
    "close_now": close_now,
    "ok_then_close": ok_then_close,
    "ok_then_rst_next": is_good,
    "no_first": no_first,
    "no_headers": no_headers,
    "rst": rst,
    "garbage": is_exactly(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "tls_alert": is_exactly(b"\x15\x03\x01\x00\x02\x02\x28"),
    "smuggle": smuggle,
    "two_cl": two_cl,
    "bare_lf": bare_lf,
    "unasked": unasked,
    "cl_short": cl_short,
    "cl_long": cl_long,
    "html": html,
    "empty": empty,
    "1xx": informed,
    "bighdr": with_header(b"x-big: " + b"a" * 65536),
    "manyhdr": with_header(b"x-many-499: sim"),
    "evil_headers": with_header(EVIL_HEADERS.strip()),
    "chunk_fin": chunk_fin,
    "eof_half": eof_half,
    "nodone": nodone,
    "finish_no_done": finish_no_done,
    "half_stall": half_stall,
    "stall": stall,
    "err_first": err_first,
    "err_mid": err_mid,
    "lifecycle_err": lifecycle_err,
    "bad_utf8": bad_utf8,
    "event1M": huge_event,
    "then_garbage": then_garbage,
    "bad_json": bad_json,
    "bad_chunk": bad_chunk,
    "bad_chunk_crlf": bad_chunk,
    "gzip": gzipped,
    "gztrunc": gztrunc,
    "gzbomb": gzbomb,
    "badenc": badenc,
    "after_done": after_done,
    "dup_usage": dup_usage,
    "no_usage": no_usage,
    "crlf": crlf,
    "cr": cr,
    "comments": comments,
    "multiline": has(b",\ndata: "),
    "nospace": has(b"data:{"),
    "bom": has(b"\xef\xbb\xbf"),
    "idretry": has(b"id: 7\nretry: 3000\n"),
}

ENDLESS = {"pings", "drip", "1xx_flood"}


@pytest.fixture(scope="session")
def good(sim: Simulator) -> dict[str, Seen]:
    """What each dialect answers when nothing goes wrong."""
    return {name: sim.see(dialect.path, dialect.body) for name, dialect in DIALECTS.items()}


def test_every_word_has_a_check() -> None:
    words = {word.removesuffix("1M") for word in CHECKS} | ENDLESS

    assert words == set(FAULTS)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("word", CHECKS)
def test_a_stream_goes_wrong_as_its_word_says(
    sim: Simulator, good: dict[str, Seen], word: str, name: str
) -> None:
    dialect = DIALECTS[name]

    seen = sim.see(dialect.path, dialect.body, sim=word)

    CHECKS[word](seen, good[name], dialect)
    expected = "aborted" if seen.outcome == "open" else "finished"
    if seen.outcome != "open" and word.removesuffix("1M") not in LEGAL:
        expected = "faulted"
    assert seen.record["outcome"] == expected


WHOLE = {
    "chat": ("/v1/chat/completions", {"messages": []}),
    "responses": ("/v1/responses", {"input": "hi"}),
    "anthropic": ("/v1/messages", {"max_tokens": 9, "messages": []}),
    "gemini": ("/v1beta/models/gpt-4o:generateContent", {"contents": []}),
}

STAYS_GOOD = (
    LEGAL | {"finish_no_done", "after_done", "lifecycle", "badenc", "bighdr", "manyhdr"}
) - {"gzip", "event", "no_usage"}
"""Words that leave the JSON of an answer in one piece alone."""


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("word", sorted(STAYS_GOOD - {"lifecycle", "1xx"}))
def test_a_whole_answer_stays_good(sim: Simulator, word: str, name: str) -> None:
    path, body = WHOLE[name]
    wanted = sim.see(path, body)

    seen = sim.see(path, body, sim=word)

    assert orjson.loads(seen.body) == orjson.loads(wanted.body)


@pytest.mark.parametrize(
    ("word", "ending"),
    [
        ("chunk_fin", "fin"),
        ("eof_half", "fin"),
        ("rst", "rst"),
        ("rst-k70", "rst"),
        ("stall", "open"),
        ("half_stall", "open"),
        ("bad_json", "open"),
    ],
)
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_is_cut(sim: Simulator, word: str, ending: str, name: str) -> None:
    path, body = WHOLE[name]
    wanted = sim.see(path, body)

    seen = sim.see(path, body, sim=word)

    assert wanted.body.startswith(seen.body)
    assert 0 < len(seen.body) < len(wanted.body)
    assert seen.ending == ending


@pytest.mark.parametrize("word", ["200err", "err_first", "err_mid", "lifecycle_err"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_is_an_error_in_a_200(sim: Simulator, word: str, name: str) -> None:
    path, body = WHOLE[name]

    seen = sim.see(path, body, sim=word)

    error_in_200(seen, seen, DIALECTS[name])


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_holds_bad_or_very_long_text(sim: Simulator, name: str) -> None:
    path, body = WHOLE[name]

    bad = sim.see(path, body, sim="bad_utf8").body
    long = sim.see(path, body, sim="event1M").body
    unfinished = sim.see(path, body, sim="nodone").body

    with pytest.raises(UnicodeDecodeError):
        bad.decode()
    assert len(long) > 1 << 20
    assert orjson.loads(long)
    assert b"keeper" not in unfinished or orjson.loads(unfinished)


@pytest.mark.parametrize("name", DIALECTS)
def test_pings_never_end_and_say_nothing(sim: Simulator, good: dict[str, Seen], name: str) -> None:
    dialect = DIALECTS[name]
    model = f"gpt-4o-pings-{name}"

    with sim.wire() as wire:
        wire.send(
            request("POST", dialect.path.replace("gpt-4o", model), {**dialect.body, "model": model})
        )
        end = wire.until(b"turns")
        for _ in range(3):
            end = wire.until(b"ping", end)
        assert b"stones" not in wire.buffer

    assert sim.ended(model=model)["outcome"] == "aborted"


def test_a_drip_is_one_byte_a_chunk_inside_an_event(sim: Simulator) -> None:
    dialect = DIALECTS["chat"]

    with sim.wire() as wire:
        wire.send(request("POST", dialect.path, {**dialect.body, "model": "sim-at0-drip"}))
        start = wire.until(b'"role":"assistant"')
        start = wire.until(b"\n\n\r\n", start)
        wire.until(b"1\r\nd\r\n1\r\na\r\n1\r\nt\r\n1\r\na\r\n1\r\n:\r\n", start)

    assert sim.ended(model="sim-at0-drip")["tokens_sent"] == 0


def test_interim_answers_flood_the_client(sim: Simulator) -> None:
    with sim.wire() as wire:
        wire.send(request("POST", "/v1/messages", {"model": "sim-1xx_flood"}))
        end = 0
        for _ in range(100):
            end = wire.until(b"HTTP/1.1 103 Early Hints\r\n", end)
        assert b" 200 " not in wire.buffer

    assert sim.ended(model="sim-1xx_flood")["outcome"] == "aborted"


def test_the_next_request_on_a_doomed_connection_is_reset(sim: Simulator) -> None:
    ask = request("POST", "/v1/chat/completions", {"model": "sim-ok_then_rst_next"})

    with sim.wire() as wire:
        wire.send(ask)
        first = wire.answer()
        wire.send(ask)
        ending = wire.receive()

    assert first.status == 200
    assert ending is None
    assert sim.record(model="")["outcome"] == "faulted"


@pytest.mark.parametrize("count", [0, 1, 100, 1000])
def test_a_reset_comes_after_so_many_body_bytes(sim: Simulator, count: int) -> None:
    dialect = DIALECTS["chat"]

    seen = sim.see(dialect.path, dialect.body, sim=f"rst-k{count}")

    assert seen.ending == "rst"
    assert len(dechunk(seen.rest)[0]) == count
    assert bool(seen.raw) == bool(count)


@pytest.mark.parametrize("tokens", [0, 1, 15, 16])
@pytest.mark.parametrize("name", DIALECTS)
def test_a_fault_strikes_after_so_many_tokens(sim: Simulator, tokens: int, name: str) -> None:
    dialect = DIALECTS[name]

    seen = sim.see(dialect.path, dialect.body, sim=f"chunk_fin-at{tokens}")

    assert seen.record["tokens_sent"] == tokens
    assert dialect.finish not in seen.body
    assert (b"The" in seen.body) == (tokens > 0)


def test_body_pieces_are_as_long_as_asked(sim: Simulator, good: dict[str, Seen]) -> None:
    dialect = DIALECTS["anthropic"]

    seen = sim.see(dialect.path, dialect.body, sim="split7")

    sizes = [int(line, 16) for line in seen.rest.split(b"\r\n") if line in (b"7", b"0")]
    assert seen.body == good["anthropic"].body
    assert sizes.count(7) > 100


def test_a_fault_stops_after_so_many_requests(sim: Simulator) -> None:
    statuses = [sim.post("/v1/chat/completions", {"model": "sim-503x2"}).status for _ in range(4)]

    assert statuses == [503, 503, 200, 200]


def test_a_fault_begins_after_so_many_requests(sim: Simulator) -> None:
    statuses = [
        sim.post("/v1/chat/completions", {"model": "sim-after2_500x1"}).status for _ in range(4)
    ]

    assert statuses == [200, 200, 500, 200]


def test_every_word_is_on_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()

    missing = [word for word in FAULTS if word and f"`{word}" not in page]

    assert missing == []
