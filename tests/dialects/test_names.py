"""Names of tools on their way out and back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import ir
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names, Rule
from tests.dialects.laws import check
from tests.dialects.tried import TO_PROVIDER, written

STRICT = Rule("a.dialect", 16, first="A-Za-z")
WIDE = Rule("another.dialect", 32, letters="A-Za-z0-9_.:-", first="A-Za-z_")


def asked(*names: str, origin: str = "") -> ir.Request:
    return ir.Request(tools=[ir.Tool(name) for name in names], origin=origin)


def test_a_name_that_fits_is_kept() -> None:
    names = Names(STRICT, asked("get_weather", "a.b"))

    assert names.out("get_weather") == "get_weather"
    assert names.back("get_weather") == "get_weather"


@pytest.mark.parametrize("name", ["a.b", "x" * 17, "", "9lives", "_x", "äö", "a b\n"])
def test_any_other_becomes_one_that_does_and_comes_back(name: str) -> None:
    names = Names(STRICT, asked(name))

    made = names.out(name)

    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,15}", made)
    assert names.back(made) == name


def test_a_name_is_the_same_in_every_request() -> None:
    assert Names(STRICT, asked("a.b", "c")).out("a.b") == Names(STRICT, asked("a.b")).out("a.b")
    assert Names(STRICT, asked()).out("a.b") == Names(STRICT, asked("a.b")).out("a.b")


def test_dots_and_colons_are_kept_where_they_may_be() -> None:
    assert Names(WIDE, asked("ns.do:it")).out("ns.do:it") == "ns.do:it"
    assert Names(WIDE, asked("-x")).out("-x").startswith("tool_-x_")


def test_a_made_name_is_never_that_of_another_tool() -> None:
    taken = STRICT.made("a.b")
    names = Names(STRICT, asked("a.b", taken))

    assert names.out(taken) == taken
    assert names.out("a.b") != taken
    assert names.back(names.out("a.b")) == "a.b"


def test_a_client_of_the_same_dialect_is_not_corrected() -> None:
    names = Names(STRICT, asked("a.b", origin="a.dialect"))

    assert names.out("a.b") == "a.b"
    assert names.back("a.b") == "a.b"


@given(st.lists(st.text(max_size=24), unique=True, max_size=12))
def test_no_two_tools_are_called_the_same(given_names: list[str]) -> None:
    names = Names(STRICT, asked(*given_names))

    made = [names.out(name) for name in given_names]

    assert len(set(made)) == len(made)
    assert all(map(STRICT.fits, made))
    assert list(map(names.back, made)) == given_names


@TO_PROVIDER
@pytest.mark.parametrize("name", ["ns.do:it", "9lives", "x" * 200, "_own", "mcp/tool one"])
def test_every_provider_is_told_a_name_it_takes_wherever_it_stands(
    provider: str, model: str, name: str
) -> None:
    call = ir.ToolCall("call_1", name, "{}")
    old = ir.ToolCall("call_0", "old" + name, "{}")
    request = ir.Request(
        messages=[
            ir.Message("user", [ir.Text("Go")]),
            ir.Message("assistant", [old, call]),
            ir.Message("user", [ir.ToolResult("call_0", old.name), ir.ToolResult("call_1", name)]),
        ],
        tools=[ir.Tool(name, "Does it"), ir.Tool("plain")],
        tool_choice=ir.ToolChoice("tool", [name]),
        origin="another.dialect",
    )
    loss = Loss()

    body = written(provider, model, request, loss)

    assert body is not None
    assert check(provider, "request")(body) == []
    assert set(loss.names) <= {"tool_choice.tool"}
