"""Reading requests and taking steps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.simulator.raw import dechunk, request

if TYPE_CHECKING:
    from tests.simulator.raw import Simulator

CHAT = "/v1/chat/completions"


def ask(model: str, **more: object) -> bytes:
    return request("POST", CHAT, {"model": model, **more})


def test_pipelined_requests_are_answered_in_order(sim: Simulator) -> None:
    with sim.wire() as wire:
        wire.send(b"".join(ask(f"sim-n1-id{index}", stream=index % 2 == 0) for index in range(100)))

        models = [re.findall(rb'"model":"([^"]*)"', wire.answer().body)[0] for _ in range(100)]

    assert models == [b"sim-n1-id%d" % index for index in range(100)]


def test_a_request_may_come_byte_by_byte(sim: Simulator) -> None:
    with sim.wire() as wire:
        for byte in ask("sim-n2-idbytes"):
            wire.send(bytes([byte]))

        assert wire.answer().json()["usage"]["completion_tokens"] == 2


def test_a_request_may_come_in_chunks(sim: Simulator) -> None:
    body = orjson.dumps({"model": "sim-n2-idchunks"})
    head = f"POST {CHAT} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    pieces = b"".join([b"1\r\n%c\r\n" % byte for byte in body]) + b"0\r\n\r\n"

    with sim.wire() as wire:
        for _ in range(2):
            wire.send(head)
            wire.send(pieces)
            assert wire.answer().json()["model"] == "sim-n2-idchunks"

    assert sim.record(model="sim-n2-idchunks")["body_size"] == len(body)


def test_a_large_body_is_read_whole(sim: Simulator) -> None:
    with sim.wire() as wire:
        wire.send(ask("sim-n1-idlarge", messages=["a" * (8 << 20)]))
        wire.answer()
        wire.send(ask("sim-n1-idnext"))
        wire.answer()

    assert sim.record(model="sim-n1-idlarge")["body_size"] > 8 << 20


def test_a_client_that_expects_100_gets_it_first(sim: Simulator) -> None:
    body = orjson.dumps({"model": "sim-n1"})

    with sim.wire() as wire:
        head = request("POST", CHAT, body, expect="100-continue").removesuffix(body)
        wire.send(head)
        wire.until(b"HTTP/1.1 100 Continue\r\n\r\n")
        wire.buffer = b""
        wire.send(body)

        assert wire.answer().status == 200


def test_a_connection_is_closed_when_the_client_says_so(sim: Simulator) -> None:
    with sim.wire() as wire:
        wire.send(request("POST", CHAT, {"model": "sim-n1"}, connection="close"))
        wire.answer()

        assert wire.receive() == b""


@pytest.mark.parametrize(
    "wire_bytes",
    [
        b"NONSENSE\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"a" * (1 << 19),
    ],
)
def test_what_is_not_http_is_refused(sim: Simulator, wire_bytes: bytes) -> None:
    with sim.wire() as wire:
        wire.send(wire_bytes)

        assert wire.answer().status == 400


@pytest.mark.parametrize("body", [b"no json", b"[]", b'{"model":5}', b'{"model":"m","stream":9}'])
@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1beta/models/m:generateContent"])
def test_a_body_of_the_wrong_shape_is_a_400_of_the_dialect(
    sim: Simulator, path: str, body: bytes
) -> None:
    answer = sim.post(path, body)

    assert answer.status == 400
    assert "error" in answer.json()


@pytest.mark.parametrize(
    "body",
    [
        {"model": "sim-tool", "tools": 5},
        {"model": "sim-tool", "tools": [5, {"function": 5}], "tool_choice": []},
        {"model": "sim", "input": {}, "prompt": 7, "documents": 9, "thinking": [], "reasoning": 3},
        {"model": "sim", "generationConfig": [], "toolConfig": 3, "requests": 3},
        {"model": "sim-stop", "documents": {"a": 1}, "stop_sequences": {"a": 1}},
        {"model": "sim-signed"},
        {"model": "sim-signed", "messages": [{}], "outputConfig": {"textFormat": {"type": "json"}}},
    ],
)
@pytest.mark.parametrize(
    "path",
    [CHAT, "/v1/completions", "/v1/messages", "/v1/responses", "/v1/rerank", "/v1/embeddings",
     "/v1beta/models/sim-tool:generateContent", "/v1beta/models/sim:batchEmbedContents",
     "/model/sim-signed/converse"],
)  # fmt: skip
def test_fields_of_the_wrong_shape_never_break_the_simulator(
    sim: Simulator, path: str, body: dict[str, object]
) -> None:
    assert sim.post(path, body).status in (200, 400)


@pytest.mark.parametrize("field", [b"messages", b"tools"])
def test_what_is_nested_without_end_is_refused(sim: Simulator, field: bytes) -> None:
    nested = b"[" * 100_000 + b"]" * 100_000

    assert sim.post(CHAT, b'{"model":"sim-tool","%b":%b}' % (field, nested)).status == 400


def test_an_unknown_path_is_a_404(sim: Simulator) -> None:
    assert sim.post("/v1/nothing", {}).status == 404
    assert sim.post("/v1beta/models/m:sing", {}).json()["error"]["status"] == "NOT_FOUND"


def test_the_header_wins_over_the_model(sim: Simulator) -> None:
    answer = sim.post(CHAT, {"model": "sim-503"}, **{"x-sim": "n2"})

    assert (answer.status, answer.json()["usage"]["completion_tokens"]) == (200, 2)


def test_the_header_steers_what_has_no_model(sim: Simulator) -> None:
    with sim.wire() as wire:
        wire.send(request("GET", "/v1/models", **{"x-sim": "401"}))

        assert wire.answer().json()["error"]["code"] == "invalid_api_key"


def test_tokens_come_no_sooner_than_their_time(sim: Simulator) -> None:
    model = "sim-n10-d5-f20-t-idpace"

    answer = sim.post(CHAT, {"model": model, "stream": True})

    begun = sim.record(model=model)["begun_at"] * 1e9
    stamps = [int(found) for found in re.findall(rb'"content":"(\d{20})"', answer.body)]
    assert stamps == sorted(stamps)
    for index, stamp in enumerate(stamps):
        assert stamp - begun >= (20 + 5 * index - 1) * 1e6


def test_a_client_that_leaves_is_an_abort(sim: Simulator) -> None:
    model = "sim-n1000-d10-idleaves"

    with sim.wire() as wire:
        wire.send(ask(model, stream=True))
        wire.until(b" mill")

    entry = sim.ended(model=model)
    assert entry["outcome"] == "aborted"
    assert 2 <= entry["tokens_sent"] < 1000


def test_a_client_that_leaves_inside_its_own_body_is_an_abort(sim: Simulator) -> None:
    before = sim.ledger(last=0)["aborted"]

    with sim.wire() as wire:
        wire.send(b"POST /v1/half HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf")
        sim.record(target="/v1/half")

    assert sim.ended(target="/v1/half")["outcome"] == "aborted"
    assert sim.ledger(last=0)["aborted"] == before + 1


def test_a_client_that_does_not_read_stops_the_stream(sim: Simulator) -> None:
    model = "sim-n100000-s1000-idslow"

    with sim.wire() as wire:
        wire.send(ask(model, stream=True))
        wire.until(b"keeper")
        sent = [sim.record(model=model)["bytes_sent"] for _ in range(20)]

    entry = sim.ended(model=model)
    assert entry["outcome"] == "aborted"
    assert max(sent) < 32 << 20
    assert entry["bytes_sent"] < 100_000_000


def test_a_client_that_reads_late_gets_everything(sim: Simulator) -> None:
    model = "sim-n4000-s1000-idlate"

    with sim.wire() as wire:
        wire.send(ask(model, stream=True))
        sim.record(model=model)
        answer = wire.answer()

    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert answer.body.count(b"x" * 1000) == 4000


def test_an_early_answer_comes_before_the_body(sim: Simulator) -> None:
    with sim.wire() as wire:
        wire.send(b"POST /v1/messages HTTP/1.1\r\ncontent-length: 99999\r\n\r\n")
        wire.send(b'{"model":"sim-early_413","messages":[')
        answer = wire.answer()

        assert (answer.status, answer.header("connection")) == (413, "close")
        assert not wire.receive()


def test_a_body_is_read_slowly_but_whole(sim: Simulator) -> None:
    with sim.wire() as wire:
        wire.send(ask("sim-n1-slow_read", messages=["a" * 150_000]))

        assert wire.answer().status == 200
    assert sim.record(model="sim-n1-slow_read")["body_size"] > 150_000


def test_each_piece_of_a_split_body_is_a_write_of_its_own(sim: Simulator) -> None:
    with sim.wire() as wire:
        wire.send(ask("sim-n2-split1", stream=True))
        end = wire.until(b"\r\n0\r\n\r\n")
        body = wire.buffer[:end].partition(b"\r\n\r\n")[2]

    assert body.startswith(b"1\r\nd\r\n1\r\na\r\n1\r\nt\r\n1\r\na\r\n")
    assert b" mill" in dechunk(body)[0]
