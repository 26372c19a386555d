from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from proxy.core import model
from proxy.core.config import Config, ConfigError, Loaded, load, parse, schema, usage
from proxy.core.config.problem import dotted, nearest, printable, suggestion
from proxy.core.config.values import processors
from proxy.core.model import Auth, Strategy
from proxy.core.secret import Secret

PROVIDER = 'providers: {p: {base_url: "https://api.example.com", credentials: [sk-upstream]}}\n'


def read(text: str, **env: str) -> Config:
    return parse(text, "h.yaml", env).config


def loads(text: str, **env: str) -> bool:
    """Whether there is nothing to complain of; else ConfigError says what."""
    return isinstance(read(text, **env), Config)


def problems(text: str, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "h.yaml", env)
    return [str(problem) for problem in caught.value.problems]


def only(text: str, **env: str) -> str:
    found = problems(text, **env)
    assert len(found) == 1, found
    return found[0]


def warnings(text: str, **env: str) -> list[str]:
    return [str(problem) for problem in parse(text, "h.yaml", env).warnings]


def provider(**block: Any) -> str:
    whole = {"base_url": "https://api.example.com", "credentials": ["sk-upstream"], **block}
    return yaml.safe_dump({"providers": {"p": whole}})


def about(lines: list[str], words: str) -> bool:
    return any(words in line for line in lines)


# --- the example of the design ---

DESIGN = """
server:   {host: 0.0.0.0, port: 8000, workers: 1, drain: 600, max_body: 32MiB}
admin:    {host: 127.0.0.1, port: 8001, token: "${HEADRACE_ADMIN_TOKEN:-}", username: admin, password: null}
store:    {url: "sqlite:///data/headrace.db"}
shared:   {url: null}
auth:     {require: auto, exempt: [/, /health, /docs]}
defaults:
  strategy: p2c
  timeouts: {connect: 5, ttft: 60, idle: 60, total: 3600, request: 600}
  retry:    {count: 2, base: 0.25, cap: 2, max_attempts: 6, retry_after_max: 3, budget: 0.2}
  param_defaults: {}
  param_overrides: {}
health:   {enabled: true, interval: 300, max_errors: 5, recover_after: 2, open_base: 1, open_max: 3600, mask_above: null}
logging:  {level: info, requests: true, detailed: false, max_content: 1000, file: null}
providers:
  openai: {preset: openai, credentials: ["${OPENAI_API_KEY}"]}
  lab:    {dialects: {openai.chat: /v1/chat/completions}, base_url: "http://127.0.0.1:9100", credentials: [x], allow_private: true}
models:
  gpt-4o:
    aliases: [gpt-4o-latest]
    strategy: p2c
    fallbacks: [claude-sonnet]
    hedge: {enabled: false}
    deployments:
      - {provider: openai, model: gpt-4o, priority: 1, weight: 10, quota: null}
  claude-sonnet: {deployments: [{provider: lab}]}
  "openai/*": {deployments: [{provider: openai, model: "*"}]}
keys:
  - {name: my-app, key: "${APP_KEY}", models: ["*"], rpm: null, tpm: null, concurrency: null, budget: null}
"""


def test_the_example_of_the_design_loads() -> None:
    loaded = parse(DESIGN, "h.yaml", {"OPENAI_API_KEY": "sk-1", "APP_KEY": "sk-application"})

    config = loaded.config
    assert loaded.warnings == ()
    assert config.server.max_body == 32 * 1024 * 1024
    assert config.admin.token is None
    assert config.auth.require is None
    assert config.models["gpt-4o"].strategy is Strategy.P2C
    assert config.keys[0].key.reveal() == "sk-application"


def test_an_empty_file_gives_every_default() -> None:
    config = read("")

    assert config.server == schema.Server()
    assert config.health == schema.Health()
    assert config.providers == {}
    assert config.models == {}


@pytest.mark.parametrize(
    ("section", "struct"),
    [
        (schema.Server, model.Server),
        (schema.Health, model.Health),
        (schema.Logging, model.Logging),
        (schema.Timeouts, model.Timeouts),
        (schema.Retry, model.Retry),
        (usage.Shared, model.Shared),
        (usage.Quota, model.Quota),
        (usage.Budget, model.Budget),
        (usage.Limits, model.Limits),
        (usage.Price, model.Price),
    ],
)
def test_a_section_has_the_fields_of_its_struct_and_no_others(section: Any, struct: Any) -> None:
    assert set(section.model_fields) == {field.name for field in fields(struct)}


# --- every problem at once ---

BROKEN = """\
server: {port: 80000, prot: 1}
admin: {host: 0.0.0.0}
store: {url: "mysql+asyncmy://u:hunter2@h/db"}
defaults: {strategy: Parete, timeouts: {conect: 1, ttft: abc}}
providers:
  openai: {preset: opnai}
  x: {base_url: "http://0x7f.1/v1", credentials: [5], dialects: [openai.cat]}
  y: {credentials: [a]}
models:
  a: {aliases: [b, a1], fallbacks: [b], deployments: [{provider: z}, {provider: x, weight: -1}]}
  b: {aliases: [a1], fallbacks: [a, qq]}
keys:
  - {name: a, key: "${NO_SUCH_KEY}"}
  - {name: a, key: sk-ABCDEFGHIJKLMN}
  - {name: c, key: sk-ABCDEFGHIJKLMN, expires: nope}
"""


def test_every_problem_is_listed_at_once_with_its_place() -> None:
    found = problems(BROKEN)

    assert [line.split(" ")[0] + " " + line.split(" ")[1].rstrip(":") for line in found] == [
        "h.yaml:1:16: server.port",
        "h.yaml:1:23: server.prot",
        "h.yaml:2:15: admin.host",
        "h.yaml:3:14: store.url",
        "h.yaml:4:22: defaults.strategy",
        "h.yaml:4:41: defaults.timeouts.conect",
        "h.yaml:4:58: defaults.timeouts.ttft",
        "h.yaml:6:20: providers.openai.preset",
        "h.yaml:7:17: providers.x.base_url",
        "h.yaml:7:51: providers.x.credentials[0]",
        "h.yaml:7:66: providers.x.dialects[0]",
        "h.yaml:8:3: providers.y",
        "h.yaml:10:17: models.a.aliases[0]",
        "h.yaml:10:66: models.a.deployments[0].provider",
        "h.yaml:10:92: models.a.deployments[1].weight",
        "h.yaml:11:17: models.b.aliases[0]",
        "h.yaml:11:34: models.b.fallbacks[0]",
        "h.yaml:11:37: models.b.fallbacks[1]",
        "h.yaml:13:20: keys[0].key",
        "h.yaml:14:12: keys[1].name",
        "h.yaml:15:20: keys[2].key",
        "h.yaml:15:48: keys[2].expires",
    ]


