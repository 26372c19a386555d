"""Questions, and the configuration that comes of their answers."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from proxy.control import setup_command
from proxy.core import virtual_key
from proxy.core.config import load
from proxy.state.snapshot import compile_snapshot


def setup(path: Path, monkeypatch: pytest.MonkeyPatch, *lines: str, force: bool = False) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return setup_command.run(path, force=force)


def test_empty_answers_make_a_configuration_that_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "headrace.yaml"

    assert setup(path, monkeypatch, "", "sk-of-openai", "", "", "", "") == 0

    found = load(path, {}).config
    snapshot = compile_snapshot(found)
    assert snapshot.server.host == "127.0.0.1"
    assert [name for name, _ in snapshot.wildcards] == [""]
    assert found.providers["openai"].credentials[0].key.reveal() == "sk-of-openai"
    assert virtual_key.is_wellformed(found.keys[0].key.reveal())
    said = capsys.readouterr().err
    assert "headrace serve --config" in said
    for secret in ("sk-of-openai", found.keys[0].key.reveal()):
        assert secret not in said + path.read_text()
    for file in (tmp_path / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_several_vendors_each_have_their_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "h.yaml"
    lines = [
        "openai, anthropic",
        "sk-1",
        "sk-2",
        "gpt-4o gpt-4o-mini",
        "",
        "0.0.0.0",
        "80",
        "sk-mine-0001",
    ]

    assert setup(path, monkeypatch, *lines) == 0

    found = load(path, {}).config
    assert list(found.models) == ["gpt-4o", "gpt-4o-mini", "anthropic/*"]
    assert (found.server.host, found.server.port) == ("0.0.0.0", 80)
    assert found.keys[0].key.reveal() == "sk-mine-0001"


def test_a_vendor_that_is_not_known_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "h.yaml"

    assert setup(path, monkeypatch, "opnai", "vllm", "", "", "", "") == 0
    assert "did you mean 'openai'?" in capsys.readouterr().err
    assert not list(load(path, {}).config.providers["vllm"].credentials)


def test_a_placeholder_in_an_address_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "h.yaml"
    address = "https://mine.openai.azure.com/openai"

    assert setup(path, monkeypatch, "azure-openai", address, "sk-1", "", "", "", "") == 0
    assert load(path, {}).config.providers["azure-openai"].base_url == address


def test_what_is_there_stays_unless_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "h.yaml"
    path.write_text("models: {}")

    assert setup(path, monkeypatch) == 2
    assert path.read_text() == "models: {}"
    assert setup(path, monkeypatch, "", "sk-1", "", "", "", "", force=True) == 0
    assert "openai" in path.read_text()


def test_secrets_of_another_configuration_stay_unless_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert setup(tmp_path / "one.yaml", monkeypatch, "", "sk-1", "", "", "", "") == 0
    before = {file: file.read_text() for file in (tmp_path / "secrets").iterdir()}

    assert setup(tmp_path / "two.yaml", monkeypatch, "", "sk-2", "", "", "", "") == 2

    assert {file: file.read_text() for file in (tmp_path / "secrets").iterdir()} == before
    assert not (tmp_path / "two.yaml").exists()
    assert f"{tmp_path / 'secrets' / 'client-key'}: there already" in capsys.readouterr().err
    assert setup(tmp_path / "two.yaml", monkeypatch, "", "sk-2", "", "", "", "", force=True) == 0
    assert (tmp_path / "secrets" / "openai").read_text() == "sk-2\n"


@pytest.mark.parametrize("lines", [[], ["openai"], ["x"] * 9, ["", "sk-1", "", "", "eighty", ""]])
def test_answers_that_are_none_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    path = tmp_path / "h.yaml"

    assert setup(path, monkeypatch, *lines) == 2
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    assert setup(tmp_path / "file" / "h.yaml", monkeypatch, "", "sk-1", "", "", "", "") == 1
    assert "Not a directory" in capsys.readouterr().err
