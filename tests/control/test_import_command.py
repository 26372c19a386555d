from __future__ import annotations

import sqlite3
from pathlib import Path

import orjson
import pytest

from proxy.control import import_command
from proxy.core.config import Config, parse
from tests.test_cli import run

MASTER = "vuXu1dZTfW0pVnNq7dJmYzr5o2kQhL8c"
DOCUMENT = """
server: {port: 1}
providers:
  openai: {preset: openai, credentials: ["${OPENAI_KEY}", "file:second.key"]}
models:
  gpt: {deployments: [{provider: openai}]}
keys:
  - {name: team-a, key: "${TEAM_KEY}"}
"""
ENV = {"OPENAI_KEY": "sk-first-0123456789", "TEAM_KEY": "sk-client-0123456789"}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return parse(
        orjson.dumps(
            {
                "store": {"url": f"sqlite:///{tmp_path}/headrace.db"},
                "secrets": {"keys": [MASTER]},
            }
        ).decode()
    ).config


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "second.key").write_text("sk-second-0123456789\n")
    path = tmp_path / "document.yaml"
    path.write_text(DOCUMENT)
    return str(path)


def rows(config: Config) -> dict[str, int]:
    path = config.store.url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as database:
        found = database.execute(
            "SELECT kind, count(*) FROM objects WHERE deleted = 0 GROUP BY kind"
        )
        counted = dict(found.fetchall())
    database.close()
    return counted


def test_a_file_is_taken_into_the_database_with_what_it_refers_to(
    config: Config, file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert import_command.run(config, file, env=ENV) == 0

    assert rows(config) == {"provider": 1, "credential": 2, "model": 1, "deployment": 1, "key": 1}
    said = capfd.readouterr().err
    assert "warning: 'server' is left out" in said
    assert "6 created, 0 updated, 0 deleted, 0 unchanged" in said
    assert not [secret for secret in (*ENV.values(), "sk-second") if secret in said]


def test_the_same_file_again_changes_nothing(
    config: Config, file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    import_command.run(config, file, env=ENV)

    # What a variable held is not needed any more, either.
    assert import_command.run(config, file, env={}, mode="replace") == 0

    assert "0 created, 0 updated, 0 deleted, 6 unchanged" in capfd.readouterr().err


def test_a_dry_run_writes_nothing(
    config: Config, file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert import_command.run(config, file, env=ENV, dry_run=True, as_json=True) == 0

    assert rows(config) == {}
    content = orjson.loads(capfd.readouterr().out)
    assert (content["dry_run"], content["ok"], content["create"]) == (True, True, 6)
    assert content["edits"][0] == {
        "action": "create",
        "kind": "provider",
        "name": "openai",
        "at": "providers.openai",
        "changes": [{"field": "preset", "before": None, "after": "openai"}],
    }


def test_everything_that_is_wrong_is_said_and_nothing_written(
    config: Config, file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path(file).write_text(
        DOCUMENT + "  - {name: team-b, rpm: none}\ndefaults: {strategy: fastest}\nmistake: 1\n"
    )

    assert import_command.run(config, file, env={}) == 2

    assert rows(config) == {}
    said = capfd.readouterr().err
    for place in (
        "mistake: ",
        "defaults.strategy: ",
        "providers.openai.credentials[0].key: ",
        "keys[0].key: ",
        "keys[1].key: ",
    ):
        assert f"\n{place}" in f"\n{said}"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("providers: {p: {base_url: '${NOWHERE}'}}", "providers.p.base_url: line 1"),
        ("a: [", "not valid YAML"),
        ("a: !!python/object:os.system x", "the tag"),
        ("models: {a: {}, a: {}}", "found a second one"),
        ("models: {a: file:nowhere}", "models.a: line 1"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_line(
    written: str, says: str, config: Config, file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path(file).write_text(written)

    assert import_command.run(config, file, env={}) == 2

    assert says in capfd.readouterr().err


@pytest.mark.parametrize("text", ["", "\n", "# nothing but a comment\n"])
def test_an_empty_document_is_no_order_to_delete_everything(
    config: Config, file: str, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    import_command.run(config, file, env=ENV)
    before = rows(config)
    Path(file).write_text(text)

    assert import_command.run(config, file, mode="replace") == 2

    assert "empty" in capfd.readouterr().err
    assert rows(config) == before


def test_no_file_is_no_traceback(config: Config, capfd: pytest.CaptureFixture[str]) -> None:
    assert import_command.run(config, "nowhere.yaml") == 2

    assert "nowhere.yaml: " in capfd.readouterr().err


def test_bytes_that_are_no_text_are_refused(config: Config, file: str) -> None:
    Path(file).write_bytes(b"\xff\xfe")

    assert import_command.run(config, file) == 2


def test_a_configuration_without_a_database_has_nowhere_to_import_to(file: str) -> None:
    assert import_command.run(parse("store: {url: ''}").config, file, env=ENV) == 2


def test_a_database_that_is_away_is_said(
    tmp_path: Path, file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config = parse(f"store: {{url: 'postgresql://u:p@127.0.0.1:1/none', snapshot: {tmp_path}/c}}")

    assert import_command.run(config.config, file, env=ENV) == 1

    assert "the database does not answer" in capfd.readouterr().err


def test_who_did_it_is_in_the_audit_log(config: Config, file: str) -> None:
    import_command.run(config, file, env=ENV)

    database = sqlite3.connect(config.store.url.removeprefix("sqlite:///"))
    who = database.execute("SELECT DISTINCT principal FROM audit").fetchall()
    database.close()
    assert who == [("command line",)]


def test_the_command_line_leads_here(tmp_path: Path, file: str) -> None:
    place = tmp_path / "headrace.yaml"
    place.write_text(f'store: {{url: "sqlite:///{tmp_path}/headrace.db"}}\n')
    Path(file).write_text("models: {m: {}}\n")

    tried = run("config", "import", file, "--config", str(place), "--dry-run", "--json")
    done = run("config", "import", file, "--config", str(place), "--mode", "replace")

    assert orjson.loads(tried.stdout)["create"] == 1
    assert (tried.returncode, done.returncode) == (0, 0)
    assert "1 created, 0 updated, 0 deleted, 0 unchanged" in done.stderr