def test_every_problem_says_what_was_expected() -> None:
    assert all(": expected " in line for line in problems(BROKEN))


def test_syntax_errors_come_with_their_line() -> None:
    assert only("server:\n  port: [1\nadmin: {}\n").startswith("h.yaml:3:")


def test_the_top_has_to_be_a_mapping() -> None:
    assert "expected a mapping with sections" in only("- a\n- b\n")


def test_duplicates_are_found_beside_other_problems() -> None:
    found = problems("server: {port: 1, port: 2, prot: 3}\n")

    assert about(found, "server.port: expected a name that occurs once")
    assert about(found, "server.prot")


def test_a_file_that_is_not_there_or_not_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"server: {}\n\xff\n")

    for name, words in (
        ("none", "No such file"),
        ("binary", ":2:1: not UTF-8"),
        (".", "directory"),
    ):
        with pytest.raises(ConfigError, match=words):
            load(tmp_path / name, {})


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_bytes(b"\xef\xbb\xbfserver: {port: 1}\n")

    assert load(tmp_path / "h.yaml", {}).config.server.port == 1


# --- unknown names ---


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("sever: {}", "did you mean 'server'?"),
        ("server: {max-body: 1}", "did you mean 'max_body'?"),
        ("server: {zzz: 1}", "known here: name, host, port"),
        ("server: {zzz: null}", "known here: name, host, port"),
        ("database: {}", "did you mean 'store'?"),
        ("providers: {p: {preset: openai, api_key: x}}", "did you mean 'credentials'?"),
        ("providers: {p: {preset: openai, endpoint: x}}", "did you mean 'base_url'?"),
        ("models: {m: {targets: []}}", "did you mean 'deployments'?"),
        ("providers: {p: {preset: openai, timeouts: {tfft: 1}}}", "did you mean 'ttft'?"),
        ("keys: [{name: a, key: sk-12345678, model: []}]", "did you mean 'models'?"),
    ],
)
def test_an_unknown_field_comes_with_the_nearest_known_one(text: str, advice: str) -> None:
    line = only(text)

    assert "expected a known field" in line
    assert advice in line


def test_fields_for_anchors_are_allowed_at_the_top() -> None:
    text = "x-common: &c {ttft: 7}\ndefaults: {timeouts: *c}\n"

    assert read(text).defaults.timeouts.ttft == 7


FIELDS = sorted(schema.Provider.model_fields)


@given(st.sampled_from(FIELDS), st.data())
def test_a_field_with_one_slip_is_recognised(field: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(field) - 1))
    slip = data.draw(
        st.sampled_from(
            [
                field[:at] + field[at + 1 :],
                field[:at] + "x" + field[at:],
                field.upper(),
                field.replace("_", "-"),
            ]
        )
    )

    if len(field) > 4:
        assert nearest(slip, FIELDS) == field


@given(st.text(max_size=200), st.lists(st.text(max_size=20), max_size=5))
def test_a_suggestion_is_one_of_the_known_names(word: str, known: list[str]) -> None:
    match = nearest(word, known)

    assert match is None or match in known
    assert suggestion(word, known)


@given(st.text())
def test_what_is_printed_is_one_short_line(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) <= 60
    assert dotted(("models", text, 0)).isprintable()


# --- kinds of values ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server: {port: many}", "expected a whole number, found 'many'"),
        ("server: {port: 1.5}", "expected a whole number, found 1.5"),
        ("server: {port: -1}", "expected a number of at least 0, found -1"),
        ("server: {metrics: maybe}", "expected true or false, found 'maybe'"),
        ("server: {host: 5}", "expected text, found 5; put it in quotes"),
        ("server: {host: ''}", "expected text that is not empty, found an empty value"),
        ("server: {max_body: 32 potatoes}", "expected a size, found '32 potatoes'"),
        ("server: {workers: several}", "expected a number of workers from 1 to 1024, or auto"),
        ("server: 8000", "expected a mapping, found 8000; write name: value"),
        ("providers: [a]", "expected a mapping, found a list"),
        ("keys: {name: a}", "expected a list, found a mapping; write [a, b]"),
        ("logging: {level: verbose}", "expected one of debug, info, warning, error"),
        ("logging: {format: jsn}", "did you mean 'json'?"),
        ("defaults: {timeouts: {ttft: 0}}", "expected a duration above 0, found 0"),
        ("defaults: {retry: {count: 99}}", "expected a number of at most 20, found 99"),
        ("defaults: {retry: {budget: .inf}}", "expected a number, found '.inf'"),
        ("health: {max_errors: [1]}", "expected a whole number, found a list"),
        ("auth: {require: perhaps}", "expected true or false, found 'perhaps'"),
        ("auth: {exempt: [docs]}", "expected a path that begins with '/', found 'docs'"),
        ("models: {m: {deployments: [x]}}", "expected a mapping, found 'x'"),
        ("models: {m: {deployments: [{}]}}", "expected the field 'provider', found none; add it"),
        ("models: {m: {aliases: a}}", "expected a list, found 'a'"),
        ("hooks: [{name: my hook}]", "expected a name of at most 64 letters, digits, '.', '-'"),
        (
            "tracing: {endpoint: 'http://u:p@h:4318'}",
            "expected a URL such as http://127.0.0.1:4318, found text that may not be shown; "
            "what a collector wants to see goes into headers",
        ),
        (
            provider(proxy="http://h.example:1/x"),
            "expected a URL such as http://proxy.example:3128",
        ),
        (provider(fields={"openai.chat": {"clamp": {"t": [1]}}}), "clamp.t: expected two numbers"),
        (provider(fields={"openai.chat": {"clamp": {"t": 1}}}), "clamp.t: expected two numbers"),
        (
            provider(fields={"openai.chat": {"clamp": {"t": [1, 2, 3]}}}),
            "clamp.t: expected two numbers, found a list; write [least, most]",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_explained(text: str, message: str) -> None:
    assert message in only(text)


def test_switches_take_the_words_people_use() -> None:
    for word, expected in (
        ("yes", True),
        ("on", True),
        ("no", False),
        ("off", False),
        ("'true'", True),
    ):
        assert read(f"server: {{metrics: {word}}}").server.metrics is expected


def test_null_is_as_good_as_leaving_it_out() -> None:
    config = read(
        "server: null\nproviders:\nkeys: ~\nauth: {require: null}\nlogging: {level: null}\n"
    )

    assert config.server == schema.Server()
    assert config.keys == []
    assert config.logging.level == "info"


def test_values_are_converted_from_text_because_variables_are_text() -> None:
    config = read(
        "server:\n  port: ${PORT}\n  metrics: ${M}\n  drain: ${D:-2m}\n"
        "  max_body: ${B:-1KiB}\n  workers: ${W:-auto}\n",
        PORT="9000",
        M="false",
    )

    server = config.server
    assert (server.port, server.metrics, server.drain, server.max_body) == (9000, False, 120, 1024)
    assert server.workers == processors()


def test_an_unquoted_reference_in_parameters_is_a_number_and_a_quoted_one_text() -> None:
    text = "defaults:\n  param_defaults:\n    temperature: ${T:-0.5}\n    stop: '${T:-0.5}'\n    n: ${N}\n"

    assert read(text, N="3").defaults.param_defaults == {"temperature": 0.5, "stop": "0.5", "n": 3}


def test_strategies_are_read_in_the_spellings_of_other_programs() -> None:
    assert read("defaults: {strategy: Round Robin}").defaults.strategy is Strategy.ROUND_ROBIN
    assert "p2c, round_robin" in only("defaults: {strategy: quickest}")


# --- references and secrets ---


def test_an_unset_variable_is_named_with_line_and_path() -> None:
    line = only("server:\n  host: ${HOST_NAME}\n")

    assert line.startswith("h.yaml:2:9: server.host: ")
    assert "HOST_NAME" in line


def test_what_follows_from_an_unset_variable_is_not_reported() -> None:
    assert "NOPE" in only('providers: {p: {base_url: "${NOPE}", credentials: [x]}}')
    assert "NOPE" in only('server: {port: "${NOPE}"}')


def test_files_are_read_from_where_the_configuration_is(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file-0123456789\n")
    (tmp_path / "h.yaml").write_text("admin: {token: 'file:token'}\n")

    token = load(tmp_path / "h.yaml", {}).config.admin.token

    assert token is not None
    assert token.reveal() == "from-a-file-0123456789"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://tools.example/mcp?a=b#c", "a URL without '?'"),
        ("https://tools.example/mcp?a=b c", "a URL without '?'"),
        ("https://tools.example/mcp#c", "a URL without '#'"),
        ("https://u:p@tools.example/mcp?a=b", "a URL without user and password"),
        ("http://10.0.0.1/mcp?a=b", "a public address"),
        ("ftp://tools.example/mcp?a=b", "a URL that begins with https://"),
    ],
)
def test_the_address_of_a_server_of_tools_is_looked_at_without_its_query(
    url: str, message: str
) -> None:
    assert loads('mcp: {s: {url: "https://tools.example/mcp?profile=a%20b&key=c"}}')
    assert message in only(f'mcp: {{s: {{url: "{url}"}}}}')


