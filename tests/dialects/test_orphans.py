"""Results of calls that were never made."""

from __future__ import annotations

import copy

from proxy.dialects import ir
from proxy.dialects.loss import Loss
from proxy.dialects.orphans import mended

IMAGE = ir.Media("image", "image/png", "aGk=")


def asked(*messages: ir.Message) -> ir.Request:
    return ir.Request(messages=list(messages), origin="openai.chat")


def called(*ids: str) -> ir.Message:
    return ir.Message("assistant", [ir.ToolCall(id, "f") for id in ids])


def result(id: str, text: str = "it") -> ir.ToolResult:
    return ir.ToolResult(id, "f", [ir.Text(text)])


def test_a_conversation_in_order_is_the_same_object() -> None:
    request = asked(
        called("1", "2"),
        ir.Message("user", [result("1")]),
        ir.Message("system", [ir.Text("Be brief.")]),
        ir.Message("user", [result("2")]),
    )
    loss = Loss()

    assert mended(request, "gemini.generate", loss) is request
    assert not loss


def test_a_result_of_no_call_becomes_words_and_pictures_of_the_user() -> None:
    orphan = ir.ToolResult("x", "f", [ir.Text("it"), IMAGE, ir.Opaque("openai", "odd")])
    request = asked(called("1"), ir.Message("user", [result("1"), orphan, ir.Text("and?")]))
    before = copy.deepcopy(request)
    loss = Loss()

    made = mended(request, "gemini.generate", loss)

    assert made.messages[1].content == [result("1"), ir.Text("it"), IMAGE, ir.Text("and?")]
    assert list(loss.names) == ["tool_result"]
    assert request == before


def test_a_result_counts_for_the_last_turn_of_the_model_only() -> None:
    request = asked(
        called("1"),
        ir.Message("user", [ir.Text("Never mind.")]),
        ir.Message("assistant", [ir.Text("Well.")]),
        called("2"),
        ir.Message("user", [result("1", "late"), result("2"), result("2", "twice")]),
    )

    made = mended(request, "gemini.generate", Loss())

    assert made.messages[-1].content == [ir.Text("late"), result("2"), ir.Text("twice")]


def test_pieces_of_one_turn_belong_together() -> None:
    request = asked(called("1"), called("2"), ir.Message("user", [result("1"), result("2")]))

    assert mended(request, "gemini.generate", Loss()) is request


def test_calls_of_two_turns_with_one_id_have_two() -> None:
    request = asked(
        called("call_0", "call_1"),
        ir.Message("user", [result("call_0", "a"), result("call_1", "b")]),
        called("call_0"),
        ir.Message("user", [result("call_0", "c")]),
        called("call_0", "call_0"),
        ir.Message("user", [result("call_0", "d"), result("call_0", "e"), result("call_0", "f")]),
    )
    before = copy.deepcopy(request)

    made = mended(request, "anthropic.messages", Loss()).messages

    assert made[:2] == request.messages[:2]
    assert made[2:4] == [called("call_0_2"), ir.Message("user", [result("call_0_2", "c")])]
    assert made[4] == called("call_0_3", "call_0_4")
    assert made[5].content == [result("call_0_3", "d"), result("call_0_4", "e"), ir.Text("f")]
    assert request == before


def test_calls_without_a_result_are_left_alone() -> None:
    request = asked(called("1"), ir.Message("user", [ir.Text("x")]), called("2"))

    assert mended(request, "gemini.generate", Loss()) is request


def test_a_client_of_the_same_dialect_is_not_corrected() -> None:
    request = asked(ir.Message("user", [result("x")]))

    assert mended(request, "openai.chat", Loss()) is request
