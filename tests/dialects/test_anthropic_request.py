"""Requests of messages clients, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.dialects import identity, ir
from tests.dialects.messages import CODEC, REQUESTS, fixture, name, parsed, rendered

WHOLE = [path for path in REQUESTS if name(path) != "count"]


def parse(raw: bytes) -> ir.Request:
    assert CODEC.parse_request is not None
    return CODEC.parse_request(raw)


def same(value: Any) -> Any:
    """A body without what means nothing: a lone text in a list, `null`."""
    if isinstance(value, list):
        inner = [same(item) for item in value]
        if len(inner) == 1 and isinstance(inner[0], dict) and inner[0].keys() == {"type", "text"}:
            return inner[0]["text"]
        return inner
    if isinstance(value, dict):
        return {key: same(item) for key, item in value.items() if item is not None}
    return value


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_a_request_read_and_written_is_the_same(path: Path) -> None:
    body = orjson.loads(path.read_bytes())

    request = parse(path.read_bytes())
    written, dropped = rendered(request, body["model"], stream=request.stream)

    if older := body.pop("output_format", None):
        body["output_config"] = {"format": older}
    assert same(written) == same(body)
    assert dropped == {}
    assert parse(orjson.dumps(written)) == request


def test_the_system_prompt_is_the_first_message() -> None:
    request = parse(fixture("system-blocks.request.json"))

    first = request.messages[0]
    assert first.role == "system"
    assert [block.text for block in first.content if isinstance(block, ir.Text)] == [
        "Rules.",
        "More rules.",
    ]
    assert isinstance(first.content[1], ir.Text)
    assert first.content[1].cache == ir.Cache("1h")


def test_system_messages_stay_where_they_are() -> None:
    request = parse(fixture("system-later.request.json"))

    roles = [message.role for message in request.messages]
    assert roles == ["system", "user", "system", "assistant", "user", "system"]
    assert request.messages[-1].extras == {"clear_at": "next_user_message"}


def test_parameters_are_read() -> None:
    request = parse(fixture("parameters.request.json"))

    assert (request.max_tokens, request.temperature, request.top_p, request.top_k) == (
        64, 1, 0.9, 40,
    )  # fmt: skip
    assert request.stop == ["END", "\n\n"]
    assert (request.user, request.service_tier, request.stream) == ("u-1", "default", True)
    assert request.extras == {}


def test_documents_are_media() -> None:
    content = parse(fixture("documents.request.json")).messages[0].content

    pdf, facts, linked, uploaded, parts, whole = [b for b in content if isinstance(b, ir.Media)]
    assert (pdf.mime, pdf.name, pdf.context) == ("application/pdf", "a.pdf", "From the archive.")
    assert pdf.citations
    assert pdf.cache == ir.Cache()
    assert (facts.text, facts.mime, facts.name) == ("Grass is green.", "text/plain", "Facts")
    assert linked.url == "https://example.com/b.pdf"
    assert (uploaded.file_id, uploaded.origin) == ("file_012", "anthropic")
    assert (parts.text, whole.text) == ("One.\n\nTwo.", "Whole.")


def test_a_data_url_is_taken_apart() -> None:
    source = {"type": "url", "url": "data:image/png;base64,iVBOR"}
    content = [{"type": "image", "source": source}]

    (image,) = parsed(messages=[{"role": "user", "content": content}]).messages[0].content

    assert image == ir.Media(kind="image", mime="image/png", data="iVBOR")


def test_a_search_result_is_a_document_to_others() -> None:
    found = parse(fixture("search-result.request.json")).messages[0].content[0]

    assert isinstance(found, ir.Media)
    assert (found.kind, found.text, found.name) == ("document", "Made in 1993.", "Ruby")
    assert found.citations


def test_results_know_their_call() -> None:
    message = parse(fixture("tool-results.request.json")).messages[2]

    results = [block for block in message.content if isinstance(block, ir.ToolResult)]
    assert [result.name for result in results] == ["weather", "now", "now", "now"]
    assert [result.is_error for result in results] == [False, True, False, False]
    kinds = [type(part).__name__ for part in results[3].content]
    assert kinds == ["Text", "Media", "Media", "Media", "Opaque"]


def test_thoughts_keep_their_signature() -> None:
    content = parse(fixture("thinking-history.request.json")).messages[1].content

    assert content[0] == ir.Reasoning("First, the weather.", "EsigHist", "anthropic")
    assert content[1] == ir.Reasoning("", "EredHist", "anthropic", redacted=True)


def test_sealed_thoughts_go_back_to_where_they_came_from() -> None:
    thought = {"type": "thinking", "thinking": "Hm", "signature": identity.seal("openai", "enc")}
    hidden = {"type": "redacted_thinking", "data": identity.seal("gemini/next", "sig")}
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}

    message = parsed(messages=[{"role": "assistant", "content": [thought, hidden, call]}]).messages[
        0
    ]

    assert message.content == [
        ir.Reasoning("Hm", "enc", "openai"),
        ir.ToolCall("t", "f", "{}", signature="sig", origin="gemini"),
    ]


def test_thoughts_without_signature_belong_to_nobody() -> None:
    content = [{"type": "thinking", "thinking": "Hm", "signature": ""}]

    (thought,) = parsed(messages=[{"role": "assistant", "content": content}]).messages[0].content

    assert thought == ir.Reasoning("Hm")


def test_a_citation_made_here_is_nobodys() -> None:
    made = {
        "type": "web_search_result_location",
        "url": "https://example.com",
        "title": "T",
        "cited_text": "c",
        "encrypted_index": "",
    }
    content = [{"type": "text", "text": "x", "citations": [made]}]

    (text,) = parsed(messages=[{"role": "assistant", "content": content}]).messages[0].content

    assert isinstance(text, ir.Text)
    assert text.citations == [ir.Citation("https://example.com", "T", "c")]


@pytest.mark.parametrize(
    ("case", "effort", "budget", "visible"),
    [
        ("thinking-budget", "", 2048, None),
        ("thinking-adaptive", "xhigh", None, True),
        ("thinking-omitted", "", -1, False),
        ("thinking-off", "none", None, None),
        ("thinking-between", "none", None, None),
        ("effort", "low", None, None),
    ],
)
def test_thinking_is_read(case: str, effort: str, budget: int | None, visible: bool | None) -> None:
    thinking = parse(fixture(f"{case}.request.json")).thinking

    assert thinking is not None
    assert (thinking.effort, thinking.budget, thinking.visible) == (effort, budget, visible)


def test_a_schema_is_read_in_both_spellings() -> None:
    new = parse(fixture("schema.request.json"))
    old = parse(fixture("schema-legacy.request.json"))

    assert new.format == old.format
    assert new.format is not None
    assert new.format.kind == "schema"


@pytest.mark.parametrize(
    ("choice", "mode", "parallel"),
    [
        ({"type": "auto"}, "auto", None),
        ({"type": "any", "disable_parallel_tool_use": True}, "required", False),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, "tool", True),
        ({"type": "none"}, "none", None),
    ],
)
def test_a_tool_choice_is_read(choice: Any, mode: str, parallel: bool | None) -> None:
    request = parsed(tool_choice=choice, tools=[{"name": "f", "input_schema": {}}])

    assert request.tool_choice is not None
    assert (request.tool_choice.mode, request.parallel_tool_calls) == (mode, parallel)


def test_tools_of_the_provider_are_known_without_their_date() -> None:
    tools = parse(fixture("web-search.request.json")).tools

    assert [tool.kind for tool in tools if isinstance(tool, ir.ServerTool)] == [
        "web_search",
        "web_fetch",
        "code_execution",
    ]
    assert isinstance(tools[0], ir.ServerTool)
    assert tools[0].allowed_domains == ["example.com"]
    assert tools[0].max_uses == 3
    assert tools[0].location == {"city": "Oslo", "country": "NO", "timezone": "Europe/Oslo"}


def test_tools_only_its_models_know_keep_their_type() -> None:
    tools = parse(fixture("client-tools.request.json")).tools

    kinds = [tool.kind for tool in tools if isinstance(tool, ir.ServerTool)]
    assert kinds == [
        "bash_20250124",
        "text_editor_20250728",
        "computer_20250124",
        "memory_20250818",
    ]


@pytest.mark.parametrize(("case", "name"), [("container", "container"), ("mcp", "mcp_servers")])
def test_what_only_the_provider_keeps_is_a_must(case: str, name: str) -> None:
    request = parse(fixture(f"{case}.request.json"))

    assert list(request.musts) == [name]
    assert name in request.extras


def test_what_nobody_knows_is_kept() -> None:
    request = parse(fixture("unknown-fields.request.json"))

    assert request.extras == {
        "metadata": {"team": "x"},
        "cache_control": {"type": "ephemeral"},
        "inference_geo": "eu",
        "speed": "fast",
        "diagnostics": {"previous_message_id": "msg_0"},
        "service_tier": "turbo",
        "shape": {"a": [1]},
    }
    assert request.messages[0].extras == {"priority": 2}
    assert request.messages[0].content[2] == ir.Opaque(
        "anthropic", "hologram", {"type": "hologram", "beam": 7}
    )


def test_what_is_so_everywhere_is_missed_by_nobody() -> None:
    request = parsed(speed="standard", anthropic_version="vertex-2023-10-16", top_k=None)

    assert request.aside == {"speed": "standard", "anthropic_version": "vertex-2023-10-16"}
    assert request.extras == {}


def test_a_question_for_a_count_has_no_limit() -> None:
    assert CODEC.count is not None
    assert CODEC.count.parse_request is not None

    request = CODEC.count.parse_request(fixture("count.request.json"))

    assert request.max_tokens is None
    assert [message.role for message in request.messages] == ["system", "user"]
    with pytest.raises(ProxyError):
        parse(fixture("count.request.json"))


USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [USER, {"role": "user", "content": 5}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": 1}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "messages[0].content[0].source",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": 1}]}
                ]
            },
            "messages[0].content[0].tool_use_id",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "a", "name": "f", "input": []}],
                    }
                ]
            },
            "messages[0].content[0].input",
        ),
        ({"system": 5}, "system"),
        ({"system": [5]}, "system[0]"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences[0]"),
        ({"tools": [1]}, "tools[0]"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f", "input_schema": "x"}]}, "tools[0].input_schema"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
        ({"thinking": {}}, "thinking.type"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"effort": 3}}, "output_config.effort"),
        ({"metadata": {"user_id": 3}}, "metadata.user_id"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_wrong_field_is_named(fields: Any, param: str) -> None:
    with pytest.raises(ProxyError) as caught:
        parsed(**fields)

    assert caught.value.ref == "bad_req"
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize("raw", [b"", b"[1]", b"{", b"null", b'{"a":"\xff"}', b"[" * 9999])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ProxyError):
        parse(raw)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def mutate(value: Any, choose: st.DataObject) -> Any:
    """`value` with something in it replaced or gone."""
    if isinstance(value, dict) and value and choose.draw(st.integers(0, 9)):
        key = choose.draw(st.sampled_from(sorted(value)))
        if choose.draw(st.integers(0, 9)) == 0:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: mutate(value[key], choose)}
    if isinstance(value, list) and value and choose.draw(st.integers(0, 9)):
        at = choose.draw(st.integers(0, len(value) - 1))
        return [*value[:at], mutate(value[at], choose), *value[at + 1 :]]
    return choose.draw(JUNK)


@settings(max_examples=300)
@given(path=st.sampled_from(WHOLE), choose=st.data())
def test_no_request_is_answered_by_a_traceback(path: Path, choose: st.DataObject) -> None:
    body = mutate(orjson.loads(path.read_bytes()), choose)

    try:
        request = parse(orjson.dumps(body))
    except ProxyError:
        return

    again = parse(orjson.dumps(rendered(request, "claude-sonnet-4-5", stream=request.stream)[0]))
    again.model = request.model
    assert again == request