@pytest.mark.parametrize("credential", ["8675309", "[8675309]", "{key: 8675309}"])
def test_the_credential_of_a_server_of_tools_is_not_repeated(credential: str) -> None:
    text = f'mcp: {{s: {{url: "https://tools.example/mcp", credential: {credential}}}}}'

    assert "8675309" not in only(text)


def test_the_credential_of_a_server_of_tools_is_hidden_whatever_its_variable_is_called() -> None:
    text = 'mcp: {s: {url: "https://tools.example/mcp", credential: "${TOOLS}"}}'

    assert Secret("from-outside") in parse(text, "h.yaml", {"TOOLS": "from-outside"}).hidden


def test_a_missing_secret_file_is_an_error_even_for_a_credential() -> None:
    assert "/nowhere/x" in only(provider(credentials=["file:/nowhere/x"]))


SECRET = "sk-THIS-MUST-NOT-BE-SEEN-0123456789"

WRONG_PLACES = [
    "server: {port: '%s'}",
    "server: {'%s': 1}",
    "'%s': {}",
    "server: '%s'",
    "keys: '%s'",
    "keys: ['%s']",
    "keys: [{name: a, key: {'%s': 1}}]",
    "keys: [{name: a, key: '%s'}, {name: b, key: '%s'}]",
    "keys: [{name: '%s', key: ''}]",
    "keys: [{name: a, key: '%s x'}]",
    "providers: {p: {base_url: '%s'}}",
    "providers: {p: {base_url: 'https://%s@h.example/'}}",
    "providers: {p: {base_url: 'https://h.example/?key=%s'}}",
    "providers: {p: {preset: '%s'}}",
    "providers: {p: {preset: openai, credentials: {key: '%s'}}}",
    "providers: {p: {preset: openai, credentials: [{key: '%s', weight: x}]}}",
    "providers: {p: {preset: openai, credentials: [['%s']]}}",
    "providers: {p: {preset: openai, credentials: ['%s and more']}}",
    "providers: {p: {preset: openai, auth: '%s'}}",
    'providers: {p: {preset: openai, headers: {x: ["%s"]}}}',
    'providers: {p: {preset: openai, headers: {x: "a\\n%s"}}}',
    "providers: {p: {preset: openai, proxy: 'socks://%s'}}",
    "providers: {p: {preset: openai, timeouts: {ttft: '%s'}}}",
    "store: {url: '%s'}",
    "store: {url: 'mysql://u:%s@h/db'}",
    "admin: {token: ['%s']}",
    "admin: {password: *%s }",
    "admin: {password: !%s }",
    "admin: {host: '0.0.0.0', token: '', port: '%s'}",
    "logging: {level: '%s'}",
    "defaults: {strategy: '%s'}",
    "models: {m: {fallbacks: ['%s']}}",
    "models: {m: {aliases: ['%s*']}}",
    "models: {m: {deployments: [{provider: '%s'}]}}",
]


@pytest.mark.parametrize("text", WRONG_PLACES)
def test_no_error_repeats_a_secret_written_or_referred_to(text: str) -> None:
    for secret in (SECRET, "${MY_API_KEY}"):
        written = "\n".join(problems(text.replace("%s", secret), MY_API_KEY=SECRET))
        assert "MUST-NOT" not in written


def test_nothing_that_was_loaded_shows_a_secret() -> None:
    text = (
        "admin: {token: '%s'}\nkeys: [{name: a, key: '%s'}]\n"
        "providers: {p: {preset: openai, credentials: ['%s']}}\n"
    ).replace("%s", SECRET)

    assert "MUST-NOT" not in repr(parse(text, "h.yaml", {}))


# --- providers ---


def test_a_provider_without_dialects_speaks_all_of_openai() -> None:
    config = read(PROVIDER)

    assert set(config.providers["p"].dialects) == {
        "openai.chat",
        "openai.completions",
        "openai.responses",
        "openai.embeddings",
        "openai.images",
        "openai.audio",
        "openai.moderations",
        "openai.rerank",
    }
    assert config.providers["p"].place("openai") == Auth("bearer")


