"""A client's whole answer."""

from __future__ import annotations

from proxy.dialects import ir
from proxy.dialects.loss import Loss
from proxy.dialects.openai_responses.answer import render_response
from tests.dialects.answers import asked, checked


def answer(*blocks: ir.Block, finish: ir.Finish = "stop") -> dict[str, object]:
    response = ir.Response(
        "msg_1", "m", 5, [ir.Choice(list(blocks), finish)], ir.Usage(input=3, output=2), origin="x"
    )
    return checked(render_response(response, asked(), Loss()))


def test_an_answer_is_complete() -> None:
    made = answer(ir.Text("Hi"))

    assert made["status"] == "completed"
    assert made["output"] == [
        {
            "id": "msg_1_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}],
        }
    ]


def test_an_answer_that_was_cut_off_says_so() -> None:
    made = answer(ir.Text("And th"), finish="length")

    assert made["status"] == "incomplete"
    assert made["incomplete_details"] == {"reason": "max_output_tokens"}


def test_an_answer_that_failed_has_an_error() -> None:
    made = answer(finish="error")

    assert made["status"] == "failed"
    assert made["error"]


def test_only_the_first_of_several_answers_is_given() -> None:
    loss = Loss()
    choices = [ir.Choice([ir.Text(text)], "stop") for text in ("One", "Two")]

    made = checked(render_response(ir.Response("1", "m", 5, choices, origin="x"), asked(), loss))

    assert len(made["output"]) == 1
    assert loss.names == {"n": "n"}
