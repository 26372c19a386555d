from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.config import parse
from proxy.core.config.objects import Around, Checked, check_object
from proxy.core.config.stored import SEALED, SECTIONS, SETTINGS

FILE = """
defaults: {timeouts: {ttft: 7}}
providers: {filed: {base_url: "https://file.example.com", credentials: [sk-file]}}
models: {main: {aliases: [also], fallbacks: [back], deployments: [{provider: filed}]}, back: {deployments: [{provider: filed}]}}
"""
AROUND = Around(
    parse(FILE, "h.yaml", {}).config,
    providers=frozenset({"stored"}),
    models={"m1": {"aliases": ["a1"], "fallbacks": ["m2"]}, "m2": {}, "w/*": {}},
)
URL = "https://api.example.com/v1"


def check(kind: str, body: dict[str, Any], name: str = "new", **options: Any) -> Checked:
    return check_object(kind, name, body, AROUND, **options)


def wrong(kind: str, body: dict[str, Any], name: str = "new", **options: Any) -> dict[str, str]:
    """Field to sentence."""
    found = check(kind, body, name, **options)
    assert not found.wrong or (found.spec, found.secrets, found.inside) == ({}, {}, ())
    assert len({one.field for one in found.wrong}) == len(found.wrong)
    return {one.field: one.message for one in found.wrong}


# --- what is stored ---


def test_a_provider_is_stored_as_given_and_its_secrets_apart() -> None:
    body = {
        "preset": "openai",
        "note": None,
        "timeouts": {"ttft": "5m"},
        "headers": {"x-a": "s"},
        "query": {"v": "1"},
        "proxy": "http://u:p@proxy.example.com:3128",
        "param_overrides": {"logit_bias": None},
    }

    found = check("provider", body)

    assert found.wrong == ()
    # The preset by its name, durations as written, and null where it means something.
    assert found.spec == {
        "preset": "openai",
        "timeouts": {"ttft": "5m"},
        "param_overrides": {"logit_bias": None},
    }
    assert found.secrets == {
        "headers": {"x-a": "s"},
        "query": {"v": "1"},
        "proxy": "http://u:p@proxy.example.com:3128",
    }


def test_a_credential_is_its_key() -> None:
    found = check("credential", {"key": " sk-upstream ", "weight": 2}, "", parent="stored")

    assert (found.spec, found.secrets) == ({"weight": 2}, {"key": "sk-upstream"})


def test_a_key_that_is_stored_already_need_not_be_given() -> None:
    assert check("credential", {"weight": 2}, "", kept=("key",)).spec == {"weight": 2}
    assert wrong("credential", {"weight": 2}, "") == {
        "key": "expected the field 'key', found none; add it"
    }


def test_one_word_is_stored_as_a_list() -> None:
    found = check("key", {"routes": "chat", "cidrs": "10.0.0.1"}, "k")

    assert found.spec == {"routes": ["chat"], "cidrs": ["10.0.0.1"]}


@pytest.mark.parametrize("said", ["off", "No", 0, False])
def test_a_switch_is_stored_as_true_or_false(said: Any) -> None:
    found = check("provider", {"base_url": URL, "enabled": said, "verify_tls": "on"})

    assert found.spec["enabled"] is False
    assert found.spec["verify_tls"] is True


def test_what_is_inside_and_an_object_of_its_own_comes_apart() -> None:
    provider = check(
        "provider", {"base_url": URL, "credentials": ["sk-1", {"key": "sk-2", "weight": 3}]}
    )
    model = check("model", {"deployments": [{"provider": "stored"}, {"provider": "filed"}]})

    assert provider.spec == {"base_url": URL}
    assert [(kind, one.spec, one.secrets) for kind, one in provider.inside] == [
        ("credential", {}, {"key": "sk-1"}),
        ("credential", {"weight": 3}, {"key": "sk-2"}),
    ]
    assert model.spec == {}
    assert [(kind, one.spec) for kind, one in model.inside] == [
        ("deployment", {"provider": "stored"}),
        ("deployment", {"provider": "filed"}),
    ]


