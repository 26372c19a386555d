"""Another answer as a part of the first, in events of the hub."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import pytest

from proxy.dialects import ir
from proxy.gateway.continuation.asking import tokens_in
from proxy.gateway.continuation.rungs import RUNGS
from proxy.gateway.continuation.seam import Seam
from proxy.gateway.continuation.sent import Sent

START = ir.ResponseStart("second", "other")
OPEN = ir.BlockStart(0, ir.Text())
END: list[ir.Event] = [
    ir.ChoiceEnd("stop"),
    ir.UsageReport(ir.Usage(input=9, output=5)),
    ir.ResponseEnd(),
]


def sent(*events: ir.Event) -> Sent:
    """After these."""
    found = Sent(cast("Any", _EXCHANGE), cast("Any", object()))
    found.add(events)
    return found


class _Endpoint:
    dialect = "openai.chat"


class _EXCHANGE:
    endpoint = _Endpoint


class Ours:
    """A seam behind `said`, and what it has given out."""

    def __init__(
        self, said: str = "ab", rung: str = "match", added: str = "", *, done: bool = False
    ):
        self.sent = sent(ir.ResponseStart("first"), OPEN, ir.TextDelta(0, said))
        if done:
            self.sent.add([ir.BlockEnd(0)])
        self.joins: list[int] = []
        self.seam = Seam(cast("Any", None), RUNGS[rung](said), self.sent, added, self._join)

    def _join(self) -> None:
        self.joins.append(1)

    def take(self, *events: ir.Event) -> list[ir.Event]:
        return self.seam.take(events)


def text(*pieces: str, index: int = 0) -> list[ir.Event]:
    return [ir.TextDelta(index, piece) for piece in pieces]


def test_what_is_old_is_left_out_and_the_rest_goes_on_in_the_same_block() -> None:
    one = Ours()
    assert one.take(START, OPEN, *text("a")) == []
    assert not one.joins
    assert one.take(*text("bc", "d")) == text("c", "d")
    assert one.joins == [1]
    assert one.take(ir.BlockEnd(0), *END) == [ir.BlockEnd(0), *END]
    assert one.sent.text == "abcd"
    assert one.sent.hops == 1


def test_an_answer_that_ends_where_the_first_broke_off_ends_it() -> None:
    one = Ours()
    assert one.take(START, OPEN, *text("ab"), ir.BlockEnd(0)) == []
    assert one.take(*END) == [ir.BlockEnd(0), *END]


def test_behind_a_block_that_is_closed_comes_another() -> None:
    one = Ours(done=True)
    found = one.take(START, OPEN, *text("abc"), ir.BlockEnd(0), *END)
    assert found == [ir.BlockStart(1, ir.Text()), *text("c", index=1), ir.BlockEnd(1), *END]
    one = Ours(done=True)
    assert one.take(START, OPEN, *text("ab"), ir.BlockEnd(0), *END) == END


def test_a_call_may_follow() -> None:
    one = Ours()
    call = ir.BlockStart(1, ir.ToolCall("x", "f"))
    rest: list[ir.Event] = [ir.ArgumentsDelta(1, "{}"), ir.BlockEnd(1), *END]
    found = one.take(START, OPEN, *text("ab"), ir.BlockEnd(0), call, *rest)
    assert found == [ir.BlockEnd(0), call, *rest]


def test_thoughts_of_the_other_are_nobodys_business_before_the_seam() -> None:
    one = Ours()
    think: list[ir.Event] = [
        ir.BlockStart(0, ir.Reasoning()),
        ir.ReasoningDelta(0, "hm"),
        ir.BlockEnd(0),
    ]
    other: list[ir.Event] = [ir.BlockStart(1, ir.Text()), *text("abc", index=1), ir.BlockEnd(1)]
    assert one.take(START, *think, *other, *END) == [*text("c"), ir.BlockEnd(0), *END]


@pytest.mark.parametrize(
    "events",
    [
        [OPEN, *text("ax")],
        [OPEN, *text("a"), ir.BlockEnd(0), *END],
        [ir.BlockStart(0, ir.ToolCall("x", "f"))],
        [ir.BlockStart(0, ir.Refusal("no"))],
        [OPEN, *text("a"), ir.BlockEnd(0), ir.BlockStart(1, ir.ToolCall("x", "f"))],
        END,
    ],
    ids=["other text", "less text", "a call", "a refusal", "less and a call", "nothing"],
)
def test_what_does_not_go_on_is_missed_and_nothing_of_it_is_told(
    events: Iterable[ir.Event],
) -> None:
    one = Ours()
    assert one.take(START, *events) == []
    assert one.seam.missed
    assert not one.joins
    assert one.take(*text("ab", "c")) == []
    assert one.sent.text == "ab"


def test_a_client_that_has_nothing_is_told_all() -> None:
    found = sent()
    seam = Seam(cast("Any", None), RUNGS["match"](""), found, "", lambda: None)
    think: list[ir.Event] = [
        ir.BlockStart(0, ir.Reasoning()),
        ir.ReasoningDelta(0, "hm"),
        ir.BlockEnd(0),
    ]
    events: list[ir.Event] = [
        START,
        *think,
        ir.BlockStart(1, ir.Text()),
        *text("a", index=1),
        ir.BlockEnd(1),
        *END,
    ]
    assert seam.take(events) == events
    assert found.text == "a"


def test_a_client_that_knows_of_an_answer_is_not_told_of_another() -> None:
    found = sent(ir.ResponseStart("first"))
    seam = Seam(cast("Any", None), RUNGS["match"](""), found, "", lambda: None)
    assert seam.take([START, OPEN, *text("a")]) == [OPEN, *text("a")]


def test_usage_is_what_one_answer_would_have_used() -> None:
    said, added = "The mill turns ", "The mill turns Go on."
    for rung, known in (("prefill", None), ("prefill", ir.Usage(input=3, output=1))):
        one = Ours(said, rung, added)
        one.sent.usage = known
        found = one.take(START, OPEN, *text("slowly"), ir.BlockEnd(0), *END)
        usage = cast("ir.UsageReport", found[-2]).usage
        assert usage.output == 5 + tokens_in(said)
        assert usage.input == (3 if known else 9 - tokens_in(added))
    one = Ours(said)
    assert END[1] in one.take(START, OPEN, *text(said + "slowly"), ir.BlockEnd(0), *END)


def test_an_error_before_the_seam_is_for_the_relay() -> None:
    one = Ours()
    error = ir.StreamError(500, "no")
    assert one.take(START, ir.Ping(), error) == [ir.Ping(), error]
    assert not one.joins


def test_a_witness_hears_what_is_new() -> None:
    heard: list[str] = []

    class Witness:
        said = heard.append

    found = sent(ir.ResponseStart("first"), OPEN, ir.TextDelta(0, "ab"))
    seam = Seam(
        cast("Any", None), RUNGS["match"]("ab"), found, "", lambda: None, cast("Any", Witness)
    )
    seam.take([START, OPEN, *text("abc", "d")])
    assert heard == ["c", "d"]
