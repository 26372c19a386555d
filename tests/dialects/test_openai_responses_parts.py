"""Parts of messages as blocks."""

from __future__ import annotations

from proxy.dialects import ir
from proxy.dialects.loss import Loss
from proxy.dialects.openai_responses.parts import (
    annotation,
    bare_logprobs,
    logprobs,
    read_citation,
    read_part,
    write_annotations,
    write_input,
    write_said,
)

NOTE = {"type": "url_citation", "start_index": 1, "end_index": 4, "url": "https://x", "title": "X"}


def test_a_mark_of_the_cache_is_read_and_kept() -> None:
    mark = {"mode": "explicit", "ttl": "12h"}

    block = read_part({"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": mark})

    assert isinstance(block, ir.Text)
    assert block.cache == ir.Cache("1h")
    assert write_input(block, Loss(), own=True) == {
        "type": "input_text",
        "text": "Hi",
        "prompt_cache_breakpoint": mark,
    }
    assert write_input(block, Loss(), own=False) == {"type": "input_text", "text": "Hi"}


def test_parts_nobody_knows_stay_as_they_are() -> None:
    part = {"type": "input_new", "x": 1}

    block = read_part(part)

    assert isinstance(block, ir.Opaque)
    assert write_input(block, Loss(), own=True) == part
    assert write_input(block, Loss(), own=False) is None


def test_what_the_model_said_is_output() -> None:
    assert write_said(ir.Text("Hi"), Loss(), own=False) == {"type": "output_text", "text": "Hi"}
    assert write_said(ir.Refusal("No"), Loss(), own=False) == {"type": "refusal", "refusal": "No"}


def test_a_citation_of_its_own_is_written_as_it_came() -> None:
    assert annotation(read_citation(NOTE), 9) == NOTE


def test_a_citation_that_names_no_place_is_about_the_whole_text() -> None:
    made = annotation(ir.Citation(url="https://x", title="X"), 9)

    assert made == {**NOTE, "start_index": 0, "end_index": 9}


def test_a_file_is_cited_by_its_id() -> None:
    made = annotation(ir.Citation(file_id="file-1", title="a.txt"), 9)

    assert made == {"type": "file_citation", "file_id": "file-1", "filename": "a.txt", "index": 0}


def test_a_citation_in_the_form_of_chat_is_written_in_this_one() -> None:
    own = {"type": "url_citation", "url_citation": {"url": "https://x"}}

    made = annotation(
        ir.Citation(url="https://x", title="X", start=1, end=4, origin="openai", own=own), 9
    )

    assert made == NOTE


def test_a_citation_of_nowhere_is_reported() -> None:
    loss = Loss()

    assert write_annotations([ir.Citation(text="words")], 3, loss) == []
    assert loss.names == {"citations": "citations"}


def test_probabilities_have_bytes_at_the_end_and_none_on_the_way() -> None:
    tokens = [{"token": "é", "logprob": -1.0, "top_logprobs": [{"token": "e", "logprob": -2.0}]}]

    assert logprobs(tokens)[0]["bytes"] == [195, 169]
    assert logprobs(tokens)[0]["top_logprobs"] == [{"token": "e", "bytes": [101], "logprob": -2.0}]
    assert bare_logprobs(tokens) == tokens