def test_what_was_given_is_not_touched() -> None:
    body = {"echo_alias": False, "deployments": [{"provider": "stored"}]}

    found = check("model", body)

    assert found.spec == {"echo_alias": False}
    assert body == {"echo_alias": False, "deployments": [{"provider": "stored"}]}


# --- what is wrong ---


def test_every_field_is_named_as_it_is_in_the_body() -> None:
    found = wrong(
        "provider",
        {
            "base_url": "http://169.254.169.254/latest",
            "headers": {"host": "x", "x.y": "a\nb"},
            "timeouts": {"ttft": "soon", "conect": 3},
            "dialects": ["openai.chta"],
            "credentials": ["sk a"],
            "wieght": 3,
        },
    )

    assert found == {
        "timeouts.ttft": "expected a duration, found 'soon'; write seconds (5) or 500ms, 2s, 5m, 1h, 7d",
        "timeouts.conect": "expected a known field, found 'conect'; did you mean 'connect'?",
        "wieght": found["wieght"],
        "base_url": "expected an address of a provider, found a metadata or link-local address; "
        "such addresses are never allowed",
        "headers.host": "expected a header that may be set, found 'host'; "
        "remove it: it belongs to the connection",
        'headers."x.y"': "expected text that may stand in a header, found line ends or other characters",
        "dialects[0]": "expected a dialect, found 'openai.chta'; did you mean 'openai.chat'?",
        "credentials[0]": "expected a key of visible ASCII characters, found spaces or others",
    }
    assert found["wieght"].startswith("expected a known field, found 'wieght'; ")


def test_a_field_that_is_missing_is_named() -> None:
    assert wrong("provider", {}) == {
        "base_url": "expected the field 'base_url', found none; add it"
    }
    assert set(wrong("deployment", {}, "", parent="m1")) == {"provider"}
    assert set(wrong("key", {"budget": {}}, "k")) == {"budget.usd"}


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("provider", {"base_url": "https://${HOST}/v1"}, "base_url"),
        ("provider", {"base_url": URL, "headers": {"x": "${HOME}"}}, "headers.x"),
        ("provider", {"base_url": URL, "credentials": [{"key": "file:/k"}]}, "credentials[0].key"),
        ("provider", {"base_url": URL, "param_defaults": {"a": [{"b": "${C}"}]}}, "param_defaults.a[0].b"),
        ("credential", {"key": "${OPENAI_API_KEY}"}, "key"),
        ("credential", {"key": "file:/etc/passwd"}, "key"),
        ("model", {"description": "$${x}"}, "description"),
        ("key", {"owner": "${USER:-me}"}, "owner"),
        ("setting", {"param_defaults": {"user": "file:/etc/passwd"}}, "param_defaults.user"),
    ],
)  # fmt: skip
def test_the_api_reads_nothing_of_this_machine(kind: str, body: dict[str, Any], field: str) -> None:
    name = "defaults" if kind == "setting" else "new"

    assert wrong(kind, body, name) == {
        field: "expected a value, found a reference; "
        "the API reads no files and variables of this machine; send the value itself"
    }


ACCOUNT = '{\n  "type": "service_account",\n  "private_key": "-----BEGIN KEY-----\\nx"\n}'
IN_ONE_LINE = '{"type":"service_account","private_key":"-----BEGIN KEY-----\\nx"}'


@pytest.mark.parametrize(
    ("owner", "is_taken"),
    [
        ({"auth": "google"}, True),
        ({"preset": "vertex"}, True),
        ({"auth": {"gemini": "google"}, "dialects": ["gemini.generate"]}, True),
        ({"auth": {"gemini": "google"}, "dialects": ["gemini.generate", "openai.chat"]}, False),
        ({"preset": "vertex", "auth": "bearer"}, False),
        ({"auth": "entra"}, False),
        ({}, False),
    ],
)
def test_a_document_is_a_credential_where_it_buys_tokens(
    owner: dict[str, Any], is_taken: bool
) -> None:
    around = Around(AROUND.config, providers={"p": owner}, models={})

    found = check_object("credential", "", {"key": ACCOUNT}, around, parent="p")

    if is_taken:
        # Without line ends: its provider may be told to present it some day.
        assert found.secrets == {"key": IN_ONE_LINE}
    else:
        assert [one.field for one in found.wrong] == ["key"]


