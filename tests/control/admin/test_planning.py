from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.control.admin.edits import Create, Delete, Update
from proxy.control.admin.export import Secrets
from proxy.control.admin.importing import read_yaml
from proxy.control.admin.transfer import Mode
from proxy.core.redact import MASK
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.core.virtual_key import Pepper, digest, digests
from tests.control.admin.stocked import PEPPER, Stocked

WHOLE = """
defaults: {retry: {count: 3}}
providers:
  openai:
    preset: openai
    headers: {x-team: blue-secret}
    credentials: [sk-first-0123456789, {key: sk-second-0123456789, weight: 3}]
  local: {base_url: "http://127.0.0.1:8000", allow_private: true, credentials: [local-key-1]}
models:
  large: {fallbacks: [small-2], deployments: [{provider: openai, model: gpt}, {provider: local}]}
  small: {aliases: [small-2], deployments: [{provider: local, weight: 4}]}
keys:
  - {name: team-a, key: sk-client-0123456789, models: [large], expires: 2030-01-01}
  - {name: team-b, key: sk-another-0123456789, enabled: false}
"""


def stocked(text: str = WHOLE, **means: Any) -> Stocked:
    one = Stocked(**means)
    one.take_text(text)
    return one


def kinds(one: Stocked) -> dict[str, int]:
    return {kind: len(records) for kind, records in one.mirror.records.items() if records}


# --- the same again ---


def test_everything_of_a_document_is_taken_in() -> None:
    assert kinds(stocked()) == {
        "setting": 1,
        "provider": 2,
        "credential": 3,
        "model": 2,
        "deployment": 3,
        "key": 2,
    }


@pytest.mark.parametrize("mode", Mode)
def test_the_same_document_again_changes_nothing(mode: Mode) -> None:
    one = stocked()

    assert one.take_text(WHOLE, mode) == 0


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("secrets", Secrets)
def test_an_export_changes_nothing_where_it_was_made(secrets: Secrets, mode: Mode) -> None:
    one = stocked()

    assert one.take_text(one.shown(secrets), mode) == 0


def test_an_encrypted_export_makes_the_same_installation() -> None:
    one, other = stocked(), Stocked()

    other.take_text(one.shown(Secrets.ENCRYPTED))

    assert other.opened() == one.opened()
    assert other.shown() == one.shown()


def test_clients_keep_their_keys_where_the_pepper_is_another() -> None:
    one = stocked()
    other = Stocked(peppers=[Pepper("p0000002", b"\x02" * 32)])

    other.take_text(one.shown(Secrets.ENCRYPTED))

    record = other.mirror.get("key", "team-a")
    assert record is not None
    (kept,) = digests(record.private)
    pepper = next(one for one in other.peppers if one.id == kept.pepper)
    assert digest("sk-client-0123456789", pepper).hex() == kept.digest
    assert other.peppers[0].id == "p0000002"  # still makes the new ones


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8
).filter(lambda name: name.isprintable() and not set(name) & set("*$/"))
WORDS = st.sampled_from(
    [
        "plain",
        "010",
        "1e5",
        "0x1f",
        "yes",
        "null",
        "~",
        "12:30",
        "- a",
        "a: b",
        "#x",
        "'",
        '"',
        "é",
        "",
        " ",
    ]
)
PARAMS = st.dictionaries(
    st.sampled_from(["temperature", "stop", "user", "seed", "on"]),
    st.one_of(
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        WORDS,
        st.booleans(),
        st.lists(WORDS, max_size=2),
    ),
    max_size=3,
)
KEY = st.integers(0, 10**20).map("sk-{:022}-abcdefgh".format)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """What an import takes: fallbacks lead to models that come later, so they end."""
    providers = {
        name: {
            "base_url": draw(st.sampled_from(["https://a.example", "https://b.example/v1"])),
            "credentials": draw(
                st.lists(KEY, max_size=3, unique=True).map(
                    lambda keys: [{"key": key, "weight": 1 + at} for at, key in enumerate(keys)]
                )
            ),
            "headers": draw(st.dictionaries(st.sampled_from(["x-a", "x-b"]), st.just("v"))),
            "param_defaults": draw(PARAMS),
        }
        for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    }
    names = draw(st.lists(NAMES, max_size=5, unique=True))
    own = draw(st.integers(0, len(names)))
    models, aliases = names[:own], names[own:]
    blocks: dict[str, Any] = {
        name: {
            "aliases": [alias for at, alias in enumerate(aliases) if at % len(models) == index],
            "fallbacks": draw(st.lists(st.sampled_from(models[index + 1 :]), unique=True))
            if models[index + 1 :]
            else [],
            "param_overrides": draw(PARAMS),
            "deployments": [
                {
                    "provider": draw(st.sampled_from(sorted(providers))),
                    "model": draw(st.sampled_from("xyz")),
                }
                for _ in range(draw(st.integers(0, 3)))
            ],
        }
        for index, name in enumerate(models)
    }
    keys = [
        {"name": name, "key": key, "models": ["*"], "metadata": {"on": name}}
        for name, key in draw(st.dictionaries(NAMES, KEY, max_size=3)).items()
    ]
    return {"providers": providers, "models": blocks, "keys": keys}


