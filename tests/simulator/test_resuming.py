"""The rest of an answer, as a model that is asked for it gives it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.simulator import resuming, words
from proxy.simulator.answers import Ask, Call
from proxy.simulator.errors import Refused
from proxy.simulator.grammar import Steer

STEER = Steer(tokens=30, resume=True)
WHOLE = words.whole(STEER, 30)
SAID = WHOLE[:70]


def call(*turns: dict[str, Any]) -> Call:
    body = orjson.dumps({"model": "sim", "messages": [{"role": "user", "content": "hi"}, *turns]})
    return Call(Ask(), STEER, b"0" * 16, body=body)


def text(found: words.Text | None) -> str:
    assert found is not None
    return found.whole(STEER)


@pytest.mark.parametrize("content", [SAID, [{"type": "text", "text": SAID}]], ids=["text", "parts"])
def test_a_last_turn_of_the_model_is_gone_on_with(content: object) -> None:
    assert text(resuming.resumed(call({"role": "assistant", "content": content}))) == WHOLE[70:]


def test_a_user_who_asks_gets_the_end_repeated_first() -> None:
    asked = call({"role": "assistant", "content": SAID}, {"role": "user", "content": "go on"})
    rest = text(resuming.resumed(asked))
    assert rest == " ".join(SAID[-40:].split()) + WHOLE[len(SAID.rstrip()) :]


def test_another_answer_is_none_of_ours() -> None:
    assert resuming.resumed(call({"role": "assistant", "content": "Something else."})) is None
    assert resuming.resumed(call()) is None


def test_a_model_may_want_no_beginning_of_its_answer() -> None:
    resuming.refuse_prefill(call())
    with pytest.raises(Refused, match="prefill"):
        resuming.refuse_prefill(call({"role": "assistant", "content": SAID}))
