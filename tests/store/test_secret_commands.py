"""`headrace secrets rotate`: what was done and what is left, for people and for programs."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from proxy.core.config import parse
from proxy.core.config.schema import Config
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.store import key_commands, secret_commands

OLD, NEW = "r8Kq2mZx0VbTn4Wc7LpYs1HdJf6GuAeE", "Zt5wQ9oXk3NvR7yBc1MhL8sDfP0aGj2U"
OTHER = "aZ3xC6vB9nM2qW5eR8tY1uI4oP7sD0fG"


def kid(key: str) -> str:
    return Vault([Secret(key)]).kids[0]


def config(folder: Path, *keys: str) -> Config:
    text = f"store: {{url: 'sqlite:///{folder}/store.db'}}\nsecrets: {{keys: {list(keys)}}}"
    return parse(text, "headrace.yaml", {}).config


def test_after_it_the_old_key_is_not_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_commands.create(config(tmp_path, OLD), "app", {})
    capsys.readouterr()

    assert secret_commands.rotate(config(tmp_path, NEW, OLD)) == 0

    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"sealed again under master key {kid(NEW)}: 1",
        "still under another key: 0, so the others can be taken out of secrets.keys",
    ]
    assert "1 of 1" in err
    assert key_commands.create(config(tmp_path, NEW), "other", {}) == 0


def test_what_is_left_is_counted_by_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key_commands.create(config(tmp_path, OLD), "app", {})
    capsys.readouterr()

    assert secret_commands.rotate(config(tmp_path, NEW, OTHER), as_json=True) == 1

    out, err = capsys.readouterr()
    said = orjson.loads(out)
    assert (said["kid"], said["resealed"], said["left"]) == (kid(NEW), 0, {kid(OLD): 1})
    assert len(said["unopened"]) == 1
    assert "left as it is: pepper/" in err
    assert secret_commands.rotate(config(tmp_path, NEW, OTHER)) == 1
    assert f"still under master key {kid(OLD)}, which has to stay: 1" in capsys.readouterr().out
