"""What a log line holds, for programs and for people."""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.lines import (
    LONGEST,
    LONGEST_MESSAGE,
    QUEUED,
    Entry,
    RequestLine,
    clip,
    clip_error,
    clip_message,
    escape,
    name,
    to_console,
    to_json,
)
from proxy.core.redact import forget, register

NOON = 1_800_000_000.25
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
OWN_COLOURS = re.compile(rb"\x1b\[(?:0|2|31|32|33)m")


def request(**fields: object) -> RequestLine:
    known: dict[str, object] = {
        "time": NOON,
        "request_id": ID,
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 200,
        "outcome": "ok",
    }
    return RequestLine(**(known | fields))  # type: ignore[arg-type]


@pytest.fixture
def canary() -> Iterator[str]:
    register("planted-canary-secret")
    yield "planted-canary-secret"
    forget()


def test_a_request_is_one_json_object_with_its_time_in_words() -> None:
    line = to_json(
        request(model="gpt-4o", stream=True, total_ms=812.34567, ttft_ms=210.0, input_tokens=0)
    )

    assert line.endswith(b"}\n")
    assert orjson.loads(line) == {
        "time": "2027-01-15T08:00:00.250Z",
        "level": "info",
        "event": "request",
        "request_id": ID,
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 200,
        "outcome": "ok",
        "stream": True,
        "model": "gpt-4o",
        "total_ms": 812.346,
        "ttft_ms": 210.0,
        "input_tokens": 0,
    }


def test_a_message_is_one_json_object() -> None:
    line = to_json(Entry(NOON, "error", "headrace.x", "it failed", "Traceback\n  x\n"))

    assert line.count(b"\n") == 1
    assert orjson.loads(line) == {
        "time": "2027-01-15T08:00:00.250Z",
        "level": "error",
        "logger": "headrace.x",
        "message": "it failed",
        "error": "Traceback\n  x\n",
    }


def test_a_person_reads_what_matters_of_a_request() -> None:
    line = to_console(
        request(
            status=200,
            outcome="truncated",
            cause="timeout_idle",
            model="gpt-4o",
            deployment="gpt-4o/0:openai",
            total_ms=812.3,
            ttft_ms=210.1,
            overhead_ms=0.412,
            attempts=2,
            input_tokens=100,
            cached_tokens=20,
            output_tokens=30,
            key="my-app",
        )
    ).decode()

    assert line.partition(" ")[2] == (
        "info     POST /v1/chat/completions 200 truncated (timeout_idle) gpt-4o -> gpt-4o/0:openai "
        f"812.3 ms ttft 210.1 own 0.41 2 attempts 120+30 tokens key my-app {ID}\n"
    )


def test_a_person_sees_a_traceback_indented_below_its_message() -> None:
    line = to_console(Entry(NOON, "error", "headrace", "failed", "one\n  two\n")).decode()

    assert line.partition(" ")[2] == "error    headrace: failed\n    one\n      two\n"


def test_colour_only_when_asked_for() -> None:
    entry = Entry(NOON, "error", "headrace", "failed")

    assert b"\x1b" not in to_console(entry)
    assert b"\x1b[31merror" in to_console(entry, colour=True)
    assert b"\x1b[32minfo" in to_console(request(), colour=True)
    assert b"\x1b[31minfo" in to_console(request(status=502, outcome="failed"), colour=True)


EVIL = "a\r\nb\x00\x1b[31mred\x07\x7f\x85\x9b1m\u2028\u2029\u202e\u200b\ufeff\udc80"


@given(text=st.text() | st.just(EVIL))
def test_no_text_from_outside_can_forge_a_line_or_move_a_cursor(text: str) -> None:
    hidden = re.compile(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
    )
    fields = {"model": text, "user_agent": text, "request_id": text, "client": text, "method": text}

    for entry in (request(**fields), Entry(NOON, "info", "x", text)):
        as_json = to_json(entry).decode()
        as_text = to_console(entry, colour=True)

        assert as_json.count("\n") == 1
        assert not hidden.search(as_json)
        assert orjson.loads(as_json)
        assert as_text.count(b"\n") == 1
        assert not hidden.search(OWN_COLOURS.sub(b"", as_text).decode())


