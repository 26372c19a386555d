"""A stream told at once, and an answer told block by block."""

from __future__ import annotations

import copy

from hypothesis import given

from proxy.dialects import ir
from proxy.dialects.fold import Fold, unfold
from tests.dialects.examples import responses, streams
from tests.dialects.laws import grammar

LINK = ir.Citation(url="https://example.com")
TOKENS: list[ir.Json] = [{"token": "H", "logprob": -0.5}]


def folded(events: list[ir.Event]) -> Fold:
    fold = Fold()
    fold.add(events)
    return fold


@given(response=responses())
def test_an_answer_told_and_collected_is_the_same(response: ir.Response) -> None:
    before = copy.deepcopy(response)

    events = list(unfold(response))

    assert grammar(events) == []
    assert folded(events).response == before
    assert response == before


def test_blocks_of_every_kind_survive_being_told() -> None:
    blocks: list[ir.Block] = [
        ir.Text("Hi", [LINK], TOKENS, signature="s", origin="gemini", extras={"x": 1}),
        ir.Refusal("No."),
        ir.Media("image", mime="image/png", data="aGk="),
        ir.Media("audio", data="aGk=", transcript="Hi"),
        ir.Reasoning("Hm", "s", "anthropic", id="rs_1"),
        ir.Reasoning(signature="s", origin="openai", redacted=True),
        ir.ToolCall("c", "f", "{}", signature="s", origin="gemini"),
        ir.Opaque("openai", "web_search_call", {"id": "ws_1"}),
    ]
    choice = ir.Choice(blocks, "stop", "END", "stop_sequence", {"x": 1})
    response = ir.Response(
        "id", "m", 5, [choice], ir.Usage(1, 2, 3, 4), "flex", "openai.chat", {"y": 2}
    )

    events = list(unfold(response))

    assert grammar(events) == []
    assert folded(events).response == response


@given(events=streams())
def test_collecting_changes_no_event(events: list[ir.Event]) -> None:
    before = copy.deepcopy(events)

    fold = folded(events)

    assert events == before
    assert fold.ended
    assert fold.error is None


def test_every_delta_grows_its_block() -> None:
    fold = Fold()
    starts: list[ir.Block] = [
        ir.Text("H"),
        ir.Reasoning("H"),
        ir.ToolCall("c", "f", "{"),
        ir.Media("audio", data="a", transcript="H"),
    ]
    fold.add(ir.BlockStart(index, block) for index, block in enumerate(starts))

    fold.add([ir.TextDelta(0, "i"), ir.CitationDelta(0, LINK), ir.LogprobsDelta(0, TOKENS)])
    fold.add([ir.ReasoningDelta(1, "m"), ir.SignatureDelta(1, "s", "anthropic")])
    fold.add([ir.ArgumentsDelta(2, "}"), ir.SignatureDelta(2, "s", "gemini")])
    fold.add([ir.DataDelta(3, "b"), ir.TextDelta(3, "i")])

    assert fold.response.choices[0].blocks == [
        ir.Text("Hi", [LINK], TOKENS),
        ir.Reasoning("Hm", "s", "anthropic"),
        ir.ToolCall("c", "f", "{}", signature="s", origin="gemini"),
        ir.Media("audio", data="ab", transcript="Hi"),
    ]
    assert starts[0] == ir.Text("H")


def test_pieces_of_data_that_were_encoded_by_themselves_are_one() -> None:
    fold = Fold()

    fold.add([ir.BlockStart(0, ir.Media("audio"))])
    fold.add(ir.DataDelta(0, piece) for piece in ("YWJjZA==", "ZWZnaA==", "aQ=="))

    assert fold.response.choices[0].blocks == [ir.Media("audio", data="YWJjZGVmZ2hp")]


def test_what_a_block_cannot_take_is_left_out() -> None:
    fold = Fold()

    fold.add([ir.BlockStart(0, ir.Text("Hi")), ir.ArgumentsDelta(0, "{}"), ir.TextDelta(3, "x")])

    assert fold.response.choices[0].blocks == [ir.Text("Hi")]


def test_the_last_usage_counts_and_an_error_is_kept() -> None:
    fold = Fold()

    fold.add([ir.ResponseStart("id", usage=ir.Usage(input=1))])
    assert fold.response.usage == ir.Usage(input=1)
    fold.add([ir.UsageReport(ir.Usage(input=2)), ir.UsageReport(ir.Usage(input=3)), ir.Ping()])
    fold.add([ir.StreamError(529, "busy", "overloaded")])

    assert fold.response.usage == ir.Usage(input=3)
    assert fold.error == ir.StreamError(529, "busy", "overloaded")
    assert not fold.ended


def test_choices_are_in_the_order_of_their_numbers() -> None:
    fold = Fold()

    fold.add([ir.BlockStart(0, ir.Text("b"), 1), ir.BlockStart(1, ir.Text("a"), 0)])
    fold.add([ir.ChoiceEnd("length", 1), ir.ChoiceEnd("stop", 0, extras={"x": 1})])

    assert [choice.finish for choice in fold.response.choices] == ["stop", "length"]
    assert fold.response.choices[0] == ir.Choice([ir.Text("a")], "stop", extras={"x": 1})