def test_dialects_are_a_list_or_a_mapping() -> None:
    listed = read(provider(dialects=["openai.chat", "anthropic.messages"])).providers["p"]
    mapped = read(provider(dialects={"openai.chat": "/x/{model}/chat", "gemini.generate": None}))

    assert listed.dialects == {
        "openai.chat": "/v1/chat/completions",
        "anthropic.messages": "/v1/messages",
    }
    assert mapped.providers["p"].dialects == {
        "openai.chat": "/x/{model}/chat",
        "gemini.generate": "/v1beta/models",
    }


@pytest.mark.parametrize(
    ("dialects", "message"),
    [
        (["openai.chta"], "did you mean 'openai.chat'?"),
        ({"anthropic": "/v1/messages"}, "did you mean 'anthropic.messages'?"),
        ({"openai.chat": "v1/chat"}, "expected a path such as"),
        ({"openai.chat": "/v1/chat?x=1"}, "expected a path such as"),
        ({"openai.chat": "/v1/../admin"}, "expected a path such as"),
        ({"openai.chat": "/v1/{name}"}, "expected a path such as"),
        ({"openai.chat": "//evil.example/v1"}, "expected a path such as"),
        ({"openai.chat": "/v1/{a|}"}, "expected a path such as"),
        ({"openai.chat": "/v1/{a|b|c}"}, "expected a path such as"),
        ([], "expected at least one dialect"),
        ("openai.chat", "expected a list of dialects"),
        (5, "expected a list of dialects"),
    ],
)
@pytest.mark.parametrize("auth", ["bearer", {"openai": "google"}])
def test_wrong_dialects_are_explained(dialects: Any, message: str, auth: Any) -> None:
    assert message in only(provider(dialects=dialects, auth=auth))


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"auth": "google"}, True),
        ({"auth": {"openai": "google"}}, True),
        ({"auth": {"gemini": "google"}}, False),
        ({"auth": {"openai": "google"}, "dialects": ["openai.chat", "gemini.generate"]}, False),
        ({"auth": "entra"}, False),
        ({}, False),
    ],
)
def test_a_document_is_a_credential_only_where_it_is_never_presented(
    fields: dict[str, Any], fits: bool
) -> None:
    text = provider(credentials=['{"type": "service_account",\n "private_key": "a b"}'], **fields)

    if fits:
        assert read(text).providers["p"].credentials[0].key.reveal().startswith("{")
    else:
        assert "visible ASCII" in only(text)


def test_a_path_may_have_two_variants() -> None:
    root = "/{model}:{rawPredict|streamRawPredict}"
    found = read(provider(dialects={"anthropic.messages": root})).providers["p"]

    assert found.dialects == {"anthropic.messages": root}


def test_fields_say_what_a_provider_takes_otherwise() -> None:
    chat = {"rename": {"a": "b"}, "drop": "c", "clamp": {"d": [0, 1]}, "set": {"e": [1]}}
    found = read(provider(fields={"openai.chat": chat})).providers["p"].fields["openai.chat"]

    assert (found.rename, found.drop, found.clamp, found.set) == (
        {"a": "b"},
        ["c"],
        {"d": (0.0, 1.0)},
        {"e": [1]},
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"openai.chta": {}}, "did you mean 'openai.chat'?"),
        ({"openai.chat": {"renam": {}}}, "did you mean 'rename'?"),
        ({"openai.chat": {"clamp": {"d": [1, 0]}}}, "swap them"),
        ({"openai.chat": {"clamp": {"d": [1]}}}, "clamp"),
        ({"openai.chat": {"clamp": {"d": "high"}}}, "clamp"),
    ],
)
def test_wrong_fields_are_explained(fields: Any, message: str) -> None:
    assert message in "\n".join(map(str, problems(provider(fields=fields))))


def test_the_place_of_the_credential_is_one_for_all_or_one_a_family() -> None:
    one = read(provider(auth="header:api-key")).providers["p"]
    each = read(provider(auth={"anthropic": "bearer"})).providers["p"]

    assert one.place("openai") == one.place("gemini") == Auth("header", "api-key")
    assert each.place("anthropic") == Auth("bearer")
    assert each.place("gemini") == Auth("header", "x-goog-api-key")


def test_wrong_places_of_the_credential_are_explained() -> None:
    assert "write one of: bearer, none" in only(provider(auth="sigv4"))
    assert "did you mean 'anthropic'?" in only(provider(auth={"antropic": "bearer"}))
    each = "providers:\n  p:\n    preset: openai\n    auth:\n      openai: bearer\n      gemini: baerer\n"
    assert only(each).startswith(
        "h.yaml:6:15: providers.p.auth.gemini: expected a place for the credential, found 'baerer'; "
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "x"},
        {"content-length": "1"},
        {"Connection": "x"},
        {"a b": "x"},
        {"x": "a\nb"},
        {"": "x"},
    ],
)
def test_headers_that_would_break_the_connection_are_refused(headers: dict[str, str]) -> None:
    assert problems(provider(headers=headers))


def test_one_header_has_one_spelling() -> None:
    said = "x-a: expected a header that is named once, found 'x-a', which is "
    mcp = "mcp: {m: {url: 'https://a.example.com/', headers: {X-A: '1', x-a: '2'}}}"
    tracing = "tracing: {headers: {X-A: '1', x-a: '2'}}"
    talk = {
        "create": {"path": "/a", "id_path": "id", "headers": {"X-A": "1", "x-a": "2"}},
        "path": "/b/{conversation_id}",
        "body": {"text": "{prompt}"},
        "text_path": "text",
    }

    one = only(provider(headers={"X-A": "1", "x-a": "2"}))
    assert f"{said}providers.p.headers.X-A too; remove one" in one
    assert f"{said}mcp.m.headers.X-A too" in only(mcp)
    assert f"{said}tracing.headers.X-A too" in only(tracing)
    assert f"{said}providers.p.conversation.create.headers.X-A too" in only(
        provider(conversation=talk)
    )
    assert loads(provider(headers={"X-A": "1", "x-b": "2"}))


def test_credentials_are_text_or_mappings_and_several_make_a_pool() -> None:
    config = read(provider(credentials=["a", {"key": "b", "weight": 3}, " c\n"]))

    assert [(item.key.reveal(), item.weight) for item in config.providers["p"].credentials] == [
        ("a", 1),
        ("b", 3),
        ("c", 1),
    ]


def test_a_credential_whose_variable_is_not_set_is_left_out() -> None:
    text = provider(credentials=["${A}", "${B}", "x-${C}", "${D:-}"])

    config = read(text, B="second")

    assert [item.key.reveal() for item in config.providers["p"].credentials] == [
        "",
        "second",
        "",
        "",
    ]
    assert config.providers["p"].usable


