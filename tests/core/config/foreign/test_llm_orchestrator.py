from __future__ import annotations

from typing import Any

import pytest

from tests.core.config.foreign.examples import LLM_ORCHESTRATOR, plain, translated, warned, wrong


def tree(text: str = LLM_ORCHESTRATOR, **env: str) -> Any:
    return plain(translated(text, ".env", env).tree)


def test_each_variable_has_its_place() -> None:
    assert tree() == {
        "server": {"host": "0.0.0.0", "port": 8088, "name": "orchestra"},
        "admin": {"host": "0.0.0.0", "port": 8088, "token": "a-token-for-all-of-it"},
        "store": {"url": "sqlite:///data/headrace.db"},
        "defaults": {"strategy": "weighted_random"},
        "health": {"probe": "models", "interval": 120, "max_errors": 4, "open_max": "2h"},
        "logging": {"level": "warning", "file": "./logs/app.log"},
        "keys": [{"name": "clients", "key": "a-token-for-all-of-it"}],
    }


def test_what_is_left_out_is_as_it_is_there() -> None:
    found = tree("AUTH_TOKEN=a-token-for-all-of-it")

    assert found["server"] == {"host": "0.0.0.0", "port": 8000}
    assert found["health"] == {"interval": 300, "max_errors": 5, "open_max": "1h"}
    assert found["store"] == {"url": "sqlite:///data/headrace.db"}


def test_checks_that_are_off_are_off() -> None:
    found = tree(HEALTH_CHECK_ENABLED="false")

    assert found["health"]["probe"] == "off"


@pytest.mark.parametrize(
    "variables",
    [{"DATABASE_TYPE": "mysql"}, {"DATABASE_URL": "mysql+asyncmy://u:p@localhost/db"}],
)
def test_mysql_is_an_error(variables: dict[str, str]) -> None:
    found = translated(LLM_ORCHESTRATOR, env=variables)

    assert wrong(found).keys() == variables.keys()


@pytest.mark.parametrize("kind", ["postgresql", "oracle"])
def test_another_kind_of_database_is_not_a_file_in_silence(kind: str) -> None:
    found = translated("AUTH_TOKEN=a-token-for-all-of-it", env={"DATABASE_TYPE": kind})

    assert wrong(found).keys() == {"DATABASE_TYPE"}


def test_redis_is_named_and_only_where_it_is_meant() -> None:
    assert {"REDIS_URL", "REDIS_ENABLED"} <= warned(translated(LLM_ORCHESTRATOR)).keys()
    off = warned(translated(LLM_ORCHESTRATOR, env={"REDIS_ENABLED": "false"}))
    assert not {"REDIS_URL", "REDIS_ENABLED"} & off.keys()
    assert "REDIS_URL" not in warned(translated("AUTH_TOKEN=a-token-for-all-of-it"))


def test_without_a_token_only_this_machine_reaches_it() -> None:
    found = tree("APP_PORT=8000")

    assert found["server"]["host"] == "127.0.0.1"
    assert found["admin"]["anonymous"] is True
    assert "keys" not in found
