from __future__ import annotations

from typing import Any

import pytest

from proxy.core.config import parse
from tests.core.config.foreign.examples import ORINA2API, plain, translated, warned, wrong


def tree(text: str = ORINA2API, **env: str) -> Any:
    return plain(translated(text, ".env", env).tree)


def test_each_variable_has_its_place() -> None:
    found = tree()

    assert found["server"] == {"host": "127.0.0.1", "port": 3344, "name": "Pool"}
    assert found["auth"] == {"require": True}
    assert found["defaults"] == {
        "strategy": "least_used",
        "timeouts": {"request": 25, "ttft": 25},
        "retry": {"count": 2, "base": 1.5},
    }
    assert found["logging"] == {"level": "debug"}
    assert [one["key"] for one in found["keys"]] == ["client-key-1", "client-key-2"]
    assert found["models"] == {
        name: {"deployments": [{"provider": "pool", "model": name}]}
        for name in ("Claude 4-Default", "gpt-4")
    }


def test_the_two_addresses_are_one_provider_with_a_conversation() -> None:
    provider = tree()["providers"]["pool"]

    assert provider["base_url"] == "https://chat.example.com"
    assert provider["credentials"] == ["token-1", "token-2"]
    assert provider["conversation"]["create"] == {"path": "/api/conversation", "id_path": "id"}
    assert provider["conversation"]["path"] == "/api/chat"
    assert provider["conversation"]["body"]["conversation_id"] == "{conversation_id}"


def test_the_format_of_the_service_is_said_in_variables() -> None:
    found = translated(
        ORINA2API,
        env={
            "CONVERSATION_BODY": '{"title": "new", "n": 1}',
            "CONVERSATION_ID_PATH": "data.id",
            "TARGET_BODY": '{"id": "{conversation_id}", "turns": [{"text": "{messages}"}]}',
            "TARGET_TEXT_PATH": "delta, data.answer",
            "TARGET_DONE_AT_END": "true",
            "REFERER": "https://chat.example.com/c/{conversation_id}",
        },
    )
    # They are ours, so they belong into the file or the environment all the same.
    conversation = plain(found.tree)["providers"]["pool"]["conversation"]

    assert conversation == {
        "create": {
            "path": "/api/conversation",
            "body": {"title": "new", "n": 1},
            "id_path": "data.id",
        },
        "path": "/api/chat",
        "body": {"id": "{conversation_id}", "turns": [{"text": "{messages}"}]},
        "referer": "https://chat.example.com/c/{conversation_id}",
        "text_path": ["delta", "data.answer"],
        "done_at_end": True,
    }
    assert parse(found.yaml(), env={}).config.providers["pool"].conversation is not None


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"TARGET_API_URL": ""}, "TARGET_API_URL"),
        ({"CONVERSATION_API_URL": ""}, "CONVERSATION_API_URL"),
        ({"CONVERSATION_API_URL": "https://other.example.com/c"}, "CONVERSATION_API_URL"),
        ({"TARGET_API_URL": "https://[chat.example.com/api/chat"}, "TARGET_API_URL"),
        ({"CONVERSATION_API_URL": "https://chat.example.com]/c"}, "CONVERSATION_API_URL"),
        ({"TARGET_API_URL": "https://chat.example.com/api/chat?team=1"}, "TARGET_API_URL"),
        ({"CONVERSATION_API_URL": "https://chat.example.com/c?v=2"}, "CONVERSATION_API_URL"),
        ({"TOKEN_POOL": '["a"'}, "TOKEN_POOL"),
        ({"AVAILABLE_MODELS": "[1]"}, "AVAILABLE_MODELS"),
        ({"TARGET_BODY": "{"}, "TARGET_BODY"),
        ({"TIMEOUT": "soon"}, "TIMEOUT"),
    ],
)
def test_what_would_mislead_is_an_error(variables: dict[str, str], path: str) -> None:
    assert path in wrong(translated(ORINA2API, env=variables))


def test_a_list_may_be_written_with_commas() -> None:
    found = tree(API_KEYS="one-key-one, two-key-two,", TOKEN_POOL="[]")

    assert [one["key"] for one in found["keys"]] == ["one-key-one", "two-key-two"]
    assert found["providers"]["pool"]["credentials"] == []


def test_what_is_left_out_is_as_it_is_there() -> None:
    text = "TOKEN_POOL=[]\nTARGET_API_URL=https://a.example/chat\nCONVERSATION_API_URL=https://a.example/c\n"
    found = tree(text)

    assert found["server"]["port"] == 3333
    assert found["auth"] == {"require": True}
    assert found["defaults"]["timeouts"]["request"] == 30
    assert found["defaults"]["retry"] == {"count": 3, "base": 1}
    assert tree(text, RETRY_DELAY="5")["defaults"]["retry"]["cap"] == 5
    assert {"PROJECT_API_URL", "MESSAGE_API_URL"} <= warned(translated(ORINA2API)).keys()


def test_a_host_is_one_however_it_is_spelt() -> None:
    found = translated(
        ORINA2API,
        env={
            "TARGET_API_URL": "https://Chat.example.com/api/chat",
            "CONVERSATION_API_URL": "https://chat.example.com/api/conversation",
        },
    )

    assert not wrong(found)
