from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.core.config.foreign.orchestration_api import recognised
from tests.core.config.foreign.examples import APPSETTINGS, plain, translated, warned, wrong

GROUPS = """{"OrchestrationApi": {
  "Groups": [
    {"groupName": "first", "providerType": "openai", "apiKeys": ["sk-1", "sk-2"], "models": ["gpt-4", "gpt-3.5"],
     "balancePolicy": "random", "retryCount": 1, "timeout": 20, "priority": 2, "weight": 3, "enabled": true,
     "parameters": {"temperature": 0.5, "metadata": {}}, "description": "the first"},
    {"GroupName": "second", "ProviderType": "openai_compatible", "BaseUrl": "http://10.0.0.3:1/v1",
     "ApiKeys": ["sk-3"], "Models": ["gpt-4"], "balancePolicy": "least_used"}
  ],
  "ProxyKeys": [{"name": "app", "key": "key-of-the-app", "rpm": 100, "enabled": false}]
}}"""


def tree(text: str, **env: str) -> Any:
    return plain(translated(text, "appsettings.json", env).tree)


def test_each_field_has_its_place() -> None:
    assert tree(APPSETTINGS) == {
        "server": {"host": "0.0.0.0", "port": 5055},
        "admin": {
            "host": "0.0.0.0",
            "port": 5055,
            "username": "root",
            "password": "correct-horse-battery",
        },
        "store": {"url": "sqlite:///Data/headrace.db"},
        "auth": {"require": True},
        "defaults": {
            "strategy": "least_used",
            "timeouts": {"request": 30, "ttft": 30},
            "retry": {"count": 2},
        },
        "logging": {"requests": False, "detailed": True, "max_content": 500},
        "keys": [],
    }


def test_without_a_password_nobody_is_asked_and_nobody_else_is_let_in() -> None:
    found = tree(
        APPSETTINGS, OrchestrationApi__Auth__Password="", OrchestrationApi__Server__Host="::1"
    )

    assert found["admin"] == {"host": "::1", "port": 5055, "username": "root", "anonymous": True}


def test_what_is_left_out_is_as_it_is_there() -> None:
    found = tree('{"OrchestrationApi": {}}')

    assert found["server"]["port"] == 5000
    assert found["store"]["url"] == "sqlite:///Data/headrace.db"
    assert found["defaults"] == {
        "strategy": "round_robin",
        "timeouts": {"request": 60, "ttft": 60},
        "retry": {"count": 3},
    }
    assert found["logging"] == {"max_content": 1000}


def test_variables_go_over_the_file_whatever_their_case() -> None:
    found = tree(
        APPSETTINGS,
        OrchestrationApi__Auth__Password="another-password",
        ORCHESTRATIONAPI__GLOBAL__TIMEOUT="5",
        OrchestrationApi__RequestLogging__Enabled="True",
    )

    assert found["admin"]["password"] == "another-password"
    assert found["defaults"]["timeouts"]["request"] == 5
    assert found["logging"]["requests"] is True


def test_the_file_of_the_environment_goes_over_the_first(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "appsettings.Production.json").write_text(
        '{"orchestrationapi": {"global": {"retries": 9}, "Server": {"Port": 1}}}'
    )
    (tmp_path / "appsettings.Development.json").write_text(
        '{"OrchestrationApi": {"Global": {"Retries": 7}}}'
    )

    def read(**env: str) -> Any:
        found = translated(APPSETTINGS, str(tmp_path / "appsettings.json"), env, tmp_path)
        return plain(found.tree)

    assert read()["defaults"]["retry"]["count"] == 9
    assert read()["server"]["port"] == 1
    assert read(OrchestrationApi__Server__Port="2")["server"]["port"] == 2
    assert read(DOTNET_ENVIRONMENT="Development")["defaults"]["retry"]["count"] == 7


