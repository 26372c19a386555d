from __future__ import annotations

from typing import Any

import pytest
import yaml

from proxy.core.config import Config, ConfigError, parse

MINIMAL: dict[str, Any] = {
    "create": {"path": "/conversations", "id_path": "data.id"},
    "path": "/conversations/{conversation_id}/messages",
    "body": {"text": "{prompt}"},
    "text_path": "text",
}


def written(**changes: Any) -> str:
    provider = {
        "base_url": "https://chat.example.com/api",
        "credentials": ["token"],
        "conversation": {**MINIMAL, **changes},
    }
    return yaml.safe_dump({"providers": {"p": provider}, "models": {}})


def read(**changes: Any) -> Config:
    return parse(written(**changes), "h.yaml", {}).config


def problems(**changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(written(**changes), "h.yaml", {})
    return [
        str(problem).partition("providers.p.conversation")[2] for problem in caught.value.problems
    ]


def test_little_has_to_be_said() -> None:
    block = read().providers["p"].conversation

    assert block is not None
    assert (block.create.method, block.create.id_path, block.create.body) == (
        "POST",
        ("data", "id"),
        None,
    )
    assert block.text_path == [("text",)]
    assert (block.delta, block.done, block.done_at_end) == (True, None, False)
    assert (block.prefetch, block.expire, block.error_path) == (0, 60.0, ("error",))


def test_a_provider_with_a_conversation_speaks_that_and_what_it_lists() -> None:
    text = written()
    alone = parse(text, "h.yaml", {}).config.providers["p"]
    both = parse(
        text.replace("    credentials", "    dialects: [openai.embeddings]\n    credentials"),
        "h.yaml",
        {},
    ).config.providers["p"]

    assert alone.spoken == {"conversation.chat": MINIMAL["path"]}
    assert list(both.spoken) == ["openai.embeddings", "conversation.chat"]
    assert alone.needs_credential


def test_a_conversation_can_be_preferred_but_not_listed() -> None:
    text = written().replace("    credentials", "    prefer: [conversation.chat]\n    credentials")
    assert not [str(one) for one in parse(text, "h.yaml", {}).warnings if "prefer" in str(one)]

    with pytest.raises(ConfigError, match="describe the service under conversation"):
        parse(
            'providers: {p: {base_url: "https://a.example", dialects: [conversation.chat]}}',
            "h.yaml",
            {},
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "chat"}, ".path: expected a path such as /api/chat"),
        ({"path": "/a?b=c"}, ".path: expected a path such as /api/chat"),
        ({"path": "/{message_id}"}, ".path: expected a name that stands for something"),
        (
            {"create": {"path": "/{conversation_id}", "id_path": "id"}},
            ".create.path: expected a name that stands for something, found 'conversation_id'",
        ),
        (
            {"create": {"path": "/c", "id_path": "a..b"}},
            ".create.id_path: expected a place in a JSON value",
        ),
        (
            {"create": {"path": "/c", "id_path": "id", "method": "DELETE"}},
            ".create.method: expected one of GET, POST, PUT",
        ),
        (
            {"create": {"path": "/c", "id_path": "id", "body": {"t": ["{prompt}"]}}},
            ".create.body.t[0]: expected a name that stands for something, found 'prompt'",
        ),
        (
            {"create": {"path": "/c", "id_path": "id", "headers": {"host": "x"}}},
            ".create.headers.host: expected a header that may be set",
        ),
        ({"body": {"text": "{promt}", "q": "{prompt}"}}, ".body.text: expected a name that"),
        ({"body": {"text": "fixed"}}, ".body: expected a place for the question, found none"),
        (
            {"body": {"q": "{prompt}", "stream": {"stream": None}}},
            '.body.stream: expected text, found a mapping; put it in quotes: "{stream}"',
        ),
        ({"headers": {"x": "{system}"}}, ".headers.x: expected a name that stands for something"),
        ({"referer": "chat"}, ".referer: expected a URL"),
        ({"referer": "https://a/\nb: c"}, ".referer: expected text that may stand in a header"),
        ({"done": {"path": "end"}, "done_at_end": True}, ".done_at_end: expected done or done_at"),
        ({"text_path": []}, ".text_path: expected a list that is not empty"),
        ({"prefetch": -1}, ".prefetch: expected a number of at least 0"),
        ({"expire": 0}, ".expire: expected a duration above 0"),
        (
            {"deltas": True},
            ".deltas: expected a known field, found 'deltas'; did you mean 'delta'?",
        ),
    ],
)
def test_what_is_wrong_is_explained(changes: dict[str, Any], message: str) -> None:
    found = problems(**changes)

    assert len(found) == 1, found
    assert found[0].startswith(message)


def test_a_misspelt_name_comes_with_the_one_it_was_meant_to_be() -> None:
    assert problems(body={"a": "{mesages}", "b": "{prompt}"}) == [
        ".body.a: expected a name that stands for something, found 'mesages';"
        " did you mean '{messages}'?"
    ]


def test_what_has_to_be_said_is_asked_for() -> None:
    found = problems(create=None, body=None, path=None, text_path=None)

    assert [line.partition("the field ")[2].partition(",")[0] for line in found] == [
        "'create'",
        "'path'",
        "'body'",
        "'text_path'",
    ]


@pytest.mark.parametrize(
    "value", ["text", 5, ["a"], {"create": 3, "headers": [1], "body": "{prompt}"}]
)
def test_values_of_the_wrong_kind_are_problems_and_no_surprise(value: Any) -> None:
    text = yaml.safe_dump(
        {"providers": {"p": {"base_url": "https://a.example", "conversation": value}}}
    )

    with pytest.raises(ConfigError):
        parse(text, "h.yaml", {})
