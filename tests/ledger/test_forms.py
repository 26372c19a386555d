"""What is put together from parts is what the whole record would have been."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from proxy.ledger import forms
from proxy.ledger.records import Charged, End, Start, Tokens, Try, encode, parse
from tests.ledger.samples import end, start

TEXT = st.text(max_size=40) | st.sampled_from(["", "é" * 200, "x" * 70_000, "lone \ud800 half"])
COUNT = st.integers(0, 2**62)
MONEY = st.integers(-1, 2**62)
TIME = st.floats(allow_nan=False)
CHARGES = st.lists(st.builds(Charged, TEXT, COUNT, COUNT), max_size=3).map(tuple)
TOKENS = st.builds(Tokens, COUNT, COUNT, COUNT, COUNT, COUNT)
STARTS = st.builds(
    Start, TEXT, TIME, COUNT, *[TEXT] * 7, st.booleans(), *[TEXT] * 5, MONEY, MONEY, COUNT, CHARGES
)
TRIES = st.builds(Try, COUNT, *[TEXT] * 5, COUNT, TEXT, TEXT, TIME, TIME, TIME, TIME, MONEY)
ENDS = st.builds(
    End, TEXT, TIME, *[TEXT] * 7, st.booleans(), *[TEXT] * 5, COUNT, TEXT, TEXT, TEXT,
    *[TIME] * 5, TOKENS, TEXT, MONEY, MONEY, MONEY, COUNT, COUNT, TEXT, TEXT,
    st.lists(TRIES, max_size=2).map(tuple), CHARGES,
)  # fmt: skip


def _said(record: Start | End) -> Raw:
    return forms.part(*(getattr(record, name) for name in Start.__struct_fields__[3:16]))


def _tries(tries: tuple[Try, ...]) -> tuple[object, ...]:
    if len(tries) != 1:
        return (tries,)
    values = [getattr(tries[0], name) for name in Try.__struct_fields__]
    return (forms.TRY, values[0], forms.part(*values[1:6]), *values[6:])


@given(STARTS)
def test_a_start_of_parts_is_the_start(record: Start) -> None:
    one = record
    own = (one.rid, one.at, one.attempt, _said(one), one.reserved, one.likely, one.prompt)

    assert forms.start((*own, one.charges)) == encode(one)


@given(ENDS)
def test_an_end_of_parts_is_the_end(record: End) -> None:
    names = End.__struct_fields__[15:-2]
    own = (record.rid, record.at, _said(record), *(getattr(record, name) for name in names))

    assert forms.end((*own, *_tries(record.tries), record.charges)) == encode(record)


def test_fields_that_were_added_to_a_record_are_added_here() -> None:
    assert (
        len(Start.__struct_fields__),
        len(End.__struct_fields__),
        len(Try.__struct_fields__),
    ) == (
        forms.START[2] - 1,
        forms.END[2] - 1,
        bytes(forms.TRY)[1] & 15,
    )
    assert parse(encode(start("r"))) == start("r")
    assert parse(encode(end("r"))) == end("r")
