"""Pages: everything once, in order, whatever their size."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.admin import paging
from proxy.control.admin.paging import Asked, asked, cursor, parameters, take
from proxy.control.admin.web import Problem, Request

keys = st.one_of(
    st.tuples(st.just(0), st.text(max_size=20)), st.tuples(st.just(1), st.integers(1, 2**62))
)


def request(**query: str) -> Request:
    return Request("GET", "/x", query, {}, b"", "127.0.0.1", "id")


@given(keys)
def test_a_cursor_comes_back_as_the_key_it_was(key: Any) -> None:
    try:
        text = cursor(key)
    except TypeError:  # a lone surrogate is in no name
        return

    assert asked(request(after=text), ()).after == key


@pytest.mark.parametrize("number", [-1, 2**63, 2**64 - 1])
def test_a_number_that_no_database_counts_to_is_no_cursor(number: int) -> None:
    with pytest.raises(Problem):
        asked(request(after=cursor((1, number))), ())


@given(st.text(max_size=40))
def test_what_is_no_cursor_is_refused_and_nothing_worse(text: str) -> None:
    try:
        after = asked(request(after=text), ()).after
    except Problem:
        return
    assert after is not None


@given(st.lists(st.integers(0, 60), unique=True), st.integers(1, 7))
async def test_pages_together_are_everything(ids: list[int], limit: int) -> None:
    things = [((1, id), id) for id in sorted(ids)]
    found: list[int] = []
    after = None

    while True:
        page, following = await take(things, Asked(limit, after, {}), lambda id: id % 3 != 0)
        found += page
        assert len(page) == limit or following is None
        if following is None:
            break
        after = asked(request(after=following), ()).after

    assert found == [id for id in sorted(ids) if id % 3]


def test_nothing_said_is_the_first_page_of_the_usual_size() -> None:
    assert asked(request(), ()).limit == paging.LIMIT
    assert asked(request(limit="1000"), ()).limit == paging.MOST


def test_filters_are_described() -> None:
    found = parameters(("q", "enabled", "team"))

    assert found["enabled"] == {"enum": ["true", "false"]}
    assert found["q"]["maxLength"] == paging.NEEDLE
    assert {"limit", "after", "team"} < found.keys()
