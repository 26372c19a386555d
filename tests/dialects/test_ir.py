"""The hub's own promises. What its types mean is held by the laws of `fold` and of every dialect."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given

from proxy.dialects import ir
from proxy.dialects.survey import features
from tests.dialects.examples import requests, responses, streams
from tests.dialects.laws import grammar

TYPES = [
    kind
    for _, kind in inspect.getmembers(ir, inspect.isclass)
    if kind.__module__ == ir.__name__ and issubclass(kind, msgspec.Struct)
]
EVENTS = typing.get_args(ir.Event)
BLOCKS = typing.get_args(ir.Block)


def test_an_empty_request_asks_for_nothing() -> None:
    assert list(features(ir.Request(), "openai")) == []


def test_what_is_made_with_the_same_default_is_not_shared() -> None:
    makers: list[Callable[[], msgspec.Struct]] = [
        ir.Request, ir.Response, lambda: ir.Message("user"), ir.Text, ir.Choice,
    ]  # fmt: skip
    for make in makers:
        one, other = make(), make()
        for name in one.__struct_fields__:
            value = getattr(one, name)
            if isinstance(value, list | dict):
                assert value is not getattr(other, name), name


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_events_cannot_be_changed(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_every_type_says_what_it_is(kind: type) -> None:
    assert kind.__doc__


def test_events_of_a_block_know_which() -> None:
    about_the_whole = {
        ir.ResponseStart, ir.ChoiceEnd, ir.UsageReport, ir.ResponseEnd, ir.StreamError, ir.Ping,
    }  # fmt: skip

    assert {kind for kind in EVENTS if "index" not in kind.__struct_fields__} == about_the_whole
    assert set(BLOCKS).isdisjoint(EVENTS)


@given(request=requests(), response=responses(), events=streams())
def test_everything_is_plain_data(
    request: ir.Request, response: ir.Response, events: list[ir.Event]
) -> None:
    for value in (request, response, events):
        assert msgspec.json.encode(value)
    assert grammar(events) == []


def test_the_grammar_is_checked() -> None:
    start, end = ir.ResponseStart(), ir.ResponseEnd()
    text, done = ir.BlockStart(0, ir.Text()), ir.ChoiceEnd("stop")

    assert grammar([start, text, ir.BlockEnd(0), done, ir.UsageReport(ir.Usage()), end]) == []
    assert grammar([start, text, ir.StreamError(500, "m")]) == []
    broken_ones: list[list[ir.Event]] = [
        [text],
        [start, start],
        [start, ir.TextDelta(0, "x")],
        [start, ir.BlockStart(1, ir.Text())],
        [start, text, done],
        [start, text, ir.BlockEnd(0), ir.BlockEnd(0)],
        [start, text, ir.BlockEnd(0), end],
        [start, done, end, ir.BlockStart(0, ir.Text()), ir.BlockEnd(0), end],
        [start, ir.StreamError(500, "m"), end],
    ]
    for broken in broken_ones:
        assert grammar(broken), broken
