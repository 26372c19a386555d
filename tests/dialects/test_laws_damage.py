"""What is damaged is read, refused or passed over, by every dialect; never does anything else happen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.dialects.base import Target
from proxy.dialects.loss import Loss
from tests.dialects.examples import (
    CLIENTS,
    MODELS,
    PROVIDERS,
    Fixture,
    codec,
    fixtures,
    question,
)
from tests.dialects.laws import decoded, encoded, grammar
from tests.dialects.tried import STREAMS, answered, asked, each

BYTES = st.tuples(st.integers(0, 10**6), st.integers(0, 5), st.binary(max_size=3))
ODD: st.SearchStrategy[object] = st.sampled_from(
    [None, True, -1, 10**30, 1.5, "", "x", [], [None], {}, {"type": "x"}, [[]]]
)
SWAPS = st.tuples(st.integers(0, 10**6), ODD)
DAMAGE = st.lists(BYTES, max_size=4) | st.lists(SWAPS, min_size=1, max_size=3)
Damage = list[tuple[int, int, bytes]] | list[tuple[int, object]]


def damaged(data: bytes, damage: Damage) -> bytes:
    """`data` with a few bytes replaced, left out or put in, or with other types where some values were."""
    for one in damage:
        if len(one) == 2:
            data = swapped(data, *one)
        else:
            place, size, piece = one
            at = place % (len(data) + 1)
            data = data[:at] + piece + data[at + size :]
    return data


def swapped(data: bytes, place: int, value: object) -> bytes:
    """`data`, one JSON text or a stream of them, with one of its values replaced."""
    lines = data.split(b"\n") if data.startswith((b"data:", b"event:", b":")) else [data]
    texts = [at for at, line in enumerate(lines) if line[line.find(b"{") :].startswith(b"{")]
    if not texts:
        return data
    at = texts[place % len(texts)]
    start = lines[at].find(b"{")
    try:
        found = orjson.loads(lines[at][start:])
    except ValueError:
        return data
    places = list(inside(found))
    parent, key = places[place % len(places)] if places else ({}, "")
    parent[key] = value
    lines[at] = lines[at][:start] + msgspec.json.encode(found)
    return b"\n".join(lines)


def inside(value: object) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value in a JSON value."""
    pairs: Iterable[tuple[Any, object]] = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, item in pairs:
        yield value, key
        yield from inside(item)


@each([one for one in fixtures("request") if one.dialect in CLIENTS])
@settings(max_examples=15)
@given(damage=DAMAGE)
def test_a_damaged_request_is_read_or_refused_and_then_written_or_refused(
    fixture: Fixture, damage: Damage
) -> None:
    parse = codec(fixture.dialect).parse_request
    assert parse is not None
    try:
        request = parse(damaged(fixture.data, damage))
        for provider in PROVIDERS:
            render = codec(provider).render_request
            assert render is not None
            render(request, Target(model=MODELS[provider][0]), Loss())
    except ProxyError as error:
        if error.row.status != 400:
            raise


@each(fixtures("response"))
@settings(max_examples=15)
@given(damage=DAMAGE)
def test_a_damaged_answer_is_read_or_is_none(fixture: Fixture, damage: Damage) -> None:
    request = asked(fixture)
    try:
        response = codec(fixture.dialect).parse_response(damaged(fixture.data, damage), request)
    except ValueError:
        return
    for client in CLIENTS:
        assert orjson.loads(answered(client, response, question(client)))


@each(STREAMS)
@settings(max_examples=15)
@given(damage=DAMAGE)
def test_a_damaged_stream_keeps_the_grammar(fixture: Fixture, damage: Damage) -> None:
    events = decoded(fixture.dialect, asked(fixture), damaged(fixture.data, damage))

    assert grammar(events) == []
    for client in CLIENTS:
        encoded(client, question(client, stream=True), events, Loss())
