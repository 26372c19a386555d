"""A provider receives the client's bytes; where they differ, configuration says so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from time import monotonic
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy import __version__
from proxy.core.config import parse
from proxy.core.errors import ProxyError
from proxy.core.model import Auth, Credential, Model, Provider, Snapshot
from proxy.core.secret import Secret
from proxy.core.surfaces import DIALECTS
from proxy.gateway import outbound, routing
from proxy.gateway.deadline import Deadline
from proxy.state.live import Live
from proxy.state.snapshot import compile_snapshot
from proxy.upstream.pool import Upstream
from tests.gateway.asked import CHAT, exchange, provider, raw, snapshot

# What a careless round trip through a JSON library would change.
ODD = (
    b'"n":12345678901234567890123,"f":1.0,"e":1E5,"z":-0,"s":"\\u00e9\\/\\ud83d\\ude00",'
    b'"o":{ "b" : 1 ,"a":[1.10, 2e-7 ]},"unknown":null,"u":"\xc3\xa9"'
)
PRETTY = b'{\n  "model": "m",\n  "messages": [ ],\n  ' + ODD + b"\n}\n"
COMPACT = b'{"model":"m","messages":[],' + ODD + b"}"


class Sent(NamedTuple):
    """What a provider would read."""

    target: str
    fields: list[tuple[str, str]]
    body: bytes
    hide_usage: bool

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.fields]

    def values(self, name: str) -> list[str]:
        return [value for one, value in self.fields if one == name]


async def send(
    data: bytes,
    settings: Snapshot | None = None,
    *,
    reemit: bool = False,
    deadline: Deadline | None = None,
    added: list[tuple[bytes, bytes]] | None = None,
) -> Sent:
    """Render the request `data` for the first candidate."""
    settings = settings or snapshot(provider(), upstream_model="m")
    one = exchange(data)
    one.must_reemit, one.deadline = reemit, deadline
    live = Live(settings)
    plan = routing.plan(settings, live, one.model, None, one.endpoint.dialect, random.Random(1))
    candidate = plan.first(0.0)
    upstream = Upstream(candidate.deployment.provider)
    try:
        head, body, hide_usage = outbound.render(one, candidate, upstream, added=added)
    finally:
        await upstream.close()
    return parsed(head, body, hide_usage, one.endpoint.method)


def parsed(head: bytes, body: bytes, hide_usage: bool, method: str) -> Sent:
    assert head.endswith(b"\r\n\r\n")
    first, *lines = head.decode("latin-1")[:-4].split("\r\n")
    verb, target, version = first.split(" ")
    assert (verb, version) == (method, "HTTP/1.1")
    fields = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    assert all(name == name.lower() for name, _ in fields)
    return Sent(target, fields, body, hide_usage)


def chat(body: bytes, *fields: str, query: str = "") -> bytes:
    return raw("POST", CHAT + query, body, *fields)


# --- bodies nobody edits ---


@pytest.mark.parametrize("body", [COMPACT, PRETTY], ids=["compact", "pretty"])
@pytest.mark.parametrize("force_usage", [True, False])
async def test_a_body_without_edits_goes_out_as_it_came(body: bytes, force_usage: bool) -> None:
    settings = snapshot(provider(), upstream_model="m", force_usage=force_usage)

    sent = await send(chat(body), settings)

    assert sent.body == body
    assert sent.values("content-length") == [str(len(body))]


async def test_a_key_given_twice_is_sent_once_where_a_rule_has_read_the_body() -> None:
    body = b'{"model":"x", "a":1,"mod\\u0065l":"m","a":2}'

    assert (await send(chat(body), reemit=True)).body == b'{"model":"m","a":2}'


# --- the model's name ---


@pytest.mark.parametrize("body", [COMPACT, PRETTY], ids=["compact", "pretty"])
async def test_another_name_changes_nothing_else(body: bytes) -> None:
    sent = await send(chat(body), snapshot(provider(), upstream_model="vendor/up-1"))

    assert sent.body == COMPACT.replace(b'"model":"m"', b'"model":"vendor/up-1"').replace(
        b"[]", body[body.index(b"[") : body.index(b"]") + 1], 1
    )


async def test_a_name_is_escaped_as_json_asks() -> None:
    sent = await send(chat(b'{"model":"m"}'), snapshot(provider(), upstream_model='a"b\\c\u00e9'))

    assert orjson.loads(sent.body) == {"model": 'a"b\\c\u00e9'}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
SPACES = st.sampled_from(["", " ", "\n  ", "\t", "\r\n"])


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, str]]]:
    """(a chat body as some client may space and spell it, its top-level keys and the text of their values)."""
    import json

    fields = draw(
        st.dictionaries(
            st.text(min_size=1, max_size=5).filter(
                lambda name: name not in ("model", "stream", "stream_options")
            ),
            json_values,
            max_size=5,
        )
    )
    plain = draw(st.booleans())
    texts = [("model", '"m"')]
    for name, value in fields.items():
        indent = draw(st.sampled_from([None, 2]))
        texts.append((name, json.dumps(value, ensure_ascii=plain, indent=indent)))
    draw(st.randoms(use_true_random=False)).shuffle(texts)
    space = [draw(SPACES) for _ in range(4)]
    members = [
        f"{space[0]}{json.dumps(name, ensure_ascii=plain)}{space[1]}:{space[2]}{text}{space[3]}"
        for name, text in texts
    ]
    return ("{" + ",".join(members) + "}").encode("utf-8", "surrogatepass"), texts


@given(made=bodies())
def test_any_body_keeps_its_values_byte_for_byte(
    made: tuple[bytes, list[tuple[str, str]]],
) -> None:
    body, texts = made

    async def main() -> tuple[Sent, Sent]:
        same = await send(chat(body))
        return same, await send(chat(body), snapshot(provider(), upstream_model="up"))

    same, renamed = asyncio.run(main())

    assert same.body == body
    sent = [(name, '"up"' if name == "model" else text) for name, text in texts]
    expected = [f"{_key(name)}:{text}" for name, text in sent]
    assert renamed.body.decode() == "{" + ",".join(expected) + "}"


def _key(name: str) -> str:
    return orjson.dumps(name).decode()


# --- parameters ---

PARAMS = b'{"model":"m","temperature":0.10,"top_p":null,"n":2}'


async def edited(body: bytes = PARAMS, **deployment: Any) -> dict[str, Any]:
    sent = await send(chat(body), snapshot(provider(), upstream_model="m", **deployment))
    content: dict[str, Any] = orjson.loads(sent.body)
    return content


async def test_defaults_fill_what_the_client_left_out() -> None:
    content = await edited(param_defaults={"seed": 7, "temperature": 0.9, "top_p": 0.5})

    assert content == {"model": "m", "temperature": 0.1, "top_p": None, "n": 2, "seed": 7}


async def test_overrides_win_over_the_client_and_null_takes_away() -> None:
    content = await edited(param_overrides={"temperature": 0, "n": None, "seed": 7})

    assert content == {"model": "m", "temperature": 0, "top_p": None, "seed": 7}


async def test_a_limit_by_its_other_name_is_the_clients_too() -> None:
    body = b'{"model":"m","max_completion_tokens":50}'

    filled = await edited(body, param_defaults={"max_tokens": 2000})
    forced = await edited(body, param_overrides={"max_tokens": 10})

    assert filled == {"model": "m", "max_completion_tokens": 50}
    assert forced == {"model": "m", "max_tokens": 10}


async def test_overrides_win_over_defaults() -> None:
    content = await edited(
        b'{"model":"m"}', param_defaults={"seed": 1}, param_overrides={"seed": 2}
    )

    assert content["seed"] == 2


async def test_values_nobody_names_keep_their_spelling() -> None:
    settings = snapshot(provider(), upstream_model="m", param_overrides={"seed": 7})

    sent = await send(chat(COMPACT), settings)

    assert sent.body == COMPACT[:-1] + b',"seed":7}'


# --- usage ---


@pytest.mark.parametrize(
    ("options", "sent_options"),
    [
        (None, {"include_usage": True}),
        (b"null", {"include_usage": True}),
        (b"{}", {"include_usage": True}),
        (b'{"include_usage":false}', {"include_usage": True}),
        (b'{"include_usage":null,"other":1}', {"include_usage": True, "other": 1}),
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
async def test_usage_is_asked_for_and_hidden_from_who_did_not_ask(
    path: str, options: bytes | None, sent_options: dict[str, Any]
) -> None:
    more = b"" if options is None else b',"stream_options":' + options

    sent = await send(raw("POST", path, b'{"model":"m","stream":true%b}' % more))

    assert orjson.loads(sent.body)["stream_options"] == sent_options
    assert sent.hide_usage


async def test_other_options_keep_their_spelling() -> None:
    options = b'{ "x": 12345678901234567890123, "y": 1.0 }'

    sent = await send(chat(b'{"model":"m","stream":true,"stream_options":' + options + b"}"))

    assert b'{"x":12345678901234567890123,"y":1.0,"include_usage":true}' in sent.body


@pytest.mark.parametrize("options", [b'{"include_usage": true}', b"[]", b'"x"', b"1"])
async def test_a_client_that_asks_itself_or_oddly_is_left_alone(options: bytes) -> None:
    body = b'{"model":"m", "stream":true,"stream_options":' + options + b"}"

    sent = await send(chat(body))

    assert (sent.body, sent.hide_usage) == (body, False)


@pytest.mark.parametrize("body", [b'{"model":"m"}', b'{"model":"m","stream":false}'])
async def test_without_a_stream_usage_comes_by_itself(body: bytes) -> None:
    sent = await send(chat(body))

    assert (sent.body, sent.hide_usage) == (body, False)


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
async def test_other_operations_report_usage_by_themselves(path: str) -> None:
    body = b'{"model":"m","stream":true}'

    sent = await send(raw("POST", path, body))

    assert (sent.body, sent.hide_usage) == (body, False)


async def test_a_deployment_may_forbid_to_ask() -> None:
    settings = snapshot(provider(), upstream_model="m", force_usage=False)
    body = b'{"model":"m","stream":true}'

    sent = await send(chat(body), settings)

    assert (sent.body, sent.hide_usage) == (body, False)


async def test_options_of_an_override_are_kept() -> None:
    settings = snapshot(
        provider(), upstream_model="m", param_overrides={"stream_options": {"other": 1}}
    )

    sent = await send(chat(b'{"model":"m","stream":true}'), settings)

    assert orjson.loads(sent.body)["stream_options"] == {"other": 1, "include_usage": True}


@pytest.mark.parametrize(
    ("preset", "asked", "got"),
    [
        (
            "mistral",
            {"max_completion_tokens": 9, "seed": 4, "user": "u", "store": False, "top_p": 0.5},
            {"max_tokens": 9, "random_seed": 4, "top_p": 0.5},
        ),
        ("mistral", {"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        ("mistral", {"stream": True}, {"stream": True}),
        ("synthetic", {"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
        ("crusoe", {"max_completion_tokens": 9}, {"max_tokens": 9}),
        ("sarvam", {"max_completion_tokens": 9, "max_tokens": 8}, {"max_tokens": 8}),
    ],
)
async def test_a_vendor_gets_the_names_its_preset_says_it_takes(
    preset: str, asked: dict[str, Any], got: dict[str, Any]
) -> None:
    text = f"""
