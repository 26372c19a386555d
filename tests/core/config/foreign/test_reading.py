"""Whole files: recognised, every field of them mapped or named, and the same when they are printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.config import ConfigError, load, loading, parse
from proxy.core.config.foreign import FILES as PLACES
from proxy.core.config.foreign import (
    WORDS,
    dotenv,
    from_environment,
    is_in,
    jsonc,
    read,
    read_as,
)
from proxy.core.config.foreign.source import leaves, said
from proxy.state.show import show
from proxy.state.snapshot import compile_snapshot
from tests.core.config.foreign.examples import (
    AIROUTER,
    FILES,
    LLM_ORCHESTRATOR,
    ORINA2API,
    origins,
    plain,
    translated,
    warned,
)

BEGINNINGS = st.lists(
    st.sampled_from(
        ["\n", " ", "# a word\n", "---\n", "server:", "A", "=1\n", ": {}\n", "//\n", "{", "["]
    )
).map("".join)


@given(BEGINNINGS)
def test_what_begins_as_ours_is_taken_for_nothing_else(text: str) -> None:
    if loading._BEGINS.match(text):
        assert read(text, "headrace.yaml", {}) is None


def test_for_a_file_of_ours_no_reader_of_others_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text("# Ours.\n\nserver: {port: 0}\n")
    code = (
        "import sys; from proxy.core.config import load; load(sys.argv[1]);"
        "sys.exit('proxy.core.config.foreign' in sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code, str(file)], check=True)


PROGRAMS = {
    "appsettings.json": "OrchestrationApi",
    "provider.json": "AI API Gateway",
    "llm-orchestrator.env": "LLM Orchestrator",
    "airouter.env": "AiRouter",
    "orina2api.env": "orina2api",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_recognised_by_what_is_in_it(name: str) -> None:
    assert translated(FILES[name], "something").program == PROGRAMS[name]


@pytest.mark.parametrize(
    "text",
    [
        "server: {port: 1}\n",
        "{server: {port: 1}, providers: {a: {base_url: http://a.example}}}",
        '{"providers": {"a": {"base_url": "https://a.example"}}, "models": {}}',
        # As an export of the store has it.
        '{"keys": [{"name": "a", "key": "${A}", "models": ["*"], "rpm": 5}]}',
        "",
        "# nothing\n",
        "[]",
    ],
)
def test_one_of_ours_is_none_of_them(text: str) -> None:
    assert read(text, "headrace.yaml", {}) is None


@pytest.mark.parametrize("name", FILES)
def test_what_is_printed_amounts_to_the_same(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(FILES[name])
    loaded = load(file, {})
    printed = parse(translated(FILES[name], str(file), folder=tmp_path).yaml(), str(file), {})

    assert printed.config == loaded.config
    # Warnings are of the file that is read, so only the rest is the same.
    assert show(printed).partition("\nwarnings:")[0] == show(loaded).partition("\nwarnings:")[0]
    # Not all of a snapshot can be compared, all of it can be shown.
    one, other = (
        re.sub(r" at 0x[0-9a-f]+", "", repr(compile_snapshot(each.config)))
        for each in (printed, loaded)
    )
    assert one == other


# Fields that choose, and have no value of their own in the result: another value is another result.
CHOOSING = {
    "OrchestrationApi.Database.Type": ('"Type": "sqlite"', '"Type": "mysql"'),
    "DATABASE_TYPE": ("DATABASE_TYPE=sqlite", "DATABASE_TYPE=mysql"),
    "APP_ENV": ("APP_ENV=production", "APP_ENV=development"),
    "AllowedHosts": ('"AllowedHosts": "*"', '"AllowedHosts": "example.com"'),
}


def fields(name: str, text: str) -> set[str]:
    """Every field of a file that has a value."""
    if name.endswith(".json"):
        return {one.origin.path for one in leaves(said(jsonc.parse(text, name))) if one.origin}
    return set(dotenv.parse(text, name, {}))


@pytest.mark.parametrize("name", FILES)
def test_every_field_is_mapped_or_named(name: str) -> None:
    text = FILES[name]
    found = translated(text, name)
    known = origins(found.tree) | warned(found).keys()

    left = fields(name, text) - known

    for path in left:
        before, after = CHOOSING[path]
        assert before in text
        other = translated(text.replace(before, after), name)
        assert path in {one.path for one in (*other.problems, *other.warnings)}


@pytest.mark.parametrize("name", FILES)
def test_a_field_nobody_knows_is_named(name: str) -> None:
    text = FILES[name]
    if name.endswith(".json"):
        text = text.replace("{", '{"surprise_field": {"a": 1},', 1)
    else:
        text += "SURPRISE_FIELD=1\n"

    named = warned(translated(text, name))

    assert "not known" in named.get("surprise_field", "") + named.get("SURPRISE_FIELD", "")


def test_what_is_wrong_is_said_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "provider.json"
    file.write_text(FILES["provider.json"].replace("0 */6 * * *", "0 */6 * *"))

    with pytest.raises(ConfigError) as caught:
        load(file, {})

    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(file), 8)
    assert problem.path == "gpt-4o.providers[0].rate_limit.period_cron"


def test_a_file_that_is_broken_says_so_as_what_it_is() -> None:
    with pytest.raises(ConfigError):
        read('{"_global": {', "provider.json", {})


def test_variables_of_no_program_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        read("COLOUR=red\n", ".env", {})

    assert "expected variables of" in str(caught.value)


def test_variables_of_the_process_go_over_those_of_the_file() -> None:
    found = translated(LLM_ORCHESTRATOR, env={"APP_PORT": "9001", "HOME": "/root"})

    assert plain(found.tree)["server"]["port"] == 9001
    assert "HOME" not in warned(found)


def test_variables_alone_are_a_configuration() -> None:
    found = from_environment({"AUTH_TOKEN": "a-token-for-all-of-it", "PATH": "/bin"})

    assert found.program == "LLM Orchestrator"
    assert plain(found.tree)["server"] == {"host": "0.0.0.0", "port": 8000}
    # What is secret and came from a variable stays one.
    assert 'token: "${AUTH_TOKEN}"' in found.yaml()
    with pytest.raises(ConfigError):
        from_environment({"PATH": "/bin"})


@pytest.mark.parametrize(
    ("names", "is_one"),
    [
        (["TOKEN_POOL"], True),
        (["orchestrationapi__server__port"], True),
        (["AUTH_TOKEN"], True),
        # Any program's.
        (["DEBUG", "OPENAI_API_KEY", "DATABASE_URL", "PATH"], False),
        (["REDIS_URL", "LOG_FILE", "APP_ENV", "MAX_RETRIES"], False),
        (["REDIS_URL", "APP_PORT", "AUTH_TOKEN"], True),
    ],
)
def test_only_variables_of_one_program_alone_are_taken_for_a_configuration(
    names: list[str], is_one: bool
) -> None:
    assert is_in(dict.fromkeys(names, "1")) is is_one


def test_the_environment_is_served_under_a_name_of_its_own() -> None:
    loaded = load("env:", {"AUTH_TOKEN": "a-token-for-all-of-it"})

    assert loaded.source == "environment"
    assert loaded.config.server.port == 8000


def test_where_two_could_be_meant_somebody_says_which() -> None:
    text = "DATABASE_URL=postgresql://a:b@c/d\nLOG_LEVEL=info\n"

    assert translated(text).program == "AiRouter"
    assert read_as("llm-orchestrator", text, ".env", {}).program == "LLM Orchestrator"
    with pytest.raises(ConfigError):
        read_as("ai-api-gateway", text, ".env", {})
    with pytest.raises(ConfigError):
        read_as("orina2api", FILES["provider.json"], ".env", {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "model_list:\n  - {model_name: a, litellm_params: {model: openai/a}}\n"),
        ("config.json", '{"strategy": {"mode": "single"}, "targets": [{"provider": "openai"}]}'),
        ("channels.json", '[{"type": 1, "key": "k", "models": "a"}]'),
    ],
)
def test_what_is_converted_only_is_not_served(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load(file, {})

    assert "headrace config import FILE" in str(caught.value)


def test_every_program_has_a_word_and_every_place_is_one_of_a_file() -> None:
    assert set(PROGRAMS.values()) < set(WORDS.values())
    assert len(set(PLACES)) == len(PLACES)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ('{"OrchestrationApi": {}}', 5000),
        ('{"m": {"providers": []}}', 6010),
        ("AUTH_TOKEN=a-token-for-all-of-it", 8000),
        ("DEBUG=false", 8000),
        ("TOKEN_POOL=[]", 3333),
    ],
    ids=list(PROGRAMS),
)
def test_each_has_the_port_it_has(text: str, port: int) -> None:
    tree: Any = plain(translated(text).tree)

    assert tree["server"]["port"] == port
    assert tree["admin"]["port"] == port
    assert plain(translated(text, env={"PORT": "9999"}).tree)["server"]["port"] == 9999


def test_no_secret_is_in_what_is_said() -> None:
    for text in (*FILES.values(), AIROUTER, ORINA2API):
        found = translated(text)
        said_of_it = "\n".join(map(str, (*found.warnings, *found.problems)))
        for secret in ("sk-first", "a-password", "token-1", "secret", "correct-horse", "a-token-"):
            assert secret not in said_of_it.replace("JwtSecret", "")


@pytest.mark.parametrize(
    ("name", "template", "path"),
    [
        (
            "provider.json",
            '{{"m": {{"providers": [{{"name": "p", "endpoint": "https://a.example", "model": "m", "api_key": "{}"}}]}}}}',
            "m.providers[0].api_key",
        ),
        (".env", "APP_PORT=1\nAUTH_TOKEN={}\n", "AUTH_TOKEN"),
        (
            "config.yaml",
            "model_list: [{{model_name: m, litellm_params: {{model: groq/a, extra_body: {{a: ['{}']}}}}}}]\n",
            "model_list[0].litellm_params.extra_body.a[0]",
        ),
    ],
)
@pytest.mark.parametrize(
    ("text", "refers"),
    [
        ("file:secret.txt", True),
        ("secret:vault/a", True),
        ("file://a", False),
        ("secret:", False),
        ("a file:b", False),
    ],
)
def test_text_of_others_never_reads_a_file_of_this_machine(
    name: str, template: str, path: str, text: str, refers: bool, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("of this machine")
    content = template.format(text)

    found = translated(content, name, folder=tmp_path)

    assert [one.path for one in found.problems] == [path] * refers
    assert not any("of this machine" in one.message for one in found.problems)
    if not refers:
        assert text in found.yaml()
