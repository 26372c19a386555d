"""Spans are plain values: nothing of a request stays alive through them."""

from __future__ import annotations

import gc

from proxy.core.span import Content, Event, Span


def test_a_span_holds_what_it_was_given_and_is_nothing_to_a_collection_of_garbage() -> None:
    span = Span("GET /", True, "1" * 32, "2" * 16, "", False, 1, "", 1.0, 2.0, False, {"a": 1})

    assert (span.name, span.attributes, span.events, span.content) == ("GET /", {"a": 1}, (), None)
    assert not gc.is_tracked(span)
    assert not gc.is_tracked(Event("first", 1.0))
    assert not gc.is_tracked(Content(b"{}", "", "", 10))
