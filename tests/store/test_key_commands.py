"""`headrace keys`: the key alone on stdout, the rest on stderr, exit codes a script can rely on."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from proxy.core import virtual_key
from proxy.core.config import parse
from proxy.core.config.schema import Config
from proxy.store import key_commands

FILE = "keys: [{name: in-file, key: sk-of-the-file-1, expires: 2030-01-31}]"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    text = f"store: {{url: 'sqlite:///{tmp_path}/state/store.db'}}\n{FILE}"
    return parse(text, "headrace.yaml", {}).config


def test_a_key_that_is_made_is_alone_on_stdout(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert key_commands.create(config, "app", {}) == 0

    out, err = capsys.readouterr()
    assert virtual_key.is_wellformed(out.removesuffix("\n"))
    assert "'app'" in err
    assert out.strip() not in err


def test_as_json_it_comes_with_its_name_and_id(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert key_commands.create(config, "app", {"team": "red"}, as_json=True) == 0

    made = orjson.loads(capsys.readouterr().out)
    assert made.keys() == {"id", "name", "key"}
    assert virtual_key.is_wellformed(made["key"])


def test_a_list_is_for_people_or_for_programs(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    key_commands.create(config, "app", {"models": ["a", "b*"], "team": "red"})
    key = capsys.readouterr().out.strip()

    assert key_commands.show(config) == 0
    head, file, mine = capsys.readouterr().out.splitlines()
    assert head.split() == ["ID", "NAME", "KEY", "MODELS", "EXPIRES", "TEAM"]
    assert file.split() == ["-", "in-file", "in", "the", "file", "*", "2030-01-31T00:00Z", "-"]
    assert mine.split() == ["1", "app", f"{key[:15]}…{key[-4:]}", "a,b*", "-", "red"]

    assert key_commands.show(config, as_json=True) == 0
    file_too, mine_too = orjson.loads(capsys.readouterr().out)
    assert (file_too["name"], file_too["source"]) == ("in-file", "file")
    assert (mine_too["id"], mine_too["models"], mine_too["key_id"]) == ("1", ["a", "b*"], key[6:14])


def test_a_revoked_key_is_gone(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    key_commands.create(config, "app", {})
    assert key_commands.revoke(config, "app", as_json=True) == 0
    assert orjson.loads(capsys.readouterr().out.partition("\n")[2]) == {"id": 1, "name": "app"}

    assert key_commands.revoke(config, "app") == 2
    assert "no key 'app'" in capsys.readouterr().err


def test_what_is_wrong_is_an_exit_code_and_a_sentence(
    config: Config, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert key_commands.create(config, "in-file", {}) == 2
    assert "in the configuration file" in capsys.readouterr().err

    (tmp_path / "state" / "store.db.key").chmod(0o644)
    assert key_commands.create(config, "app", {}) == 2
    assert "chmod 600" in capsys.readouterr().err


def test_a_database_that_is_not_there_is_another_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = "postgresql://nobody:secret@127.0.0.1:1/none"
    config = parse(f"store: {{url: '{url}'}}", "headrace.yaml", {}).config

    assert key_commands.show(config) == 1
    assert "secret" not in capsys.readouterr().err