def test_a_document_may_come_with_its_provider() -> None:
    url = "https://l-aiplatform.googleapis.com/v1/projects/p/locations/l"

    found = check("provider", {"preset": "vertex", "base_url": url, "credentials": [ACCOUNT]})

    assert [one.secrets for _, one in found.inside] == [{"key": IN_ONE_LINE}]


def test_variables_for_credentials_are_the_files_only() -> None:
    found = wrong("provider", {"base_url": URL, "credential_env": "HOME"})

    assert set(found) == {"credential_env"}
    assert "send credentials instead" in found["credential_env"]


def test_a_preset_that_is_none_is_all_there_is_to_say() -> None:
    assert wrong("provider", {"preset": "opena", "nonsense": 1}) == {
        "preset": "expected a preset, found 'opena'; did you mean 'openai'?"
    }


def test_what_a_preset_says_is_checked_with_the_rest() -> None:
    # Its address has a placeholder: without one of one's own it leads nowhere.
    assert set(wrong("provider", {"preset": "azure-openai"})) == {"base_url"}
    assert check("provider", {"preset": "ollama"}).wrong == ()


@pytest.mark.parametrize(
    ("address", "allow_private", "good"),
    [
        ("https://api.example.com", False, True),
        ("https://10.0.0.1", False, False),
        ("https://10.0.0.1", True, True),
        ("https://127.1", False, False),
        ("https://localhost", False, False),
        ("https://169.254.169.254", True, False),
        ("https://metadata.google.internal", True, False),
        ("http://api.example.com", False, False),
    ],
)
def test_addresses_are_vetted(address: str, allow_private: bool, good: bool) -> None:
    body = {"base_url": address, "allow_private": allow_private}

    assert (check("provider", body).wrong == ()) is good


@pytest.mark.parametrize(
    ("proxy", "allow_private", "good"),
    [
        ("http://proxy.example.com:3128", False, True),
        ("http://user:password@proxy.example.com:3128", False, True),
        ("http://10.0.0.1:3128", False, False),
        ("http://10.0.0.1:3128", True, True),
        ("http://user@169.254.169.254", True, False),
        ("http://0xa9fea9fe/", True, False),
        ("http://[fd00:ec2::254]", True, False),
        ("http://999.999.1.1", True, False),
        ("http://[::1", True, False),
        ("socks5://proxy.example.com", True, False),
    ],
)
def test_proxies_are_vetted(proxy: str, allow_private: bool, good: bool) -> None:
    body = {"base_url": URL, "allow_private": allow_private, "proxy": proxy}

    found = wrong("provider", body)

    assert found.keys() == (set() if good else {"proxy"})
    assert "password" not in str(found)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("a", True), ("org/model", True), ("x" * 200, True), ("größer als", True),
        ("", False), ("x" * 201, False), (" a", False), ("a ", False), ("a\nb", False), ("/", False), ("//", False),
    ],
)  # fmt: skip
def test_names(name: str, good: bool) -> None:
    for kind, body in (("provider", {"base_url": URL}), ("model", {}), ("key", {})):
        assert wrong(kind, body, name).keys() == (set() if good else {"name"})


def test_a_star_in_the_middle_of_a_model_is_said_of_its_name() -> None:
    assert wrong("model", {}, "a*b") == {
        "name": "expected at most one '*', at the end of the name, found 'a*b'"
    }


def test_a_deployment_is_of_a_provider_that_is_there() -> None:
    assert check("deployment", {"provider": "stored"}, "", parent="m1").wrong == ()
    assert check("deployment", {"provider": "filed"}, "", parent="m1").wrong == ()
    assert wrong("deployment", {"provider": "sotred"}, "", parent="m1") == {
        "provider": "expected a configured provider, found 'sotred'; did you mean 'stored'?"
    }
    found = wrong("model", {"deployments": [{"provider": "groq"}]})
    assert found == {
        "deployments[0].provider": "expected a configured provider, found 'groq'; "
        "add a provider with preset: groq"
    }


