"""What cannot change while a process runs is known by name."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.control.fixed import changed
from proxy.core.config.schema import Config


def config(**sections: Any) -> Config:
    return Config.model_validate({"store": {"url": ""}, **sections})


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("server", "host", "127.0.0.2"),
        ("server", "port", 9000),
        ("server", "workers", 7),
        ("admin", "host", "127.0.0.2"),
        ("admin", "port", 9000),
        ("store", "url", "sqlite:///other.db"),
        ("logging", "file", "other.log"),
        ("logging", "format", "json"),
        ("ledger", "size", "1GiB"),
        ("ledger", "sync", "1s"),
        ("shared", "url", "redis://limits.example:6379/0"),
        ("shared", "prefix", "other:"),
        ("shared", "timeout", "2s"),
    ],
)
def test_each_is_named(section: str, field: str, value: object) -> None:
    assert changed(config(), config(**{section: {field: value}})) == [f"{section}.{field}"]


def test_so_is_the_place_of_the_copy_of_the_database() -> None:
    assert changed(config(), config(store={"url": "", "snapshot": "x"})) == ["store.snapshot"]


def test_everything_else_may_change() -> None:
    other = {"server": {"drain": "1s", "max_body": "1KB"}, "store": {"url": "", "poll": 2}}
    other["logging"] = {
        "level": "debug",
        "requests": False,
        "sample": 0.5,
        "rotate": True,
        "keep": 1,
    }

    assert changed(config(), config(**other)) == []