def test_groups_and_keys_of_the_file_are_providers_models_and_keys() -> None:
    found = tree(GROUPS)

    assert found["providers"] == {
        "first": {
            "preset": "openai",
            "note": "the first",
            "enabled": True,
            "credentials": ["sk-1", "sk-2"],
            "key_strategy": "random",
            "timeouts": {"request": 20, "ttft": 20},
            "retry": {"count": 1},
            "param_defaults": {"temperature": 0.5, "metadata": {}},
        },
        "second": {
            "base_url": "http://10.0.0.3:1/v1",
            "allow_private": True,
            "credentials": ["sk-3"],
            "key_strategy": "least_used",
        },
    }
    # Two groups with a policy each do not say how to choose between them.
    assert found["models"] == {
        "gpt-4": {
            "deployments": [
                {"provider": "first", "model": "gpt-4", "priority": 2, "weight": 3},
                {"provider": "second", "model": "gpt-4", "priority": 1},
            ]
        },
        "gpt-3.5": {
            "strategy": "random",
            "deployments": [{"provider": "first", "model": "gpt-3.5", "priority": 2, "weight": 3}],
        },
    }
    assert found["keys"] == [{"name": "app", "key": "key-of-the-app", "rpm": 100, "enabled": False}]


def test_an_index_changes_one_group_or_adds_one() -> None:
    found = tree(
        GROUPS,
        OrchestrationApi__Groups__0__ApiKeys__1="sk-new",
        OrchestrationApi__Groups__2__GroupName="third",
        OrchestrationApi__Groups__2__Models__0="claude",
        OrchestrationApi__Groups__2__ProviderType="anthropic",
    )

    assert found["providers"]["first"]["credentials"] == ["sk-1", "sk-new"]
    assert found["providers"]["third"]["preset"] == "anthropic"
    assert found["models"]["claude"]["deployments"][0]["provider"] == "third"


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ('"sqlite"', '"mysql"', "OrchestrationApi.Database.Type"),
        ('"sqlite"', '"oracle"', "OrchestrationApi.Database.Type"),
        ("5055", '"many"', "OrchestrationApi.Server.Port"),
        ('"Timeout": 30', '"Timeout": 0', "OrchestrationApi.Global.Timeout"),
    ],
)
def test_what_would_mislead_is_an_error(before: str, after: str, path: str) -> None:
    assert path in wrong(translated(APPSETTINGS.replace(before, after)))


def test_mysql_of_a_variable_is_an_error_too() -> None:
    env = {"OrchestrationApi__Database__Type": "mysql"}

    (problem,) = translated(APPSETTINGS, env=env).problems

    assert (problem.file, problem.path) == ("environment", "OrchestrationApi__Database__Type")


def test_postgresql_without_an_address_is_an_error() -> None:
    env = {"OrchestrationApi__Database__Type": "postgresql"}

    (problem,) = translated('{"OrchestrationApi": {}}', env=env).problems

    assert "ConnectionString" in problem.message


def test_postgresql_is_taken() -> None:
    env = {
        "OrchestrationApi__Database__Type": "postgresql",
        "OrchestrationApi__Database__ConnectionString": "Host=db;Database=o;Username=u;Password=p",
    }

    assert tree(APPSETTINGS, **env)["store"]["url"] == "postgresql://u:p@db/o"


@pytest.mark.parametrize(
    ("group", "path"),
    [
        ('{"providerType": "openai"}', "OrchestrationApi.Groups[0].groupName"),
        ('{"groupName": "a", "providerType": "x"}', "OrchestrationApi.Groups[0].providerType"),
        ('{"groupName": "a", "providerType": "azure"}', "OrchestrationApi.Groups[0].baseUrl"),
    ],
)
def test_a_group_that_cannot_be_one_is_an_error(group: str, path: str) -> None:
    found = translated(f'{{"OrchestrationApi": {{"Groups": [{group}]}}}}')

    assert path in wrong(found)


def test_numbers_of_a_groups_parameters_are_numbers_in_variables_too() -> None:
    start = "OrchestrationApi__Groups__0__Parameters"
    env = {
        f"{start}__temperature": "0.7",
        f"{start}__max_tokens": "2000",
        f"{start}__logprobs": "true",
        f"{start}__user": "",
        f"{start}__metadata__team": "research",
        f"{start}__stop__0": "END",
    }
    found = translated(GROUPS, "appsettings.json", env)
    wanted = {
        "temperature": 0.7,
        "max_tokens": 2000,
        "logprobs": True,
        "user": "",
        "metadata": {"team": "research"},
        "stop": ["END"],
    }

    assert plain(found.tree)["providers"]["first"]["param_defaults"] == wanted
    # As a file of ours they are the same: no variable of this process, which would be text again.
    assert "max_tokens: 2000 " in found.yaml()


