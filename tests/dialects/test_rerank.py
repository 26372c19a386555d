from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.rerank import shaped

ONE = {"index": 1, "relevance_score": 0.9}
BILLED = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}


def put(content: Any, *, billed: bool = False) -> Any:
    return orjson.loads(shaped(orjson.dumps(content), billed=billed))


@pytest.mark.parametrize(
    ("content", "billed"),
    [
        ({"results": [ONE], "usage": {"total_tokens": 3}}, False),
        ({"id": "x", "results": [ONE], "meta": {"billed_units": {"search_units": 1}}}, True),
        ({"id": "x", "results": [ONE]}, False),
        ({"error": {"message": "no"}}, False),
        ("text", True),
    ],
)
def test_what_lacks_nothing_stays_byte_for_byte(content: Any, billed: bool) -> None:
    body = orjson.dumps(content, option=orjson.OPT_INDENT_2)

    assert shaped(body, billed=billed) is body


def test_results_are_called_so_whatever_the_provider_calls_them() -> None:
    voyage = {"object": "list", "data": [ONE], "usage": {"total_tokens": 3}}
    tei = [{"index": 1, "score": 0.9, "text": "a"}, {"index": 0, "score": 0.1}]

    assert put(voyage)["results"] == [ONE]
    assert put(tei)["results"] == [
        {"index": 1, "relevance_score": 0.9, "document": {"text": "a"}},
        {"index": 0, "relevance_score": 0.1},
    ]


@pytest.mark.parametrize(
    ("meta", "usage"),
    [
        ({"tokens": {"input_tokens": 7, "output_tokens": 0}}, 7),
        ({"billed_units": {"input_tokens": 9.0}}, 9),
        ({"billed_units": {"search_units": 2}}, None),
    ],
)
def test_clients_of_jina_are_told_the_tokens_of_cohere(meta: Any, usage: int | None) -> None:
    expected = None if usage is None else {"prompt_tokens": usage, "total_tokens": usage}

    assert put({"results": [ONE], "meta": meta}).get("usage") == expected


def test_clients_of_cohere_are_told_what_was_billed() -> None:
    tokens = {"tokens": {"input_tokens": 3, "output_tokens": 0}}

    assert put({"results": [], "usage": {"total_tokens": 3}}, billed=True)["meta"] == {
        **BILLED,
        **tokens,
    }
    assert put([], billed=True)["meta"] == BILLED


@given(st.binary(max_size=40), st.booleans())
def test_what_is_no_json_stays(body: bytes, billed: bool) -> None:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        assert shaped(body, billed=billed) == body


JSON = st.recursive(
    st.none() | st.integers(-9, 9**9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["results", "data", "meta", "usage", "tokens", "billed_units", "score"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(JSON, st.booleans())
def test_nothing_that_was_there_is_changed(content: Any, billed: bool) -> None:
    found = put(content, billed=billed)

    if isinstance(content, dict):
        assert {name: found[name] for name in content} == content
