"""Ids, and state that travels through dialects that have no place for it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import identity, ir

FAMILIES = st.sampled_from(["anthropic", "gemini", "openai", "bedrock", "gemini/next"])


@given(origin=FAMILIES, state=st.text())
def test_what_is_sealed_comes_back(origin: str, state: str) -> None:
    sealed = identity.seal(origin, state)

    assert identity.unseal(sealed, "other") == (origin, state)
    assert re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", sealed)
    bare = sealed.rstrip("=").replace("+", "-").replace("/", "_")
    assert identity.unseal(bare, "other") == (origin, state), "as some clients write base64"


@given(text=st.text() | st.binary().map(lambda raw: "aHIxO" + raw.decode("latin-1")))
def test_what_we_did_not_seal_is_the_familys_own(text: str) -> None:
    origin, state = identity.unseal(text, "anthropic")

    assert (origin, state) == ("anthropic", text) or text.startswith("aHIxO")


def test_a_family_is_given_its_own_state_bare() -> None:
    assert identity.sealed("sig", "anthropic", "anthropic") == "sig"
    assert identity.sealed("", "gemini", "anthropic") == ""
    assert identity.unseal(identity.sealed("sig", "gemini", "anthropic"), "anthropic") == (
        "gemini",
        "sig",
    )


@given(id=st.text())
def test_an_id_is_one_that_every_dialect_takes(id: str) -> None:
    made = identity.tool_id(id)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", made)
    assert identity.tool_id(id) == made, "the same every time"
    assert identity.tool_id(made) == made, "and left alone once it is one"


def test_different_ids_stay_different() -> None:
    odd = ["a.b", "a:b", "", "x" * 65, "x" * 66, "é", "call_1"]

    assert len({identity.tool_id(id) for id in odd}) == len(odd)


def test_new_ids_are_new() -> None:
    assert identity.new_id("call_") != identity.new_id("call_")


@pytest.mark.parametrize(
    ("id", "prefix", "renamed"),
    [
        ("chatcmpl-abc", "msg_", "msg_abc"),
        ("msg_abc", "msg_", "msg_abc"),
        ("resp_abc", "chatcmpl-", "chatcmpl-abc"),
        ("gen-1-2", "resp_", "resp_1-2"),
        ("abc", "resp_", "resp_abc"),
    ],
)
def test_an_answer_is_renamed_for_another_dialect(id: str, prefix: str, renamed: str) -> None:
    assert identity.renamed(id, prefix) == renamed


def test_an_answer_without_a_name_gets_one() -> None:
    assert re.fullmatch(r"msg_[0-9a-f]{24}", identity.renamed("", "msg_"))


def call(id: str, name: str = "f") -> ir.ToolCall:
    return ir.ToolCall(id, name)


def result(id: str = "", name: str = "") -> ir.ToolResult:
    return ir.ToolResult(id, name)


def conversation(*turns: list[ir.Block]) -> list[ir.Message]:
    roles: tuple[ir.Role, ir.Role] = ("assistant", "user")
    return [ir.Message(roles[number % 2], blocks) for number, blocks in enumerate(turns)]


def ids(messages: list[ir.Message]) -> list[tuple[str, str]]:
    return [
        (block.id, block.name)
        for message in messages
        for block in message.content
        if isinstance(block, ir.ToolCall | ir.ToolResult)
    ]


def test_calls_without_ids_are_named_by_their_place() -> None:
    def turns() -> list[ir.Message]:
        return conversation(
            [call("", "f"), call("", "g")],
            [result(name="g"), result(name="f")],
            [call("", "f")],
            [result(name="f")],
        )

    first, second = turns(), turns()
    identity.complete(first)
    identity.complete(second)

    assert ids(first) == [
        ("call_0_f", "f"), ("call_1_g", "g"),
        ("call_1_g", "g"), ("call_0_f", "f"),
        ("call_2_f", "f"), ("call_2_f", "f"),
    ]  # fmt: skip
    assert ids(first) == ids(second), "so that prompt caches keep working"


def test_results_of_two_calls_of_one_name_answer_them_in_order() -> None:
    messages = conversation([call("a"), call("b")], [result(name="f"), result(name="f")])

    identity.complete(messages)

    assert [id for id, _ in ids(messages)] == ["a", "b", "a", "b"]


def test_a_result_is_told_the_name_of_its_call() -> None:
    messages = conversation([call("a", "f"), call("b", "g")], [result("b"), result("a")])

    identity.complete(messages)

    assert ids(messages)[2:] == [("b", "g"), ("a", "f")]


def test_calls_of_one_turn_may_be_in_two_messages() -> None:
    messages = [
        ir.Message("assistant", [call("a", "f")]),
        ir.Message("assistant", [call("b", "g")]),
        ir.Message("user", [result("a")]),
        ir.Message("user", [result("b")]),
    ]

    identity.complete(messages)

    assert ids(messages)[2:] == [("a", "f"), ("b", "g")]


def test_results_of_no_call_keep_what_they_have() -> None:
    messages = conversation([ir.Text("Hi")], [result("x"), result(name="a b"), result()])

    identity.complete(messages)

    assert ids(messages) == [("x", ""), ("call_a_b", "a b"), ("call_", "")]


def test_an_old_call_is_not_answered_in_a_later_turn() -> None:
    messages = conversation(
        [call("a", "f")], [ir.Text("never mind")], [call("b", "f")], [result(name="f")]
    )

    identity.complete(messages)

    assert ids(messages)[-1] == ("b", "f")


def carried(blocks: list[ir.Block]) -> list[ir.Block]:
    """The blocks with their carriers, and nothing on them: what a client that has no place for it gives back."""
    found: list[ir.Block] = []
    for block in blocks:
        before, after = identity.carriers(block)
        bare = block
        if isinstance(block, ir.Text):
            bare = ir.Text(block.text)
        elif isinstance(block, ir.ToolCall):
            bare = ir.ToolCall(block.id, block.name, block.arguments)
        found += [one for one in (before, bare, after) if one is not None]
    return found


SIGNED = st.lists(
    st.one_of(
        st.just(ir.Reasoning("Hm", "s", "anthropic")),
        st.sampled_from(["", "s1", "s2"]).map(
            lambda state: ir.Text("Hi", signature=state, origin="gemini" if state else "")
        ),
        st.sampled_from(["", "s3", "s4"]).map(
            lambda state: ir.ToolCall("c", "f", signature=state, origin="gemini" if state else "")
        ),
    ),
    max_size=6,
)


@given(blocks=SIGNED)
def test_state_that_is_carried_beside_its_block_comes_back_to_it(blocks: list[ir.Block]) -> None:
    assert identity.attach(carried(blocks)) == blocks


def test_state_whose_block_is_gone_is_left_out() -> None:
    lost: list[ir.Block] = [
        ir.Reasoning(signature="s", origin="gemini/last", redacted=True),
        ir.Text("Hi"),
        ir.Reasoning(signature="s", origin="gemini/next", redacted=True),
    ]

    assert identity.attach(lost) == [ir.Text("Hi")]


def test_only_text_and_calls_are_carried() -> None:
    assert identity.carriers(ir.Reasoning("Hm", "s", "gemini")) == (None, None)
    assert identity.carriers(ir.Text("Hi")) == (None, None)
