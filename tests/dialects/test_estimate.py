"""An estimate is near what tokenisers say, grows with what is sent, and never fails."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import ir
from proxy.dialects.estimate import tokens

# Counted with o200k: 1,000 words of English prose are about 1,300 tokens; these 16 are 18.
ENGLISH = (
    "The quick brown fox jumps over the lazy dog while seventeen curious engineers watch it happen."
)


def asked(*blocks: ir.Block) -> ir.Request:
    return ir.Request(messages=[ir.Message("user", list(blocks))])


def test_english_is_counted_within_half() -> None:
    assert 12 <= tokens(asked(ir.Text(ENGLISH))) - 4 <= 36


def test_what_is_not_latin_costs_more_a_letter() -> None:
    assert tokens(asked(ir.Text("漢字" * 50))) > tokens(asked(ir.Text("ab" * 50)))


def test_pictures_and_pages_count() -> None:
    empty = tokens(asked())
    picture = tokens(asked(ir.Media("image", "image/png", data="AAAA")))
    pages = tokens(asked(ir.Media("document", "application/pdf", data="A" * 400_000)))

    assert picture > empty + 500
    assert pages > 10 * 1000


def test_tools_and_their_traffic_count() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "Where"}}}
    tools = ir.Request(tools=[ir.Tool("weather", "Tells the weather", schema)])
    call = asked(
        ir.ToolCall("1", "weather", '{"city":"Paris"}'),
        ir.ToolResult("1", content=[ir.Text("18 C")]),
    )

    assert tokens(tools) > 20
    assert tokens(call) > 10


@given(st.text(max_size=200), st.text(max_size=200))
def test_more_text_is_never_fewer_tokens(first: str, second: str) -> None:
    assert tokens(asked(ir.Text(first + second))) >= tokens(asked(ir.Text(first)))
