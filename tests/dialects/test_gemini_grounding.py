"""Where parts of an answer come from."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects import ir
from proxy.dialects.gemini.grounding import Place, Written, citations, write_grounding

TEXT = "é日x"  # bytes: 2, 3, 1
PLACES = [Place(0, "ab"), Place(3, TEXT)]


def grounded(segment: dict[str, Any], parts: dict[int, Place] | None = None) -> tuple[object, ...]:
    """(block, start, end) of a place."""
    given = {
        "groundingChunks": [{"web": {"uri": "u"}}],
        "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0]}],
    }
    (found,) = citations({"groundingMetadata": given}, PLACES, parts)
    return found.block, found.citation.start, found.citation.end


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ({"endIndex": 1}, (0, 0, 1)),
        ({"startIndex": 2, "endIndex": 4}, (3, 0, 1)),
        ({"startIndex": 4, "endIndex": 8, "text": "日x"}, (3, 1, 3)),
        ({"start_index": 4, "end_index": 7, "text": "日"}, (3, 1, 2)),
        ({"startIndex": 1, "endIndex": 2, "text": "日"}, (3, 1, 2)),
        ({"text": "x"}, (3, 2, 3)),
        ({"startIndex": 50, "endIndex": 60}, (3, None, None)),
        ({"startIndex": -1, "endIndex": "x"}, (3, None, None)),
        ({}, (3, None, None)),
    ],
)
def test_places_are_characters_of_their_text(
    segment: dict[str, Any], expected: tuple[object, ...]
) -> None:
    assert grounded(segment) == expected


def test_a_place_may_be_in_one_part() -> None:
    parts = {2: Place(3, "日x", 1)}

    assert grounded({"partIndex": 2, "endIndex": 3, "text": "日"}, parts) == (3, 1, 2)
    assert grounded({"partIndex": 9, "endIndex": 2}, parts) == (0, 0, 2)


def test_sources_without_places_are_said_of_the_last_text() -> None:
    chunks = [
        {"web": {"uri": "u", "title": "t"}},
        {"maps": {"uri": "m", "title": "p", "text": "w"}},
        {"image": {"sourceUri": "i"}},
        5,
    ]

    found = citations({"groundingMetadata": {"groundingChunks": chunks}}, PLACES, None)

    assert [(item.block, item.citation.url, item.citation.title) for item in found] == [
        (3, "u", "t"),
        (3, "m", "p"),
        (3, "i", ""),
    ]


@pytest.mark.parametrize(
    "candidate",
    [
        {},
        {"groundingMetadata": 5},
        {"groundingMetadata": {"groundingChunks": 5, "groundingSupports": [1, {"segment": 2}]}},
        {"groundingMetadata": {"groundingSupports": [{"groundingChunkIndices": [0, "x"]}]}},
        {"citationMetadata": {"citations": 5}},
    ],
)
def test_odd_metadata_cites_nothing(candidate: dict[str, Any]) -> None:
    assert citations(candidate, PLACES, None) == []


def test_nothing_is_cited_where_there_is_no_text() -> None:
    assert citations({"citationMetadata": {"citations": [{"uri": "u"}]}}, [], None) == []


def test_each_source_and_each_place_is_written_once() -> None:
    one = ir.Citation("u", "t", start=1, end=2)
    two = ir.Citation("v", start=1, end=2)
    whole = ir.Citation("u", "t")

    made = write_grounding([Written(item, TEXT, 4) for item in (one, two, one, whole)])

    assert made == {
        "groundingChunks": [{"web": {"uri": "u", "title": "t"}}, {"web": {"uri": "v"}}],
        "groundingSupports": [
            {
                "segment": {"startIndex": 6, "endIndex": 9, "text": "日"},
                "groundingChunkIndices": [0, 1],
            },
            {
                "segment": {"startIndex": 4, "endIndex": 10, "text": TEXT},
                "groundingChunkIndices": [0],
            },
        ],
    }