def test_two_groups_of_one_name_are_an_error() -> None:
    found = translated(GROUPS.replace('"second"', '"first"'))

    assert "OrchestrationApi.Groups[1].GroupName" in wrong(found)
    assert plain(found.tree)["providers"]["first"]["credentials"] == ["sk-1", "sk-2"]


def test_a_model_that_a_group_names_twice_is_served_once_and_as_the_group_says() -> None:
    found = tree(GROUPS.replace('"gpt-3.5"]', '"gpt-3.5", "gpt-3.5"]'))

    assert found["models"]["gpt-3.5"]["strategy"] == "random"
    assert len(found["models"]["gpt-3.5"]["deployments"]) == 1


def test_an_address_within_a_vendors_paths_is_the_vendors() -> None:
    group = {
        "groupName": "a",
        "providerType": "zhipu",
        "baseUrl": "https://api.z.ai/api/paas/v4",
    }
    found = tree(json.dumps({"OrchestrationApi": {"Groups": [group]}}))

    provider = found["providers"]["a"]
    assert (provider["preset"], provider["base_url"]) == ("zhipu", "https://api.z.ai")


def test_a_key_that_is_none_is_an_error() -> None:
    found = translated('{"OrchestrationApi": {"ProxyKeys": [{"rpm": 1, "colour": "red"}]}}')

    assert len(found.problems) == 2
    assert "OrchestrationApi.ProxyKeys[0].colour" in warned(found)


def test_no_limit_of_a_key_is_0_in_the_file_too() -> None:
    found = translated(GROUPS.replace('"rpm": 100', '"rpm": 0'))

    assert found.problems == ()
    assert plain(found.tree)["keys"] == [{"name": "app", "key": "key-of-the-app", "enabled": False}]


def test_its_log_is_ours() -> None:
    text = """{"OrchestrationApi": {}, "Serilog": {
      "MinimumLevel": {"Default": "Debug", "Override": {"Microsoft": "Warning"}},
      "WriteTo": [{"Name": "Console"}, {"Name": "File", "Args": {
        "path": "logs/orchestration-api-.log", "rollingInterval": "Day", "retainedFileCountLimit": 30}},
        {"Name": "Seq", "Args": {"serverUrl": "http://seq"}}],
      "Enrich": ["FromLogContext"]}}"""
    found = translated(text)

    assert plain(found.tree)["logging"] == {
        "level": "debug",
        "file": "logs/orchestration-api.log",
        "rotate": True,
        "keep": 30,
        "max_content": 1000,
    }
    assert {
        "Serilog.MinimumLevel.Override",
        "Serilog.WriteTo[2].Name",
        "Serilog.WriteTo[2].Args.serverUrl",
        "Serilog.Enrich",
    } <= warned(found).keys()


@pytest.mark.parametrize(
    ("section", "level"),
    [
        ('"Serilog": {"MinimumLevel": "Warning"}', "warning"),
        ('"Logging": {"LogLevel": {"Default": "Error", "Microsoft": "None"}}', "error"),
    ],
)
def test_its_level_is_ours(section: str, level: str) -> None:
    found = tree(f'{{"OrchestrationApi": {{}}, {section}}}')

    assert found["logging"]["level"] == level


def test_a_level_is_named_where_it_is_not_used_and_nowhere_else() -> None:
    levels = '"Logging": {"LogLevel": {"Default": "Error", "Microsoft": "None"}}'
    alone = translated(f'{{"OrchestrationApi": {{}}, {levels}}}')
    beside = translated(
        f'{{"OrchestrationApi": {{}}, "Serilog": {{"MinimumLevel": "Debug"}}, {levels}}}'
    )

    assert "Logging.LogLevel.Default" not in warned(alone)
    assert "Logging.LogLevel.Microsoft" in warned(alone)
    assert {"Logging.LogLevel.Default", "Logging.LogLevel.Microsoft"} <= warned(beside).keys()
    assert plain(beside.tree)["logging"]["level"] == "debug"


def test_it_is_recognised_by_its_section_or_by_its_name() -> None:
    assert recognised({"orchestrationAPI": {}}, "x.json")
    assert recognised({"Serilog": {}}, "config/appsettings.Production.json")
    assert not recognised({"models": {}}, "headrace.json")


def test_variables_alone_are_enough() -> None:
    text = "OrchestrationApi__Server__Port=5001\nOrchestrationApi__Auth__Password=a-long-password\n"

    assert plain(translated(text).tree)["server"]["port"] == 5001