def test_a_credential_that_is_no_list_is_left_out_too() -> None:
    text = provider(credentials="${A}")

    assert about(warnings(text), "providers.p: no credential (A not set)")
    assert read(text, A="first").providers["p"].usable


def test_an_unset_variable_of_anything_but_its_key_is_named() -> None:
    line = only(provider(credentials=[{"key": "a", "weight": "${W}"}]))

    assert "credentials[0].weight: expected the environment variable W to be set" in line


def test_a_provider_left_without_credentials_is_a_warning_that_names_the_variables() -> None:
    found = warnings(provider(credentials=["${A_KEY}", {"key": "${B_KEY}"}]))

    assert about(found, "providers.p: no credential (A_KEY, B_KEY not set)")


def test_a_provider_that_needs_no_credential_is_used_without_one() -> None:
    text = provider(credentials=[], auth="none")

    assert read(text).providers["p"].usable
    assert not about(warnings(text), "no credential")
    assert not read(provider(credentials=[])).providers["p"].usable


def test_the_first_variable_of_a_preset_that_is_set_is_its_credential() -> None:
    text = "providers: {g: {preset: gemini}}"

    config = read(text, GOOGLE_API_KEY="from-google")

    assert [item.key.reveal() for item in config.providers["g"].credentials] == ["from-google"]
    assert about(warnings(text), "(GEMINI_API_KEY, GOOGLE_API_KEY not set)")


def test_credentials_of_the_file_win_over_the_variable_of_the_preset() -> None:
    config = read("providers: {o: {preset: openai, credentials: [mine]}}", OPENAI_API_KEY="theirs")

    assert [item.key.reveal() for item in config.providers["o"].credentials] == ["mine"]


def test_a_block_goes_over_its_preset_and_mappings_are_merged() -> None:
    config = read(
        "providers: {a: {preset: openrouter, base_url: 'https://eu.example/v1', auth: {openai: 'header:x'},"
        " headers: {x-title: me}, dialects: [openai.chat, anthropic.messages], credentials: [k]}}"
    )

    block = config.providers["a"]
    assert block.base_url == "https://eu.example/v1"
    assert block.place("openai") == Auth("header", "x")
    assert block.place("anthropic") == Auth("bearer")
    assert set(block.dialects) == {"openai.chat", "anthropic.messages"}


def test_a_placeholder_in_a_base_url_has_to_be_replaced() -> None:
    assert "expected your own address" in only(
        "providers: {a: {preset: azure-openai, credentials: [k]}}"
    )
    assert loads(
        "providers: {a: {preset: azure-openai, base_url: 'https://mine.openai.azure.com/openai', credentials: [k]}}"
    )


def test_addresses_are_checked_with_what_the_provider_allows() -> None:
    private = {"base_url": "http://10.0.0.7:9000"}

    assert "set allow_private: true" in only(provider(**private))
    assert loads(provider(**private, allow_private=True))
    assert loads(provider(**private, allow_private="yes"))
    assert "allow_http: true" in only(provider(base_url="http://api.example.com"))
    assert loads(provider(base_url="http://api.example.com", allow_http=True))
    assert "never allowed" in only(provider(base_url="http://169.254.169.254", allow_private=True))


def test_certificates_that_are_not_checked_are_a_warning() -> None:
    assert about(warnings(provider(verify_tls=False)), "providers.p.verify_tls")


# --- models ---


def models(block: str) -> str:
    return PROVIDER + "models:\n" + "".join(f"  {line}\n" for line in block.splitlines())


def test_an_unknown_provider_comes_with_the_nearest_or_with_a_preset_to_add() -> None:
    assert "configured providers: p" in only(models("m: {deployments: [{provider: zzz}]}"))
    assert "{preset: groq}" in only(models("m: {deployments: [{provider: groq}]}"))


def test_an_alias_that_clashes_names_both_lines() -> None:
    text = models("one: {aliases: [two, x]}\ntwo: {aliases: [x]}")

    first, second = problems(text)

    assert first.startswith("h.yaml:3:19: models.one.aliases[0]")
    assert "the name of the model on line 4" in first
    assert second.startswith("h.yaml:4:19: models.two.aliases[0]")
    assert "an alias of 'one' on line 3" in second


@pytest.mark.parametrize(
    "block",
    [
        "'a*b': {}",
        "'*a': {}",
        "m: {aliases: ['m*']}",
        "'m*': {aliases: [m]}",
        "m: {deployments: [{provider: p, model: 'x*'}]}",
        "'m*': {deployments: [{provider: p, model: '*x*'}]}",
        "' m': {}",
        '"a\\nb": {}',
    ],
)
def test_a_star_stands_at_the_end_and_names_are_plain(block: str) -> None:
    assert only(models(block))


@pytest.mark.parametrize(
    "block",
    [
        "'openai/*': {deployments: [{provider: p, model: '*'}]}",
        "'*': {deployments: [{provider: p}]}",
        "'sim*': {aliases: ['fake*'], deployments: [{provider: p, model: 'pre/*'}]}",
        "'all*': {deployments: [{provider: p, model: one}]}",
        "'gpt 4 turbo/x': {deployments: [{provider: p}]}",
    ],
)
def test_wildcards_and_odd_names_are_fine(block: str) -> None:
    assert read(models(block)).models


def test_a_fallback_has_to_be_a_model_an_alias_or_covered_by_a_wildcard() -> None:
    text = models(
        "a: {fallbacks: [c1, x/y], deployments: [{provider: p}]}\n"
        "c: {aliases: [c1], deployments: [{provider: p}]}\n"
        "'x/*': {deployments: [{provider: p}]}"
    )

    assert loads(text)
    assert "did you mean 'c'?" in only(text.replace("[c1, x/y]", "[cc]"))
    assert "expected a configured model" in only(text.replace("x/y", "'x/*'"))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ("[c, b1]", ""),
        ("[cc]", "a: expected a configured model, found 'cc'; did you mean 'c'?"),
        ("[x/y]", "a model that is no wildcard, found 'x/y'; add a model of this name"),
        ("[d]", "a model that lists no others, found 'd'; list theirs in its place"),
        ("[a]", "a model that lists no others, found 'a'; list theirs in its place"),
    ],
)
def test_a_model_may_use_the_deployments_of_others_that_have_some(members: str, said: str) -> None:
    text = models(
        f"a: {{models: {members}}}\nb: {{aliases: [b1], deployments: [{{provider: p}}]}}\n"
        "c: {deployments: [{provider: p}]}\nd: {models: [c]}\n"
        "'x/*': {deployments: [{provider: p}]}"
    )

    if said:
        assert said.removeprefix("a: ") in only(text)
    else:
        assert loads(text)