def test_json_keeps_the_character_it_escapes() -> None:
    line = to_json(request(model="a\u2028b\x9bc"))

    assert b"\\u2028" in line
    assert orjson.loads(line)["model"] == "a\u2028b\x9bc"


def test_a_traceback_cannot_forge_a_line_either() -> None:
    entry = Entry(NOON, "error", "x", "failed", "ValueError: a\n12:00:00.000 info  forged\r\x1b[2J")

    lines = to_console(entry).decode().splitlines()

    assert lines[1:] == ["    ValueError: a", "    12:00:00.000 info  forged\\x0d\\x1b[2J"]


@pytest.mark.parametrize("field", ["model", "upstream_model", "user_agent", "request_id", "client"])
def test_a_long_name_is_cut(field: str) -> None:
    line = request(**{field: "é" * 65_536})

    clip(line)
    written = orjson.loads(to_json(line))[field]

    assert len(written) <= LONGEST
    assert written.startswith("é" * 100)


def test_clipping_lets_go_of_a_flood_of_text() -> None:
    line = request(model="m" * 1_000_000, user_agent="u" * 1_000_000, upstream_model="x" * 5000)

    clip(line)

    assert {len(line.model), len(line.user_agent), len(line.upstream_model)} == {QUEUED}


@pytest.mark.parametrize("field", ["model", "upstream_model", "user_agent", "request_id", "client"])
@pytest.mark.parametrize("write", [to_json, to_console])
def test_a_secret_in_a_name_is_masked(field: str, write: object, canary: str) -> None:
    for secret in (canary, "sk-proj-abcdefgh12345678"):
        line = request(**{field: f"gpt {secret}"})

        assert secret.encode() not in write(line)  # type: ignore[operator]


def test_a_name_that_is_a_secret_since_it_was_seen_is_masked_from_then_on() -> None:
    assert name("plain-words-of-a-kind") == "plain-words-of-a-kind"

    register("plain-words-of-a-kind")

    assert name("plain-words-of-a-kind") == "***"


@given(before=st.integers(0, 2 * QUEUED))
def test_a_secret_on_the_cutting_edge_of_a_name_leaves_no_piece(before: int) -> None:
    register("PLANTEDCANARYSECRET")
    line = request(model="." * before + "PLANTEDCANARYSECRET" + "." * 100)

    clip(line)

    assert b"PLA" not in to_json(line)


@given(shift=st.integers(-40, 40))
def test_a_secret_on_the_cutting_edge_of_a_message_leaves_no_piece(shift: int) -> None:
    register("PLANTEDCANARYSECRET")
    edge = "." * (2 * LONGEST_MESSAGE + shift)
    message = clip_message(f"{edge}PLANTEDCANARYSECRET{edge}")
    error = clip_error(f"{edge}PLANTEDCANARYSECRET{edge}")

    written = to_json(Entry(NOON, "error", "x", message, error))

    assert not re.search(rb"PLA|RET", written)


def test_a_long_message_keeps_its_beginning_and_a_long_traceback_its_end() -> None:
    text = "first" + "." * 100_000 + "last"

    entry = Entry(NOON, "error", "x", clip_message(text), clip_error(text))
    written = orjson.loads(to_json(entry))

    assert written["message"].startswith("first")
    assert written["error"].endswith("last")
    assert len(written["message"]) + len(written["error"]) < 2 * LONGEST_MESSAGE + 10


def test_escape_leaves_ordinary_text_alone() -> None:
    assert escape("Grüße, 世界 🙂") == "Grüße, 世界 🙂"