providers: {{p: {{preset: {preset}, credentials: [upstream-secret]}}}}
models: {{m: {{deployments: [{{provider: p}}]}}}}
"""
    settings = compile_snapshot(parse(text, "h.yaml", {}).config)
    body = {"model": "m", "messages": []}

    sent = await send(chat(orjson.dumps(body | asked)), settings)

    assert orjson.loads(sent.body) == body | got
    assert not sent.hide_usage


# --- credentials ---


def with_auth(scheme: str, name: str = "") -> Snapshot:
    auth = dict.fromkeys(("openai", "anthropic", "gemini"), Auth(scheme, name))
    return snapshot(provider(auth=auth), upstream_model="m")


ROUTES = {
    "openai": (CHAT, b'{"model":"m"}'),
    "anthropic": ("/v1/messages", b'{"model":"m"}'),
    "gemini": ("/v1beta/models/m:generateContent", b"{}"),
}


@pytest.mark.parametrize(
    ("family", "field"),
    [
        ("openai", ("authorization", "Bearer upstream-secret")),
        ("anthropic", ("x-api-key", "upstream-secret")),
        ("gemini", ("x-goog-api-key", "upstream-secret")),
    ],
)
async def test_a_credential_goes_where_the_family_expects_it(
    family: str, field: tuple[str, str]
) -> None:
    sent = await send(raw("POST", *ROUTES[family]))

    assert field in sent.fields
    assert str(sent.fields).count("upstream-secret") == 1
    assert "secret" not in sent.target


@pytest.mark.parametrize("family", ROUTES)
@pytest.mark.parametrize(
    ("auth", "field"),
    [
        (("bearer",), ("authorization", "Bearer upstream-secret")),
        (("header", "x-token"), ("x-token", "upstream-secret")),
    ],
)
async def test_or_where_configuration_says(
    family: str, auth: tuple[str, ...], field: tuple[str, str]
) -> None:
    sent = await send(raw("POST", *ROUTES[family]), with_auth(*auth))

    assert field in sent.fields
    assert str(sent.fields).count("upstream-secret") == 1


async def test_or_in_the_query() -> None:
    sent = await send(
        raw("POST", ROUTES["gemini"][0] + "?alt=sse&key=clients", b"{}"), with_auth("query", "key")
    )

    assert sent.target == "/v1beta/models/m:generateContent?alt=sse&key=upstream-secret"
    assert "upstream-secret" not in str(sent.fields)


@pytest.mark.parametrize(
    "settings",
    [with_auth("none"), snapshot(provider(credentials=()), upstream_model="m")],
    ids=["scheme none", "no credential"],
)
async def test_or_nowhere(settings: Snapshot) -> None:
    sent = await send(chat(b'{"model":"m"}', "Authorization: Bearer clients"), settings)

    assert "authorization" not in sent.names
    assert "secret" not in str(sent)


# --- headers ---

CLIENTS = {
    "Authorization": "Bearer clients-key",
    "X-Api-Key": "clients-key",
    "Api-Key": "clients-key",
    "X-Goog-Api-Key": "clients-key",
    "Cookie": "session=1",
    "X-Forwarded-For": "10.0.0.1",
    "Forwarded": "for=10.0.0.1",
    "X-Request-Id": "abc",
    "User-Agent": "client/1",
    "Accept-Encoding": "gzip, br",
    "Connection": "keep-alive, X-Hop",
    "X-Hop": "1",
    "TE": "trailers",
    "Expect": "",
    "Origin": "http://localhost",
    "OpenAI-Organization": "org",
    "X-Headrace-Timing": "1",
    "Traceparent": "00-0-0-01",
    "Tracestate": "a=1",
    "Baggage": "user=1",
}
PASSING = {
    "Accept": "text/event-stream",
    "OpenAI-Beta": "assistants=v2",
    "Idempotency-Key": "i-1",
    "Anthropic-Beta": "b-1",
    "Anthropic-Version": "2024-01-01",
}


def lines(fields: Mapping[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in fields.items()]


async def test_a_provider_sees_of_the_clients_headers_what_is_on_the_list() -> None:
    body = b'{"model":"m"}'

    sent = await send(chat(body, *lines(CLIENTS), *lines(PASSING)))

    assert sorted(sent.fields) == sorted(
        [
            ("host", "provider.test"),
            ("user-agent", f"headrace/{__version__}"),
            ("accept-encoding", "identity"),
            ("authorization", "Bearer upstream-secret"),
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            *((name.lower(), value) for name, value in PASSING.items()),
        ]
    )


async def test_the_providers_own_headers_are_sent_too() -> None:
    settings = snapshot(provider(headers={"X-Title": "t", "User-Agent": "us"}), upstream_model="m")

    sent = await send(chat(b'{"model":"m"}'), settings)

    assert sent.values("x-title") == ["t"]
    assert sent.values("user-agent") == ["us"]


@pytest.mark.parametrize(
    ("configured", "given", "version"),
    [
        ({}, [], "2023-06-01"),
        ({}, ["Anthropic-Version: 2024-01-01"], "2024-01-01"),
        ({"Anthropic-Version": "2025-01-01"}, [], "2025-01-01"),
        ({"Anthropic-Version": "2025-01-01"}, ["Anthropic-Version: 2024-01-01"], "2025-01-01"),
    ],
)
async def test_anthropic_gets_one_version(
    configured: dict[str, str], given: list[str], version: str
) -> None:
    settings = snapshot(provider(headers=configured), upstream_model="m")

    sent = await send(raw("POST", *ROUTES["anthropic"], *given), settings)

    assert sent.values("anthropic-version") == [version]


async def test_other_families_get_no_version() -> None:
    assert "anthropic-version" not in (await send(chat(b'{"model":"m"}'))).names


async def test_a_request_without_a_body_has_no_length() -> None:
    stored = await send_stored("GET", "/v1/responses/resp_1")

    assert "content-length" not in stored.names
    assert stored.body == b""


async def test_a_post_without_a_body_has_a_length_of_nothing() -> None:
    stored = await send_stored("POST", "/v1/responses/resp_1/cancel")

    assert stored.values("content-length") == ["0"]


# --- the target ---


async def send_stored(method: str, target: str, one: Provider | None = None) -> Sent:
    """What is sent for a response that only its provider knows."""
    settings = Snapshot(providers={"p": one or provider()})
    asked = exchange(raw(method, target))
    plan = routing.plan_stored(settings, Live(settings), asked.endpoint.dialect, random.Random(1))
    candidate = plan.first(0.0)
    upstream = Upstream(candidate.deployment.provider)
    try:
        head, body, hide = outbound.render(asked, candidate, upstream)
    finally:
        await upstream.close()
    return parsed(head, body, hide, method)


async def test_an_id_of_a_stored_response_is_in_the_path() -> None:
    sent = await send_stored("GET", "/v1/responses/resp_1/input_items?limit=2")

    assert sent.target == "/v1/responses/resp_1/input_items?limit=2"


@pytest.mark.parametrize(
    ("base", "target", "host"),
    [
        ("http://provider.test", CHAT, "provider.test"),
        ("http://provider.test/v1", CHAT, "provider.test"),
        ("https://provider.test:8443/api/v1", "/api" + CHAT, "provider.test:8443"),
        ("http://[::1]:8080/x", "/x" + CHAT, "[::1]:8080"),
    ],
)
async def test_the_target_is_under_the_base_url(base: str, target: str, host: str) -> None:
    sent = await send(chat(b'{"model":"m"}'), snapshot(provider(base), upstream_model="m"))

    assert sent.target == target
    assert sent.values("host") == [host]


async def test_through_a_plain_proxy_the_target_is_absolute() -> None:
    one = provider("http://provider.test/v1", proxy="http://proxy.test:3128")

    sent = await send(chat(b'{"model":"m"}'), snapshot(one, upstream_model="m"))

    assert sent.target == "http://provider.test" + CHAT
    assert sent.values("host") == ["provider.test"]


async def test_through_a_tunnel_it_is_not() -> None:
    one = provider("https://provider.test/v1", proxy="http://proxy.test:3128")

    sent = await send(chat(b'{"model":"m"}'), snapshot(one, upstream_model="m"))

    assert sent.target == CHAT


AZURE = {**DIALECTS, "openai.chat": "/openai/deployments/{model}/chat/completions"}


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("gpt-4o", "gpt-4o"),
        ("vendor/gpt", "vendor/gpt"),
        ("a b", "a%20b"),
        ("a?b#c", "a%3Fb%23c"),
        ("a\r\nx: y", "a%0D%0Ax%3A%20y"),
        ("\u00e9", "%C3%A9"),
    ],
)
async def test_a_model_in_the_path_is_quoted(name: str, quoted: str) -> None:
    one = provider(dialects=AZURE, query={"api-version": "1"})

    sent = await send(chat(b'{"model":"m"}'), snapshot(one, upstream_model=name))

    target = f"/openai/deployments/{quoted}/chat/completions?api-version=1"
    assert sent.target.replace(":", "%3A") == target


@pytest.mark.parametrize("name", ["..", "a/../b", "./a", "a/.."])
async def test_a_model_that_would_climb_the_path_is_refused(name: str) -> None:
    wild = snapshot(provider(dialects=AZURE), name="*", upstream_model="*")
    settings = replace(wild, models={}, wildcards=(("", wild.models["*"]),))

    with pytest.raises(ProxyError) as refused:
        await send(chat(orjson.dumps({"model": name})), settings)

    assert (refused.value.ref, refused.value.param) == ("bad_req", "model")


async def test_a_model_named_by_our_path_is_named_to_the_provider() -> None:
    body = b'{"messages": [ ]}'
    target = "/openai/deployments/m/chat/completions?api-version=2024-02-01"

    sent = await send(raw("POST", target, body), snapshot(provider(), upstream_model="up"))

    assert sent.target == CHAT
    assert sent.body == b'{"messages":[ ],"model":"up"}'


async def test_for_gemini_the_path_says_it_and_the_body_stays() -> None:
    body = b'{"contents": [ ]}'
    target = "/v1beta/models/m:streamGenerateContent?alt=sse"

    sent = await send(raw("POST", target, body), snapshot(provider(), upstream_model="up"))

    assert sent.target == "/v1beta/models/up:streamGenerateContent?alt=sse"
    assert sent.body == body


# --- the query ---


@pytest.mark.parametrize(
    ("query", "sent_query"),
    [
        ("", ""),
        ("?", ""),
        ("?key=clients", ""),
        ("?api_key=clients&api-version=1", ""),
        ("?beta=true&key=clients&beta=false", "?beta=true&beta=false"),
        ("?empty=", "?empty="),
        ("?a=b%20c%26d&%C3%A9=%0d%0a", "?a=b+c%26d&%C3%A9=%0D%0A"),
    ],
)
async def test_what_is_between_the_client_and_us_is_taken_out_of_the_query(
    query: str, sent_query: str
) -> None:
    sent = await send(chat(b'{"model":"m"}', query=query))

    assert sent.target == CHAT + sent_query


async def test_the_providers_own_query_is_added() -> None:
    settings = snapshot(provider(query={"api-version": "9", "x": "a b"}), upstream_model="m")

    sent = await send(chat(b'{"model":"m"}', query="?api-version=1&y=2"), settings)

    assert sent.target == CHAT + "?y=2&api-version=9&x=a+b"


async def test_a_client_does_not_say_what_the_configuration_says() -> None:
    own = provider(query={"tenant": "ours"}, auth={"openai": Auth("query", "token")})

    sent = await send(
        chat(b'{"model":"m"}', query="?tenant=a&y=2&token=b&tenant=c"),
        snapshot(own, upstream_model="m"),
    )

    assert sent.target == CHAT + "?y=2&tenant=ours&token=upstream-secret"


# --- forms ---


def form(model: str | None, *, image: bytes = b"\x89PNG\r\n\x1a\n\0\r\n--x") -> bytes:
    parts = [b'Content-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + image]
    if model is not None:
        parts.insert(0, b'Content-Disposition: form-data; name="model"\r\n\r\n%b' % model.encode())
    return b"".join(b"--B0\r\n%b\r\n" % part for part in parts) + b"--B0--\r\n"


FORM = 'Content-Type: multipart/form-data; boundary="B0"'


@pytest.mark.parametrize("name", ["m", "up-with-a-longer-name"])
async def test_a_form_differs_in_its_model_only(name: str) -> None:
    data = raw("POST", "/v1/images/edits", form("m"), FORM)

    sent = await send(data, snapshot(provider(), upstream_model=name))

    assert sent.body == form(name)
    assert sent.values("content-length") == [str(len(form(name)))]
    assert sent.values("content-type") == ['multipart/form-data; boundary="B0"']


async def test_a_form_whose_model_is_in_the_path_gets_a_field() -> None:
    target = "/openai/deployments/m/images/edits"

    sent = await send(
        raw("POST", target, form(None), FORM), snapshot(provider(), upstream_model="up")
    )

    assert sent.body.count(b'name="model"\r\n\r\nup\r\n') == 1
    assert sent.body.endswith(form(None))


@pytest.mark.parametrize("said", [None, "m", "another"])
async def test_the_model_in_the_path_is_the_one_that_is_asked_for(said: str | None) -> None:
    # The key was checked for that one, and for no other.
    sent = await send(raw("POST", "/openai/deployments/m/images/edits", form(said), FORM))

    assert sent.body == form("m").replace(b"Content-D", b"content-d", said is None)


# --- heads are remembered ---


async def test_remembered_heads_are_not_mixed_up() -> None:
    keys = tuple(Credential(f"p#{at}", Secret(f"secret-{at}")) for at in range(2))
    one = provider(dialects=AZURE, credentials=keys)
    upstream = Upstream(one)
    seen = set()
    for name in ("up-1", "up-2"):
        settings = snapshot(one, upstream_model=name)
        live = Live(settings)
        for path, body in (ROUTES["openai"], ROUTES["gemini"]):
            for _ in range(4):
                asked = exchange(raw("POST", path, body))
                dialect = asked.endpoint.dialect
                plan = routing.plan(settings, live, "m", None, dialect, random.Random())
                candidate = plan.first(0.0)
                assert candidate.credential is not None
                head, _, _ = outbound.render(asked, candidate, upstream)
                assert name.encode() in head.split(b" ")[1]
                assert candidate.credential.secret.reveal().encode() in head
                seen.add(head)
    await upstream.close()

    assert len(seen) == 8


async def test_names_a_client_made_up_are_not_remembered_for_ever() -> None:
    wild = Model("*", snapshot(provider(dialects=AZURE), upstream_model="*").models["m"].tiers)
    one = wild.tiers[0][0].provider
    settings = Snapshot(providers={"p": one}, wildcards=(("", wild),))
    live = Live(settings)
    upstream = Upstream(one)
    body = b'{"model":"m"}'
    asked = exchange(chat(body))
    for at in range(10_000):
        plan = routing.plan(settings, live, f"m{at}", None, "openai.chat", random.Random())
        candidate = plan.first(0.0)
        outbound.render(asked, candidate, upstream)
        plan.ended(candidate)
        if at % 200 == 0:
            await asyncio.sleep(0)
    await upstream.close()

    assert len(upstream.heads) < 5000


async def test_whom_the_trace_is_passed_on_to_is_told_the_clients() -> None:
    settings = snapshot(provider(propagate=True), upstream_model="m")

    sent = await send(
        chat(b'{"model":"m"}', "Traceparent: 00-0-0-01", "Tracestate: a=1", "Baggage: user=1"),
        settings,
    )

    assert sent.values("traceparent") == ["00-0-0-01"]
    assert sent.values("tracestate") == ["a=1"]
    assert sent.values("baggage") == []


# --- the client's deadline ---


async def left(deadline: Deadline | None, *, told: bool) -> list[str]:
    settings = snapshot(provider(pass_deadline=told), upstream_model="m")
    sent = await send(
        chat(b'{"model":"m"}', "X-Request-Deadline-Ms: 99"), settings, deadline=deadline
    )
    return sent.values("x-request-deadline-ms")


async def test_one_of_our_kind_is_told_what_is_left_of_the_clients_time() -> None:
    now = monotonic()

    [told] = await left(Deadline(now + 60.0, now + 60.0), told=True)
    assert 0 < int(told) <= 60_000
    assert await left(Deadline(now - 5.0, now - 5.0), told=True) == ["0"]


async def test_nobody_else_is_and_a_hint_is_not_passed_on_as_more() -> None:
    now = monotonic()

    assert await left(Deadline(now + 60.0, now + 60.0), told=False) == []
    assert await left(Deadline(now + 60.0), told=True) == []
    assert await left(None, told=True) == []


async def test_headers_of_hooks_go_over_the_clients_and_below_the_configurations() -> None:
    configured = provider(headers={"X-Fixed": "configured"})
    added = [
        (b"x-fixed", b"hook"),
        (b"x-new", b"hook"),
        (b"openai-beta", b"one"),
        (b"openai-beta", b"two"),
    ]

    sent = await send(
        chat(COMPACT, "OpenAI-Beta: client"),
        snapshot(configured, upstream_model="m"),
        added=added,
    )

    names = ("x-fixed", "x-new", "openai-beta")
    assert [sent.values(name) for name in names] == [["configured"], ["hook"], ["two"]]