@pytest.mark.parametrize(
    ("block", "chain"),
    [
        ("a: {fallbacks: [a]}", "a -> a"),
        ("a: {fallbacks: [b]}\nb: {fallbacks: [c]}\nc: {fallbacks: [a]}", "a -> b -> c -> a"),
        ("a: {fallbacks: [b]}\nb: {fallbacks_context: [a]}", "a -> b -> a"),
        ("a: {fallbacks: [b1]}\nb: {aliases: [b1], fallbacks_content: [a]}", "a -> b -> a"),
        ("a: {fallbacks: [x/1]}\n'x/*': {fallbacks: [a]}", "a -> x/* -> a"),
        ("s: {fallbacks: [a]}\na: {fallbacks: [b]}\nb: {fallbacks: [a]}", "a -> b -> a"),
    ],
)
def test_a_cycle_of_fallbacks_is_shown_as_a_chain(block: str, chain: str) -> None:
    assert f"a cycle: {chain};" in only(models(block))


def test_a_long_chain_of_fallbacks_is_no_cycle_and_no_deep_stack() -> None:
    block = "\n".join(f"m{n}: {{fallbacks: [m{n + 1}]}}" for n in range(3000)) + "\nm3000: {}"

    assert loads(models(block))


def test_two_ways_to_the_same_fallback_are_no_cycle() -> None:
    block = "a: {fallbacks: [b, c]}\nb: {fallbacks: [d]}\nc: {fallbacks: [d]}\nd: {}"

    assert loads(models(block))


def test_preferred_and_priority_exclude_each_other() -> None:
    assert "preferred is priority 0" in only(
        models("m: {deployments: [{provider: p, preferred: true, priority: 2}]}")
    )


@pytest.mark.parametrize("off", ["false", "no"])
def test_a_deployment_gives_streams_or_whole_answers_or_both(off: str) -> None:
    assert loads(models(f"m: {{deployments: [{{provider: p, stream: {off}}}]}}"))
    assert loads(models(f"m: {{deployments: [{{provider: p, non_stream: {off}}}]}}"))
    assert "non_stream: expected stream or non_stream, found false for both" in only(
        models(f"m: {{deployments: [{{provider: p, stream: {off}, non_stream: {off}}}]}}")
    )


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many"])
def test_a_limit_of_tokens_is_a_whole_number_above_0(value: str) -> None:
    for text in (
        f"defaults: {{max_tokens: {value}}}",
        models(f"m: {{max_tokens: {value}, deployments: [{{provider: p}}]}}"),
        models(f"m: {{deployments: [{{provider: p, max_tokens: {value}}}]}}"),
    ):
        assert "max_tokens: expected a" in only(text)


def test_dialects_to_prefer_are_one_or_several_that_the_provider_speaks() -> None:
    both = provider(dialects=["openai.chat", "openai.responses"], prefer="openai.responses")

    assert read(both).providers["p"].prefer == ["openai.responses"]
    assert about(
        warnings(provider(prefer=["anthropic.messages"])),
        "providers.p.prefer[0]: the provider does not speak anthropic.messages; remove it",
    )
    assert about(
        warnings(models("m: {deployments: [{provider: p, prefer: [gemini.generate]}]}")),
        "models.m.deployments[0].prefer[0]: the provider does not speak gemini.generate",
    )
    assert "did you mean 'openai.chat'?" in only(provider(prefer=["openai.chap"]))
    assert "did you mean 'openai.chat'?" in only(
        models("m: {deployments: [{provider: p, prefer: openai.chap}]}")
    )


def test_a_model_that_is_not_served_is_a_warning() -> None:
    found = warnings(
        models(
            "none: {}\noff: {deployments: [{provider: p, enabled: false}]}\n"
            "drained: {deployments: [{provider: p, weight: 0}]}\nok: {deployments: [{provider: p}]}"
        )
    )

    assert [
        name for name in ("none", "off", "drained", "ok") if about(found, f"models.{name}: no dep")
    ] == [
        "none",
        "off",
        "drained",
    ]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("a: {models: [o]}\no: {deployments: [{provider: p, weight: 0}]}", "it is not served"),
        ("a: {models: [o1]}\no: {aliases: [o1], deployments: [{provider: p}]}", ""),
        (
            "a: {models: [o]}\no: {fallbacks: [b]}\nb: {deployments: [{provider: p}]}",
            "it is not served",
        ),
        ("a: {fallbacks: [o]}\no: {}", "it is not served"),
        ("a: {fallbacks: [o]}\no: {fallbacks: [b]}\nb: {}", "it is not served"),
        (
            "a: {fallbacks: [o]}\no: {fallbacks: [b]}\nb: {deployments: [{provider: p}]}",
            "only its fallbacks serve it",
        ),
        (
            "a: {fallbacks: [x/y]}\n'x/*': {}\n'*': {deployments: [{provider: p}]}",
            "only its fallbacks serve it",
        ),
    ],
)
def test_what_leads_to_nobody_is_not_served(block: str, said: str) -> None:
    found = [line for line in warnings(models(block)) if ": models.a: " in line]

    assert [line.rpartition("no deployment is left: ")[2] for line in found] == [said] * bool(said)


def test_the_name_of_the_model_among_the_parameters_is_a_warning() -> None:
    text = models(
        "m: {param_overrides: {model: x}, deployments: [{provider: p, param_defaults: {stream: true}}]}"
    )

    found = warnings(text)

    assert about(found, "models.m.param_overrides.model: never taken from here")
    assert about(found, "models.m.deployments[0].param_defaults.stream")


# --- keys, access, stores ---


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", " a", "a\u200b"])
def test_names_of_all_kinds_are_plain(name: str) -> None:
    model = {"deployments": [{"provider": "p"}], "aliases": [name]}
    key = {"name": name, "key": "sk-application", "owner": name, "team": name}
    text = yaml.safe_dump({"models": {"m": model}, "keys": [key]})

    found = problems(PROVIDER + text)

    said = "expected a name without spaces around it and control characters"
    assert all(line.endswith(said) for line in found)
    for place in ("models.m.aliases[0]", "keys[0].name", "keys[0].owner", "keys[0].team"):
        assert about(found, f"{place}: ")


def test_keys_have_names_and_values_of_their_own() -> None:
    first, second = problems(
        "keys:\n  - {name: a, key: sk-11111111}\n  - {name: a, key: sk-22222222}\n  - {name: c, key: sk-11111111}\n"
    )

    assert "keys[1].name" in first
    assert "keys[0] on line 2" in first
    assert "keys[2].key" in second


@pytest.mark.parametrize(
    "key", ["''", "'  '", "'a b c d e'", "schlüssel-12345", '"a\\tb-12345678"']
)
def test_a_key_is_visible_ascii_and_not_empty(key: str) -> None:
    assert "keys[0].key" in only(f"keys: [{{name: a, key: {key}}}]")


