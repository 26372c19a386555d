"""What a decoder remembers."""

from __future__ import annotations

from proxy.dialects import ir
from proxy.dialects.openai_responses.pieces import Block, Item


def test_only_the_rest_of_a_text_is_news() -> None:
    out: list[ir.Event] = []
    block = Block(0)
    block.say("Hel", out)

    assert block.rest("Hello") == "lo"
    assert block.rest("Hallo") == ""
    assert out == [ir.TextDelta(0, "Hel")]


def test_a_block_that_has_ended_says_no_more() -> None:
    out: list[ir.Event] = []
    block = Block(0)
    block.close(out)
    block.close(out)
    block.say("x", out)
    block.argue("x", out)
    block.weigh([{}], out)
    block.cite([{}], out)

    assert out == [ir.BlockEnd(0)]


def test_parts_of_a_thought_are_apart() -> None:
    out: list[ir.Event] = []
    item = Item("reasoning", "rs_1")
    item.blocks[0] = Block(0)

    item.think(0, "One.", out, whole=False)
    item.think(0, "One.", out, whole=True)
    item.think(1, "Two.", out, whole=True)

    assert (
        "".join(event.text for event in out if isinstance(event, ir.ReasoningDelta))
        == "One.\n\nTwo."
    )


def test_a_call_is_known_by_its_call_id_and_a_message_by_being_one() -> None:
    call = Item("function_call", "fc_1")
    call.learn({"call_id": "call_1"})

    assert call.matches({"type": "function_call", "id": "other", "call_id": "call_1"})
    assert not call.matches({"type": "function_call", "id": "fc_1", "call_id": "call_2"})
    assert Item("message", "a").matches({"type": "message", "id": "b"})
    assert not Item("x", "a").matches({"type": "x", "id": "b"})
    assert Item("x", "a").matches({"type": "x", "id": "b"}, at_its_place=True)