def test_a_star_of_a_deployment_needs_a_star_of_its_model() -> None:
    body = {"provider": "stored", "model": "*"}

    assert check("deployment", body, "", parent="w/*").wrong == ()
    assert set(wrong("deployment", body, "", parent="m1")) == {"model"}


def test_the_models_around_count() -> None:
    found = wrong("model", {"aliases": ["a1", "also"], "fallbacks": ["nobody", "m1"]}, "m2")

    assert set(found) == {"aliases[0]", "aliases[1]", "fallbacks[0]", "fallbacks[1]"}
    assert found["fallbacks[1]"] == (
        "expected fallbacks that end, found a cycle: m2 -> m1 -> m2; remove one of them"
    )


def test_an_object_does_not_stand_in_its_own_way() -> None:
    assert check("model", {"aliases": ["a1"]}, "m1").wrong == ()
    assert check("model", {"aliases": ["a1"]}, "renamed", was="m1").wrong == ()
    assert set(wrong("model", {"aliases": ["a1"]}, "renamed")) == {"aliases[0]"}


def test_other_names_are_plain_too() -> None:
    said = "expected a name without spaces around it and control characters"

    assert wrong("key", {"owner": "a\nb", "team": " a"}) == {"owner": said, "team": said}
    assert wrong("model", {"aliases": ["fine", "a\x1b[2J"]}) == {"aliases[1]": said}


def test_one_header_has_one_spelling() -> None:
    body = {"base_url": URL, "headers": {"X-A": "1", "x-a": "2"}}

    assert wrong("provider", body) == {
        "headers.x-a": "expected a header that is named once, found 'x-a', which is headers.X-A too; remove one"
    }


def test_what_a_virtual_key_may_do_is_checked() -> None:
    body = {
        "key": "sk-mine",
        "models": ["a*b"],
        "routes": ["chatt", "/v1/*", "emb*", "c*t"],
        "cidrs": ["10.0.0.0/40"],
        "budget": {"usd": -1, "period": "year"},
        "rpm": 0,
    }

    found = wrong("key", body, "k")

    assert found.keys() == {
        "key", "models[0]", "routes[0]", "routes[3]", "cidrs[0]", "budget.usd", "budget.period", "rpm",
    }  # fmt: skip
    assert found["key"] == "expected a field of the API, found 'key'; keys are made here"
    assert found["cidrs[0]"].startswith("expected a network, found '10.0.0.0/40'; write ")


def test_settings_are_sections_of_the_file() -> None:
    assert check("setting", {"max_errors": 3}, "health").spec == {"max_errors": 3}
    assert set(wrong("setting", {"max_errors": 0}, "health")) == {"max_errors"}
    assert set(wrong("setting", {"exempt": ["health"]}, "auth")) == {"exempt[0]"}
    assert set(wrong("setting", {"port": 1}, "server")) == {"name"}


def test_where_log_lines_go_is_the_files_business() -> None:
    assert set(wrong("setting", {"file": "/etc/cron.d/x"}, "logging")) == {"file"}


def test_secrets_are_never_repeated() -> None:
    secret = "sk-MUST-NOT-be-shown-0123456789"
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("provider", {"base_url": f"https://u:{secret}@x.example", "query": {"v": [secret]}}),
        ("provider", {"base_url": URL, "headers": {"host": secret, "a": [secret]}, secret: 1}),
        ("provider", {"base_url": URL, "credentials": [{"key": secret, "weight": secret}]}),
        ("provider", {"base_url": URL, "proxy": f"http://x:{secret}@169.254.169.254"}),
        ("credential", {"key": secret + " x", "weight": secret}),
    ]
    for kind, body in bodies:
        found = wrong(kind, body)
        assert found
        assert "MUST-NOT" not in str(found)