def test_a_key_that_looks_like_a_number_has_to_be_quoted() -> None:
    assert "put it in quotes" in only("keys: [{name: a, key: 123456789}]")
    assert loads("keys: [{name: a, key: '123456789'}]")
    assert loads('keys: [{name: a, key: "${K}"}]', K="123456789")


def test_patterns_of_a_key_end_in_a_star() -> None:
    assert "keys[0].models[0]" in only("keys: [{name: a, key: sk-12345678, models: ['a*b']}]")


KEY = "keys: [{name: k, key: sk-application, %s}]"


def test_what_a_key_may_do() -> None:
    (key,) = read(
        KEY % "routes: chat, cidrs: [10.1.2.3/8, '::1'], owner: o, team: t, rpm: 1, tpm: 2, "
        "concurrency: 3, budget: {usd: 1.5, period: DAY}, metadata: {a: b}"
    ).keys

    assert key.routes == ["chat"]
    assert [str(network) for network in key.cidrs] == ["10.0.0.0/8", "::1/128"]
    assert (key.owner, key.team, key.metadata) == ("o", "t", {"a": "b"})
    assert (key.rpm, key.tpm, key.concurrency) == (1, 2, 3)
    assert key.budget == usage.Budget(usd=1.5, period="day")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cidrs: [10.0.0.0/99]", "cidrs[0]: expected a network, found '10.0.0.0/99'"),
        ("routes: [chta]", "found 'chta'; did you mean 'chat'?"),
        ("routes: ['/v1/*/x']", "routes[0]: expected a route"),
        ("routes: ['zz*']", "routes[0]: expected a route"),
        ("rpm: 0", "rpm: expected a number of at least 1"),
        ("rpm: true", "rpm: expected a whole number, found true"),
        ("budget: {usd: true}", "budget.usd: expected a number, found true"),
        ("budget: {usd: 0}", "budget.usd: expected a number above 0"),
        ("budget: {usd: 1, period: year}", "budget.period: expected one of day, week, month, total"),
    ],
)  # fmt: skip
def test_what_a_key_may_not_say(text: str, words: str) -> None:
    assert words in only(KEY % text)


def test_limits_are_nothing_to_warn_of() -> None:
    text = KEY % "rpm: 1, tpm: 2, concurrency: 3, budget: {usd: 1}"

    assert [line for line in warnings(text) if "keys[0]" in line] == [
        line for line in warnings(KEY % "") if "keys[0]" in line
    ]


def test_a_model_says_what_it_is_for() -> None:
    text = PROVIDER + "models: {m: {type: Embedding, description: x, deployments: [{provider: p}]}}"

    assert read(text).models["m"].type == "embedding"
    assert "models.m.type: expected one of chat, " in only(text.replace("Embedding", "embeding"))


def test_weak_expired_and_aimless_keys_are_warnings() -> None:
    text = models("gpt-4o: {aliases: [best], deployments: [{provider: p}]}\n'x/*': {}") + (
        "keys:\n  - {name: a, key: short, expires: 2001-01-01, models: [gpt-40, best, x/7, 'gpt*', 'no/*']}\n"
    )

    found = warnings(text)

    assert about(found, "keys[0].key: shorter than 8")
    assert about(found, "keys[0].expires")
    assert about(found, "keys[0].models[0]: no model is called 'gpt-40'; did you mean 'gpt-4o'?")
    assert about(found, "keys[0].models[4]")
    assert not any(about(found, f"keys[0].models[{index}]") for index in (1, 2, 3))


def test_who_may_use_the_api_is_said_when_it_may_surprise() -> None:
    keys = "keys: [{name: a, key: sk-12345678}]\n"

    assert about(warnings("auth: {require: true}"), "every request is refused")
    assert about(warnings("auth: {require: false}\n" + keys), "requests without one are served")
    assert about(warnings(""), "everybody who reaches this port is served")
    assert not about(warnings("server: {host: 127.0.0.1}"), "everybody")
    assert not about(warnings(keys), "everybody")
    assert not about(warnings("auth: {require: false}"), "everybody")


@pytest.mark.parametrize(
    "text",
    [
        "admin: {host: 0.0.0.0}",
        "admin: {host: '::', token: '  '}",
        "admin: {host: 192.168.1.5, token: '${T:-}'}",
        "admin: {host: admin.example.com}",
        "admin: {port: 8000}",
        "admin: {port: +8_000}",
        "server: {port: '9000'}\nadmin: {port: 9000}",
        "admin: {port: '08000'}",
        "admin: {port: ' 8000 '}",
        "admin: {port: 8000.0}",
        "server: {port: '08001'}\nadmin: {port: null}",
        "server: {port: null}\nadmin: {port: 8000}",
    ],
)
def test_an_admin_listener_others_can_reach_needs_a_token(text: str) -> None:
    assert "expected admin.token" in only(text)


@pytest.mark.parametrize(
    "text",
    [
        "admin: {host: localhost}",
        "admin: {host: '::1'}",
        "admin: {host: 127.8.8.8}",
        "server: {host: 127.0.0.1, port: 0}\nadmin: {port: 0}",
        "server: {host: 127.0.0.1}\nadmin: {port: 8000}",
        "server: {host: 127.0.0.1, port: '00'}\nadmin: {port: '000'}",
        "server: {port: null}\nadmin: {port: null}",
        "admin: {host: 0.0.0.0, token: 0123456789abcdef}",
    ],
)
def test_an_admin_listener_of_this_machine_needs_none(text: str) -> None:
    assert loads(text)


def test_a_short_admin_token_is_a_warning() -> None:
    assert about(warnings("admin: {token: hunter2}"), "admin.token: shorter than 16")


@pytest.mark.parametrize(
    "text",
    [
        "admin: {anonymous: true, host: 0.0.0.0}",
        "admin: {anonymous: true, host: 10.0.0.1, token: 0123456789abcdef}",
        "admin: {anonymous: true, port: 8000}",
    ],
)
def test_nobody_is_nobody_on_this_machine_only(text: str) -> None:
    line = only(text)

    assert "expected no admin.anonymous" in line
    assert loads("admin: {anonymous: true}")
    assert loads("admin: {anonymous: true, port: 8000}\nserver: {host: 127.0.0.1}")


def test_a_password_guards_the_admin_listener_as_a_token_does() -> None:
    admin = read("admin: {host: 0.0.0.0, username: root, password: correct-horse-battery}").admin

    assert admin.password is not None
    assert (admin.username, admin.password.reveal()) == ("root", "correct-horse-battery")
    assert about(warnings("admin: {password: hunter2}"), "admin.password: shorter than 12")
    assert "hunter2" not in str(warnings("admin: {password: hunter2}"))
    assert "expected admin.token or admin.password" in only("admin: {host: 0.0.0.0, password: ''}")


