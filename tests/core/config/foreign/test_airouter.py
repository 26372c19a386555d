from __future__ import annotations

from typing import Any

from proxy.core.config.foreign import airouter
from tests.core.config.foreign.examples import AIROUTER, plain, translated, warned, wrong


def tree(text: str = AIROUTER, **env: str) -> Any:
    return plain(translated(text, ".env", env).tree)


def test_each_variable_has_its_place() -> None:
    found = tree()

    assert found["server"] == {"host": "127.0.0.1", "port": 8000}
    assert found["store"] == {"url": "postgresql://router:secret@db:5432/router"}
    assert found["logging"] == {"level": "debug"}


def test_a_database_that_is_theirs_is_not_ours() -> None:
    assert "DATABASE_URL" in warned(translated(AIROUTER))
    assert "DATABASE_URL" not in warned(translated("DEBUG=false\n"))


def test_a_key_of_a_vendor_is_a_provider_with_all_its_models() -> None:
    found = tree()

    assert found["providers"] == {
        "openai": {"preset": "openai", "credentials": ["sk-of-openai"]},
        "anthropic": {"preset": "anthropic", "credentials": ["sk-of-anthropic"]},
    }
    assert {name: one["deployments"] for name, one in found["models"].items()} == {
        "openai/*": [{"provider": "openai", "model": "*"}],
        "gpt-*": [{"provider": "openai", "model": "gpt-*"}],
        "anthropic/*": [{"provider": "anthropic", "model": "*"}],
        "claude-*": [{"provider": "anthropic", "model": "claude-*"}],
    }


def test_two_keys_of_one_vendor_share_the_load() -> None:
    found = tree("DEBUG=false\nGEMINI_API_KEY=one\nGOOGLE_API_KEY=two\n")

    assert found["providers"]["gemini"]["credentials"] == ["one", "two"]
    assert "logging" not in found


def test_every_variable_of_a_key_belongs_to_a_preset() -> None:
    assert airouter.keys()["OPENAI_API_KEY"] == "openai"
    assert "VOLCENGINE_API_KEY" in airouter.variables()


def test_another_database_is_an_error() -> None:
    assert "DATABASE_URL" in wrong(translated(AIROUTER, env={"DATABASE_URL": "mysql://a:b@c/d"}))
    assert "store" not in tree("DEBUG=false\n")
    assert tree(LOG_LEVEL="error")["logging"]["level"] == "error"
