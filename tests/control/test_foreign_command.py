"""`headrace config import` of another program's file."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from proxy import commands
from proxy.control import foreign_command
from proxy.core.config import foreign, parse

LITELLM = """
model_list:
  - model_name: gpt
    litellm_params: {model: azure/gpt, api_base: os.environ/AZURE_BASE, api_key: os.environ/AZURE_KEY}
router_settings: {retry_policy: {TimeoutErrorRetries: 1}}
general_settings: {master_key: os.environ/MASTER}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(
    capfd: pytest.CaptureFixture[str], file: str | None, program: str | None = None, **env: str
) -> tuple[int | None, str, str]:
    code = foreign_command.run(file, program, env)
    return (code, *capfd.readouterr())


def test_it_prints_ours_and_tells_what_is_not_here(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.yaml").write_text(LITELLM)

    code, printed, told = run(capfd, "config.yaml")

    assert code == 0
    config = parse(
        printed,
        env={"AZURE_BASE": "https://r.openai.azure.com", "AZURE_KEY": "k", "MASTER": "m" * 20},
    ).config
    assert config.providers["azure-openai"].base_url == "https://r.openai.azure.com/openai"
    # Variables that whoever converts does not have are no mistakes of the text.
    assert told == (
        "warning: config.yaml:4:50: model_list[0].litellm_params.api_base: "
        "AZURE_BASE must not end in a slash: /openai is put behind it\n"
        "warning: config.yaml:5:55: router_settings.retry_policy: not here; the nearest is: "
        "what each cause of failure permits is a table, docs/routing.md\n"
    )


def test_what_is_wrong_with_the_result_is_told_and_it_is_printed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "c.json").write_text(
        '[{"type": 8, "key": "k", "models": "a", "base_url": "ftp://x"}]'
    )

    code, printed, told = run(capfd, "c.json")

    assert code == 0
    assert "warning: to be put right: the result:" in told
    assert 'base_url: "ftp://x"' in printed


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("provider.json", '{"_global": {"default_timeout": "soon"}}'),
        (".env", "AUTH_TOKEN=a-token-for-all-of-it\nDATABASE_TYPE=mysql\n"),
        (".env", "COLOUR=red\n"),
        ("appsettings.json", '{"OrchestrationApi": {'),
    ],
)
def test_what_would_mislead_is_not_printed(
    name: str, text: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(text)

    code, printed, told = run(capfd, name)

    assert (code, printed) == (2, "")
    assert f"error: {name}:" in told


def test_a_document_of_ours_is_somebody_else_s(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "export.yaml").write_text("models: {}\n")

    assert run(capfd, "export.yaml") == (None, "", "")
    assert run(capfd, "-") == (None, "", "")


def test_a_file_that_is_not_there_or_not_text_is_told(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "bytes").write_bytes(b"\xff\xfe")

    assert run(capfd, "none.json") == (2, "", "none.json: No such file or directory\n")
    assert run(capfd, "bytes") == (2, "", "bytes: it is not UTF-8 text\n")


def test_without_a_file_it_is_the_one_that_is_here(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / ".env").write_text("AUTH_TOKEN=of-the-file-of-the-file\n")
    (folder / "config").mkdir()
    (folder / "config" / "provider.json").write_text('{"_global": {}}')

    _, printed, _ = run(capfd, None)

    assert "made of config/provider.json (AI API Gateway)" in printed


@pytest.mark.parametrize(
    ("content", "why"),
    [(b'{"a": 1}', "it is not one of another program's"), (b"\xff", "it is not UTF-8 text")],
)
def test_without_a_file_one_that_is_here_for_something_else_is_named(
    content: bytes, why: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "provider.json").write_bytes(content)

    code, printed, told = run(capfd, None)

    assert (code, printed) == (2, "")
    assert told.startswith(f"provider.json: {why}")


def test_without_any_it_is_the_environment(capfd: pytest.CaptureFixture[str]) -> None:
    code, printed, _ = run(capfd, None, AUTH_TOKEN="of-a-variable-of-a-variable")

    assert code == 0
    assert "made of environment (LLM Orchestrator)" in printed
    assert "of-a-variable" not in printed
    assert run(capfd, None)[0] == 2


def test_standard_input_is_read_where_its_program_is_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LITELLM.encode())))

    code, printed, _ = run(capfd, "-", "litellm")

    assert code == 0
    assert "made of - (LiteLLM)" in printed


def test_every_program_has_its_word_on_the_command_line() -> None:
    assert tuple(foreign.WORDS) == commands.PROGRAMS


def test_a_file_of_another_program_than_named_is_refused(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.yaml").write_text(LITELLM)

    code, printed, told = run(capfd, "config.yaml", "portkey")

    assert (code, printed) == (2, "")
    assert told == "error: config.yaml:1:1: expected a configuration of Portkey\n"