@given(documents())
@settings(max_examples=30)
def test_export_and_import_are_each_others_inverse(content: dict[str, Any]) -> None:
    if len({key["key"] for key in content["keys"]}) < len(content["keys"]):
        return
    one, other = Stocked(), Stocked()
    one.take(content)

    other.take_text(one.shown(Secrets.ENCRYPTED))

    assert other.opened() == one.opened()
    assert other.shown() == one.shown()
    for secrets in Secrets:
        assert one.take_text(one.shown(secrets), Mode.REPLACE) == 0


@given(documents(), documents())
@settings(max_examples=30)
def test_replacing_makes_everything_as_the_document_says(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    # Keys are replaced by rotation alone, and aliases of one document may be names in another.
    first.pop("keys")
    second.pop("keys")
    one, other = Stocked(), Stocked()
    other.take(second)
    one.take(first, Mode.REPLACE)

    one.take(second, Mode.REPLACE)

    assert one.shown(Secrets.OMIT) == other.shown(Secrets.OMIT)


# --- what the document does not name ---


def test_merging_leaves_everything_else() -> None:
    one = stocked()
    before = one.shown()

    one.take_text("providers: {more: {preset: groq, credentials: [gsk-0123456789]}}")

    assert kinds(one)["provider"] == 3
    assert one.take_text("providers: {}") == 0
    assert before != one.shown()


def test_merging_leaves_credentials_and_deployments_that_are_not_listed() -> None:
    one = stocked()

    one.take_text(
        "providers: {openai: {preset: openai, credentials: [sk-third-0123456789]}}\n"
        "models: {large: {fallbacks: [small], deployments: [{provider: openai, model: other}]}}"
    )

    assert (kinds(one)["credential"], kinds(one)["deployment"]) == (4, 4)


def test_replacing_deletes_everything_else() -> None:
    one = stocked()

    one.take_text("providers: {openai: {preset: openai}}", Mode.REPLACE)

    assert kinds(one) == {"provider": 1, "credential": 2}


def test_replacing_with_nothing_leaves_nothing() -> None:
    one = stocked()

    one.take({}, Mode.REPLACE)

    assert kinds(one) == {}


def test_a_model_may_take_the_name_of_one_that_goes() -> None:
    one = stocked()

    one.take_text("models: {new: {aliases: [small, small-2]}}", Mode.REPLACE)

    assert list(one.mirror.names["model"]) == ["new"]


def test_an_alias_moves_from_one_model_to_another() -> None:
    one = stocked("models: {b: {}, a: {aliases: [x]}}")

    one.take_text("models: {b: {aliases: [x]}, a: {}}")

    assert one.take_text("models: {a: {}, b: {aliases: [x]}}") == 0


def test_a_deployment_is_known_by_its_provider_and_the_name_there() -> None:
    one = stocked()
    ids = set(one.mirror.records["deployment"])

    one.take_text(
        "models: {large: {fallbacks: [small], deployments:"
        " [{provider: local, weight: 1}, {provider: openai, model: gpt, weight: 2}]}}",
    )

    assert set(one.mirror.records["deployment"]) == ids


# --- secrets ---


def test_a_credential_is_known_by_its_key_wherever_it_stands() -> None:
    one = stocked()
    ids = set(one.mirror.records["credential"])

    wrote = one.take_text(
        "providers: {openai: {preset: openai, credentials:"
        " [{key: sk-second-0123456789, weight: 3}, sk-first-0123456789]}}",
    )

    assert wrote == 0
    assert set(one.mirror.records["credential"]) == ids


def test_what_is_left_out_stays() -> None:
    one = stocked()
    edits = one.planned(read_yaml(one.shown(Secrets.REFERENCES))).steps

    (provider,) = [step.edit for step in edits if step.name == "openai" and step.kind == "provider"]
    assert isinstance(provider, Update)
    assert provider.body["headers"] == {"x-team": MASK}


def test_what_is_left_out_and_is_not_there_is_named() -> None:
    made = Stocked().planned(read_yaml(stocked().shown(Secrets.REFERENCES)))

    assert [fault.field for fault in made.faults] == [
        "providers.local.credentials[0].key",
        "providers.openai.credentials[0].key",
        "providers.openai.credentials[1].key",
        "keys[0].key",
        "keys[1].key",
    ]


def test_a_key_that_is_not_the_one_that_is_there_is_named() -> None:
    made = stocked().planned({"keys": [{"name": "team-a", "key": "sk-other-0123456789"}]})

    assert [fault.field for fault in made.faults] == ["keys[0].key"]


@pytest.mark.parametrize("change", [{"base_url": "https://evil.example"}, {"verify_tls": False}])
def test_sealed_secrets_open_for_the_host_they_were_sealed_for_alone(change: Any) -> None:
    content = read_yaml(stocked().shown(Secrets.ENCRYPTED))
    content["providers"]["openai"] |= change

    made = Stocked().planned(content)

    assert [fault.field for fault in made.faults] == [
        "providers.openai.headers.x-team",
        "providers.openai.credentials[0].key",
        "providers.openai.credentials[1].key",
    ]
    assert not [
        step
        for step in made.steps
        if isinstance(step.edit, Create) and "sk-first" in str(step.edit.body)
    ]


def test_sealed_secrets_of_plain_http_do_not_open_for_another_proxy() -> None:
    content = read_yaml(stocked().shown(Secrets.ENCRYPTED))
    content["providers"]["local"]["proxy"] = "http://127.0.0.1:3128"

    made = Stocked().planned(content)

    assert [fault.field for fault in made.faults] == ["providers.local.credentials[0].key"]


def test_sealed_secrets_do_not_open_with_another_master_key() -> None:
    other = Stocked(vault=Vault([Secret("Zq8wFhT2nB6vKx0cRj4mLy7sPd1gUe5a")]))

    made = other.planned(read_yaml(stocked().shown(Secrets.ENCRYPTED)))

    assert len(made.faults) == 6
    assert not any(step.kind == "credential" for step in made.steps)


def test_a_sealed_key_is_no_key_of_a_provider() -> None:
    content = read_yaml(stocked().shown(Secrets.ENCRYPTED))
    sealed = content["keys"][0]["key"]
    content["providers"]["local"]["credentials"][0]["key"] = sealed

    made = Stocked().planned(content)

    assert [fault.field for fault in made.faults] == ["providers.local.credentials[0].key"]


def test_one_key_is_not_taken_in_under_two_names() -> None:
    one = stocked()
    content = read_yaml(one.shown(Secrets.ENCRYPTED))
    content["keys"][0]["name"] = "team-c"

    made = one.planned(content)

    assert [(fault.field, "team-a" in fault.message) for fault in made.faults] == [
        ("keys[0].key", True)
    ]


def test_a_pepper_that_nobody_has_is_named() -> None:
    one = stocked()
    one.peppers = ()
    content = read_yaml(one.shown(Secrets.ENCRYPTED))

    made = Stocked(peppers=[Pepper("p0000009", PEPPER.secret)]).planned(content)

    assert [fault.field for fault in made.faults] == ["keys[0].key", "keys[1].key"]


# --- what is no such document ---


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ([], ""),
        ("text", ""),
        ({"provider": {}}, "provider"),
        ({"providers": []}, "providers"),
        ({"providers": {"a": "https://a.example"}}, "providers.a"),
        (
            {"providers": {"a": {"preset": "openai", "credentials": [[]]}}},
            "providers.a.credentials[0]",
        ),
        ({"models": {"a": {"deployments": {}}}}, "models.a.deployments"),
        ({"models": {"a": {"deployments": ["x"]}}}, "models.a.deployments[0]"),
        ({"keys": {}}, "keys"),
        ({"keys": [{"key": "x"}]}, "keys[0].name"),
        ({"keys": [{"name": "a", "key": "k"}, {"name": "a", "key": "k"}]}, "keys[1].name"),
        ({"defaults": 1}, "defaults"),
    ],
)
def test_what_has_another_shape_is_named(content: Any, field: str) -> None:
    assert field in [fault.field for fault in Stocked().planned(content).faults]


