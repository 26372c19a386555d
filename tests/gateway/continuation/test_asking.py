"""What is asked for the rest of an answer: the client's request and a turn or two."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest

from proxy.dialects import ir
from proxy.gateway.continuation.asking import asking, can, tokens_in, turns
from proxy.gateway.endpoints import match
from proxy.gateway.exchange import Exchange
from proxy.wire.envelope import Envelope
from tests.gateway.rig import PATHS

SAID = "The mill turns slowly while the river sings "
USER = {"role": "user", "content": "hi"}
ASKED = ir.Request(messages=[ir.Message("user", [ir.Text("hi")])])


def exchange(name: str, body: dict[str, Any], *, query: str = "alt=sse") -> Exchange:
    found = match("POST", PATHS[name])
    assert found is not None
    made = object.__new__(Exchange)
    made.endpoint, made.query, made.stream = found[0], query, True
    made.body = orjson.dumps(body)
    made.envelope = Envelope.parse(made.body)
    made.asked, made.books, made.witness = ASKED, None, None
    return made


def sent(made: Exchange, rung: str) -> Any:
    added = turns(rung, SAID, ASKED)
    assert added is not None
    return orjson.loads(asking(made, added).body)


def test_the_same_request_matches() -> None:
    made = exchange("chat", {"messages": [USER]})
    assert turns("match", SAID, ASKED) == []
    assert turns("anchor", "", ASKED) == []
    assert asking(made, []) is made


@pytest.mark.parametrize("name", ["chat", "messages", "responses"])
def test_the_answer_is_a_turn_at_the_end(name: str) -> None:
    field = "input" if name == "responses" else "messages"
    body = sent(exchange(name, {"model": "m", field: [USER], "seed": 1}), "prefill")
    assert body == {
        "model": "m",
        field: [USER, {"role": "assistant", "content": SAID.rstrip()}],
        "seed": 1,
    }
    first, answer, ask = sent(exchange(name, {field: [USER]}), "anchor")[field]
    assert (first, answer["content"], ask["role"]) == (USER, SAID, "user")
    assert f"\n{SAID.rstrip()[-40:].lstrip()}\n" in ask["content"]


def test_a_text_alone_is_the_users() -> None:
    body = sent(exchange("responses", {"input": "hi"}), "prefill")
    assert body["input"] == [USER, {"role": "assistant", "content": SAID.rstrip()}]


@pytest.mark.parametrize("several", [True, False])
def test_gemini_has_contents_of_parts(several: bool) -> None:
    first = {"role": "user", "parts": [{"text": "hi"}]}
    body = sent(exchange("gemini", {"contents": [first] if several else first}), "prefill")
    last = {"role": "model", "parts": [{"text": SAID.rstrip()}]}
    assert body["contents"] == [first, last]


@pytest.mark.parametrize(("most", "left"), [(100, 100 - tokens_in(SAID)), (20, 16), (3, 3)])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_a_limit_is_what_is_left_of_it(name: str, most: int, left: int) -> None:
    assert sent(exchange("chat", {"messages": [USER], name: most}), "anchor")[name] == left


def test_an_answer_the_client_began_itself_cannot_be_asked_for() -> None:
    began = ir.Request(messages=[*ASKED.messages, ir.Message("assistant", [ir.Text("I")])])
    for rung in ("anchor", "prefill"):
        assert turns(rung, SAID, began) is None
        assert turns(rung, " \n", ASKED) is None
    assert turns("match", SAID, began) == []


def test_streams_of_some_dialects_can_be_continued() -> None:
    assert all(can(exchange(name, {})) for name in ("chat", "messages", "responses", "gemini"))
    assert not can(exchange("gemini", {}, query=""))
    assert not can(exchange("embeddings", {}))
    whole = exchange("chat", {})
    whole.stream = False
    assert not can(whole)


def test_what_was_asked_is_read_anew() -> None:
    made = exchange("chat", {"messages": [USER]})
    other = asking(made, cast("Any", turns("anchor", SAID, ASKED)))
    assert other.asked is None
    assert made.asked is ASKED
    assert orjson.loads(made.body) == {"messages": [USER]}