@pytest.mark.parametrize("origin", ["*", "https://a.example/", "a.example", "https://A.example"])
def test_an_origin_is_as_browsers_send_it(origin: str) -> None:
    assert read("admin: {origins: 'https://a.example:8443'}").admin.origins == [
        "https://a.example:8443"
    ]
    assert "admin.origins[0]: expected an origin" in only(f"admin: {{origins: ['{origin}']}}")


# --- the store and its secrets ---

MASTER = "kQ9vX2mB7tR4wZ1pL6sD8fG3hJ5nC0yU-aEoIqTx"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "data/headrace.snapshot"),
        ("{url: 'sqlite:////var/lib/h/x.db'}", "/var/lib/h/x.snapshot"),
        ("{url: 'sqlite:////srv/a%20b#c/x.db'}", "/srv/a b#c/x.snapshot"),
        ("{url: 'postgresql://u:p@h/db'}", "data/headrace.snapshot"),
        ("{url: 'postgresql://u:p@h/db', snapshot: /run/copy}", "/run/copy"),
    ],
)
def test_the_copy_of_the_store_is_beside_it(text: str, path: str) -> None:
    store = read(f"store: {text}").store

    assert store.copy_path == path
    assert store.poll == 1.0


def test_master_keys_come_from_the_file_or_from_one_variable() -> None:
    def keys(text: str, **env: str) -> list[str]:
        return [key.reveal() for key in read(text, **env).secrets.keys]

    assert keys("") == []
    assert keys("", HEADRACE_MASTER_KEY=MASTER) == [MASTER]
    assert keys("secrets:", HEADRACE_MASTER_KEY=MASTER) == [MASTER]
    # Whoever says where they are says it of all of them.
    assert keys("secrets: {file: /run/keys}", HEADRACE_MASTER_KEY=MASTER) == []
    assert keys("secrets: {keys: []}", HEADRACE_MASTER_KEY=MASTER) == []
    assert keys("secrets: {file: '${FILE:-}'}", HEADRACE_MASTER_KEY=MASTER) == [MASTER]
    assert keys("secrets: {keys: ['${A:-}', ' ', '${B}']}", B=MASTER) == [MASTER]


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("hunter2", "master key 1"),
        ("a" * 40, "master key 1"),
        (MASTER, "master key 1"),
    ],
)
def test_a_master_key_that_is_guessed_is_an_error_and_not_shown(key: str, why: str) -> None:
    line = only(f"admin: {{token: {MASTER}}}", HEADRACE_MASTER_KEY=key)

    assert "secrets.keys: expected master keys that nobody guesses" in line
    assert why in line
    assert key not in line


@pytest.mark.parametrize("url", ["mysql://u:p@h/db", "mysql+asyncmy://h/db", "mariadb://h/db"])
def test_mysql_is_an_error_that_names_the_two_databases(url: str) -> None:
    line = only(f"store: {{url: '{url}'}}")

    assert "SQLite" in line
    assert "PostgreSQL" in line
    assert "which is not supported" in line


def test_both_databases_are_accepted_and_others_are_not() -> None:
    for url in ("sqlite:///data/x.db", "postgresql://u:p@h/db", "postgres://h/db", ""):
        assert read(f"store: {{url: '{url}'}}").store.url == url
    for url in ("redis://h", "data/x.db"):
        assert "store.url" in only(f"store: {{url: '{url}'}}")


@pytest.mark.parametrize(
    "url",
    ["sqlite:///", "sqlite://x.db", "sqlite:///:memory:", "sqlite:///x.db?mode=rw", "sqlite://[x"],
)
def test_a_store_in_sqlite_is_a_file(url: str) -> None:
    assert "expected a file, as in sqlite:///data/headrace.db" in only(f"store: {{url: '{url}'}}")


def test_a_blank_url_is_no_store() -> None:
    assert read("store: {url: ' '}").store.url == ""


def test_among_very_many_names_those_that_begin_alike_are_compared() -> None:
    names = [f"vendor/model-{number}" for number in range(5000)] + ["other/llama-9b"]

    assert nearest("other/lama-9b", names) == "other/llama-9b"
    assert nearest("vendor/model-42x", names) is not None
    assert nearest("", names) is None


def test_of_very_many_keys_for_models_of_the_store_the_first_are_explained_best() -> None:
    def told(*patterns: str) -> list[str]:
        keys = [
            {"name": f"k{at}", "key": f"sk-key-number-{at}", "models": [pattern]}
            for at, pattern in enumerate(patterns)
        ]
        found = warnings(models("gpt-4o: {}") + yaml.safe_dump({"keys": keys}))
        return [line for line in found if "no model is called" in line]

    alike, each = told(*["gpt-4"] * 50), told(*(f"gpt-4o{at}" for at in range(50)))

    assert all(line.endswith("did you mean 'gpt-4o'?") for line in (*alike, *each[:10]))
    assert (len(alike), len(each), each[-1].endswith("'gpt-4o49'")) == (50, 50, True)


def test_of_very_many_mistakes_the_first_are_explained_best() -> None:
    items = ", ".join(f"{{provider: pp{number}}}" for number in range(50))

    found = problems(PROVIDER + f"models: {{m: {{deployments: [{items}]}}}}")

    assert len(found) == 50
    assert (
        sum("did you mean 'p'?" in line or "configured providers: p" in line for line in found)
        == 20
    )


# --- anything at all ---

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-5, 99999)
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "p",
            "m",
            "a*",
            "*",
            "${X}",
            "file:x",
            "openai",
            "https://api.example.com",
            "http://127.1",
            "p2c",
        ]
    )
)
known = st.sampled_from(
    sorted(
        {
            name
            for section in (
                schema.Config,
                schema.Provider,
                schema.Model,
                schema.Deployment,
                schema.Key,
                schema.Auth,
            )
            for name in section.model_fields
        }
        | {"p", "m", "x-y", "echo_alias", "quota", "rpm"}
    )
)
wild = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known, inner, max_size=5),
    max_leaves=25,
)


@given(
    st.dictionaries(
        st.sampled_from([*schema.Config.model_fields, "shared", "zzz"]), wild, max_size=6
    )
)
def test_any_document_loads_or_is_explained(content: dict[str, Any]) -> None:
    text = orjson.dumps(content).decode()

    try:
        loaded = parse(text, "h.yaml", {})
    except ConfigError as error:
        lines = [str(problem) for problem in error.problems]
        assert lines
        assert all(re.match(r"h\.yaml:\d+:\d+: ", line) for line in lines)
        assert not about(lines, "another value (")
    else:
        assert isinstance(loaded, Loaded)