def test_sections_of_the_file_are_left_out_and_said() -> None:
    made = Stocked().planned({"server": {"port": 1}, "admin": None, "x-anchors": {}, "models": {}})

    assert (made.faults, made.steps) == ([], [])
    assert made.warnings == ["'server' is left out: it is in the configuration file alone."]


@given(
    st.recursive(
        st.one_of(st.none(), st.text(max_size=3), st.integers()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    [
                        "providers",
                        "models",
                        "keys",
                        "a",
                        "credentials",
                        "deployments",
                        "headers",
                        "proxy",
                        "key",
                        "name",
                    ]
                ),
                inner,
                max_size=4,
            ),
        ),
    )
)
def test_any_document_is_planned(content: Any) -> None:
    made = stocked("models: {a: {}}").planned(content)

    assert all(isinstance(step.edit, Create | Update | Delete) for step in made.steps)


@pytest.mark.parametrize("written", ["", "# nothing\n", "null"])
def test_no_document_at_all_deletes_nothing(written: str) -> None:
    stocked = Stocked()
    stocked.take({"models": {"m": {}}})

    made = stocked.planned(read_yaml(written), Mode.REPLACE)

    assert made.steps == []
    assert [one.message for one in made.faults] == [
        "a document is expected: to delete everything, send {}"
    ]
    assert stocked.planned(read_yaml(written)).faults == []
    assert [step.name for step in stocked.planned({}, Mode.REPLACE).steps] == ["m"]
