"""The file's objects as the admin API shows them."""

from __future__ import annotations

import orjson
import pytest

from proxy.control.admin.infile import find, holds, objects
from proxy.core.config.loading import parse
from proxy.core.records import Kind

FILE = """
defaults: {timeouts: {ttft: 90s}, strategy: p2c}
providers:
  one:
    preset: openai
    credentials: [secret-of-one-0001, {key: secret-of-one-0002, weight: 3}]
    headers: {x-a: secret-header}
    query: {k: secret-query}
    proxy: http://user:secret-proxy@127.0.0.1:3128
    allow_private: true
    auth: {openai: "header:x-key"}
    note: "token sk-abcdefghijklmnopqrstuvwx"
  talk:
    base_url: http://127.0.0.1:9
    allow_private: true
    credentials: [secret-of-talk-001]
    conversation:
      create: {path: /new, id_path: data.id, body: {a: null}}
      path: /ask/{conversation_id}
      body: {q: "{prompt}"}
      text_path: [delta.text, text]
models:
  m/x: {aliases: [n], param_overrides: {top_p: null}, deployments: [{provider: one, model: up}, {provider: talk, weight: 2}]}
keys:
  - {name: app, key: sk-the-key-of-app-1, cidrs: [10.0.0.0/8], expires: "2030-01-01"}
"""
CONFIG = parse(FILE).config


def test_each_has_the_id_the_data_plane_gives_it() -> None:
    found = {
        kind: [one.id for one in objects(CONFIG, kind)] for kind in Kind if kind != Kind.SIGNAL
    }

    assert found == {
        Kind.PROVIDER: ["one", "talk"],
        Kind.CREDENTIAL: ["one#0", "one#1", "talk#0"],
        Kind.MODEL: ["m/x"],
        Kind.DEPLOYMENT: ["m/x/0:one", "m/x/1:talk"],
        Kind.KEY: ["app"],
        Kind.SETTING: ["defaults"],
    }


def test_nothing_secret_is_shown_and_all_of_it_is_json() -> None:
    kinds = [kind for kind in Kind if kind != Kind.SIGNAL]
    shown = [dict(one.spec) for kind in kinds for one in objects(CONFIG, kind)]

    text = orjson.dumps(shown).decode()
    assert "secret" not in text
    assert "sk-abc" not in text
    assert "sk-the" not in text


def test_fields_are_in_the_words_of_the_file() -> None:
    one, talk = objects(CONFIG, Kind.PROVIDER)
    model = find(CONFIG, Kind.MODEL, "m/x")
    key = find(CONFIG, Kind.KEY, "app")
    defaults = find(CONFIG, Kind.SETTING, "defaults")

    assert one.spec["headers"] == {"x-a": "***"}
    assert one.spec["auth"] == {"openai": "header:x-key"}
    assert talk.spec["conversation"]["text_path"] == ["delta.text", "text"]
    assert talk.spec["conversation"]["create"] == {
        "path": "/new",
        "id_path": "data.id",
        "body": {"a": None},
    }
    assert model is not None
    assert model.spec == {"aliases": ["n"], "param_overrides": {"top_p": None}}
    assert key is not None
    assert key.spec["cidrs"] == ["10.0.0.0/8"]
    assert defaults is not None
    assert defaults.spec == {"timeouts": {"ttft": 90.0}, "strategy": "p2c"}


def test_children_say_what_they_belong_to() -> None:
    [first, second, _] = objects(CONFIG, Kind.CREDENTIAL)
    deployment = find(CONFIG, Kind.DEPLOYMENT, "m/x/1:talk")

    assert (first.parent, dict(second.spec)) == ("one", {"weight": 3, "last4": "0002"})
    assert deployment is not None
    assert (deployment.parent, dict(deployment.spec)) == ("m/x", {"provider": "talk", "weight": 2})


@pytest.mark.parametrize(
    ("kind", "name", "is_there"),
    [
        (Kind.PROVIDER, "one", True),
        (Kind.PROVIDER, "m/x", False),
        (Kind.MODEL, "m/x", True),
        (Kind.MODEL, "n", False),
        (Kind.KEY, "app", True),
        (Kind.KEY, "none", False),
        (Kind.SETTING, "defaults", False),
        (Kind.CREDENTIAL, "one#0", False),
    ],
)
def test_names_that_are_taken(kind: Kind, name: str, is_there: bool) -> None:
    assert holds(CONFIG, kind, name) is is_there


def test_of_a_short_key_nothing_is_shown() -> None:
    short = "providers: {p: {base_url: http://127.0.0.1:9, allow_private: true, credentials: [tiny, secret-0001, secret-00001]}}"

    shown = [one.spec["last4"] for one in objects(parse(short).config, Kind.CREDENTIAL)]

    assert shown == ["", "", "0001"]


def test_of_a_conversation_s_headers_the_names_are_shown() -> None:
    text = """
providers:
  p:
    base_url: http://127.0.0.1:9
    allow_private: true
    conversation:
      create: {path: /new, id_path: id, headers: {cookie: session=of-create}}
      path: /ask
      body: "{prompt}"
      text_path: text
      headers: {cookie: session=of-ask, accept: "*/*"}
"""
    found = find(parse(text).config, Kind.PROVIDER, "p")

    assert found is not None
    block = found.spec["conversation"]
    assert block["headers"] == {"cookie": "***", "accept": "***"}
    assert block["create"]["headers"] == {"cookie": "***"}
    assert "session" not in str(found.spec)