# --- remarks ---


def test_what_works_and_is_perhaps_not_meant_is_said() -> None:
    provider = check(
        "provider", {"base_url": URL, "verify_tls": False, "param_defaults": {"model": "x"}}
    )
    key = check("key", {"rpm": 5, "expires": "2001-01-01", "models": ["m1", "w/x", "m*", "zz"]})
    setting = check("setting", {"timeouts": {"ttft": 1}, "strategy": "random"}, "defaults")

    assert provider.warnings == (
        "param_defaults.model: never taken from here; remove it",
        "verify_tls: certificates are not checked: anybody between can read along",
    )
    assert key.warnings == (
        "expires: this date is past: the key is refused",
        "models: no model is called 'zz'",
    )
    assert setting.warnings == ("timeouts: the configuration file says it too, and wins",)


def test_a_key_may_be_called_like_the_model_that_it_is_for() -> None:
    assert check("key", {"models": ["m1", "a1"]}, "m1").warnings == ()


# --- anything at all ---

words = st.sampled_from(
    [
        "base_url", "credentials", "headers", "proxy", "preset", "openai", "aliases", "fallbacks", "deployments",
        "provider", "stored", "key", "weight", "models", "routes", "cidrs", "budget", "expires", "timeouts",
        "conversation", "m1", "a1", "*", "https://api.example.com", "http://10.0.0.1", "${X}", "file:x", "",
    ]
)  # fmt: skip
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words | st.text()
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(words | st.text(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.sampled_from([*SECTIONS, *SETTINGS]),
    words | st.text(),
    st.dictionaries(words | st.text(), anything, max_size=5),
)
def test_whatever_is_sent_there_is_an_answer(kind: str, name: str, body: dict[str, Any]) -> None:
    if kind in SETTINGS:
        kind, name = "setting", kind
    found = check(kind, body, name, parent="m1")

    if not found.wrong:
        given = {field for field, value in body.items() if value is not None}
        apart = {"credentials", "deployments"}
        assert found.spec.keys() | found.secrets.keys() <= given
        assert not found.spec.keys() & (SEALED.get(kind, frozenset()) | apart)


# --- what would smuggle, and what would be seen ---


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", " proxy-authorization "]
)
@pytest.mark.parametrize("family", [None, "openai"])
def test_a_credential_goes_into_no_header_of_the_connection(name: str, family: str | None) -> None:
    place = f"header:{name}"
    auth = place if family is None else {family: place}
    field = "auth" if family is None else f"auth.{family}"

    found = wrong("provider", {"base_url": URL, "auth": auth})

    assert found == {
        field: f"expected a header that may be set, found {name.strip()!r}; it belongs to the connection"
    }


def conversation(**more: Any) -> dict[str, Any]:
    create = {"path": "/c", "id_path": "id", "headers": more.pop("create", {})}
    return {"create": create, "path": "/q", "body": "{prompt}", "text_path": "t", **more}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cookie", "session=0123456789"),
        ("Authorization", "Bearer 0123456789"),
        ("x-api-key", "0123456789"),
        ("x-any", "sk-0123456789abcdef"),
    ],
)
def test_secrets_of_a_conversation_are_where_they_are_sealed(name: str, value: str) -> None:
    for block, field in (
        (conversation(headers={name: value}), f"conversation.headers.{name}"),
        (conversation(create={name: value}), f"conversation.create.headers.{name}"),
    ):
        found = wrong("provider", {"base_url": URL, "conversation": block})

        assert found == {
            field: "expected a header that everybody may see, found what looks like a secret; "
            "put it under headers of the provider, which are kept sealed and sent with both calls"
        }
        assert value not in str(found)


def test_a_conversation_may_have_any_other_header() -> None:
    headers = {
        "x-id": "{message_id}",
        "x-token": "{conversation_id}",
        "accept": "text/event-stream",
    }
    block = conversation(
        headers=headers, create={"x-token": "{message_id}", "origin": "https://x.example"}
    )

    assert wrong("provider", {"base_url": URL, "conversation": block}) == {}
