"""No secret that was planted comes out again."""

from __future__ import annotations

import string
import threading
from collections.abc import Callable, Iterator
from urllib.parse import quote

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.core.clock import Hands
from proxy.core.redact import MASK, forget, redact, redact_bytes, redact_name, register
from proxy.core.secret import Secret
from proxy.core.virtual_key import ADMIN_PREFIX, PREFIX, mint

CANARY = "Q7wErTyUiOpAsDfGhJkL"

ALPHABET = string.ascii_letters + string.digits
secrets = st.text(ALPHABET, min_size=20, max_size=48)
# Anything around it, in one piece or as words; the canary itself begins and ends at a sign.
around = st.text(max_size=40)


@pytest.fixture(autouse=True)
def _nothing_registered() -> Iterator[None]:
    forget()
    yield
    forget()


FORMS = [
    "Bearer {}",
    "bearer\t{}",
    "Authorization: Bearer {}",
    "authorization: Basic {}==",
    "Proxy-Authorization: Token {}",
    "{{'Authorization': 'Bearer {}'}}",
    "(b'authorization', b'Bearer {}')",
    "[('x-api-key', '{}'), ('accept', '*/*')]",
    "x-api-key: {}",
    "X-Goog-Api-Key:{}",
    "api-key={}",
    'api_key="{}"',
    "apiKey: '{}'",
    '{{"api_key": "{}", "model": "m"}}',
    '{{\\"apiKey\\": \\"{}\\"}}',
    '{{"client_secret":"{}"}}',
    "OPENAI_API_KEY={}",
    "aws_secret_access_key = {}",
    "accessToken={}",
    '{{"refresh_token": "{}"}}',
    "password={} host=db",
    "GET /v1beta/models/x:generateContent?key={}&alt=sse",
    "/v1/models?alt=sse&key={}",
    "key={}&alt=sse",
    "https://x.invalid/y?X-Amz-Signature={}",
    "postgresql://headrace:{}@db:5432/headrace",
    "redis://:{}@cache:6379",
    "https://{}@example.invalid/path",
    "cookie: session={}; theme=dark",
    "Set-Cookie: session={}; Path=/",
    "sk-{}",
    "sk-proj-{}",
    "sk-ant-api03-{}",
    "sk-hr-{}",
    "sk-or-v1-{}",
    "AIza{}",
    "gsk_{}",
    "xai-{}",
    "hf_{}",
    "r8_{}",
    "pplx-{}",
    "nvapi-{}",
    "ghp_{}",
    "xoxb-{}",
    "ya29.{}",
    "eyJhbGciOiJIUzI1NiJ9.{}.{}",
    "eyJhbGciOi.{}.{}",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n{}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\n{}",
    "Incorrect API key provided: sk-{}. You can find your API key at the dashboard.",
    "ValueError: bad header value: b'Bearer {}'",
]


@pytest.mark.parametrize("form", FORMS)
def test_what_looks_like_a_secret_is_masked(form: str) -> None:
    text = redact(form.format(CANARY, CANARY))

    assert CANARY not in text
    assert MASK in text


@settings(max_examples=1000)
@given(form=st.sampled_from(FORMS), secret=secrets, before=around, after=around)
def test_no_canary_comes_out_whatever_is_around_it(
    form: str, secret: str, before: str, after: str
) -> None:
    assume(secret not in before + after)
    planted = form.format(secret, secret)

    text = redact(f"{before} {planted} {after}")

    assert secret not in text


@pytest.mark.parametrize("prefix", [PREFIX, ADMIN_PREFIX])
@pytest.mark.parametrize("before", ["", "key=", "\\\\n", "\\\\u0020", "%20", "x", "(", '"'])
def test_a_key_of_ours_is_masked_whatever_stands_before_it(prefix: str, before: str) -> None:
    key = mint(prefix).reveal()

    for part in (key, key[:40], key[:20]):
        assert MASK in redact(f"got {before}{part} from a client")
        assert part[len(prefix) + 2 :] not in redact(f"got {before}{part} from a client")


def test_the_rest_of_the_line_stays() -> None:
    text = redact("GET /v1/models?alt=sse&key=abc&page=2 from 10.0.0.1: x-api-key: def, retried")

    assert text == "GET /v1/models?alt=sse&key=***&page=2 from 10.0.0.1: x-api-key: ***, retried"


def test_the_shape_of_what_is_quoted_stays() -> None:
    text = redact(
        """{"api_key": "abc\\"d", "model": "m"} {'password': 'x'} \\"token\\": \\"y\\"."""
    )

    assert (
        text == """{"api_key": "***", "model": "m"} {'password': '***'} \\"token\\": \\"***\\"."""
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "upstream openai answered 503 after 12.3 ms",
        "prompt_tokens=8 max_tokens: 5, 3 tokens",
        "model gpt-4o-mini on /v1/chat/completions?stream=true",
        "claude-sonnet-4-5-20250929 voyage-code-3 text-embedding-3-large mask-rcnn",
        "https://api.openai.invalid/v1/chat/completions",
        "write to a@b.invalid about the task-force, the disk-usage and the risk-assessment",
        "credential openai#1 cools for 3.0 s",
        "3f2b8c1e-9a4d-4e0f-8b7a-1c2d3e4f5a6b",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


@given(
    secret=st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=6, max_size=64),
    before=around,
    after=around,
)
def test_a_registered_secret_never_comes_out(secret: str, before: str, after: str) -> None:
    forget()
    register(secret)

    plain = redact(f"{before} {secret} {after}")
    in_url = redact(f"/x?y={quote(secret, safe='')}")

    # The mask may spell a secret made of asterisks.
    assert secret not in plain.replace(MASK, "")
    assert quote(secret, safe="") not in in_url.replace(MASK, "")


def test_a_secret_may_be_given_as_one() -> None:
    register(Secret("correct horse battery"))

    assert redact("it was 'correct horse battery'") == "it was '***'"


def test_a_secret_that_holds_another_is_masked_whole() -> None:
    register("abcdef")
    register("abcdef-ghijkl")

    assert redact("abcdef-ghijkl abcdef") == "*** ***"


def test_a_secret_that_lasts_for_a_time_is_forgotten_after_it(hands: Hands) -> None:
    register("for good")
    register("for a while", 10)
    register("for good", 10)
    hands.advance(5)
    register("for a while", 10)
    register("for longer", 20)
    hands.advance(6)
    register("another", 10)
    assert redact("for a while, for good, for longer") == f"{MASK}, {MASK}, {MASK}"

    hands.advance(5)
    register("the next", 10)
    assert redact("for a while, for good, for longer") == f"for a while, {MASK}, {MASK}"


def test_a_short_secret_does_not_mask_half_the_log() -> None:
    register("x")

    assert redact("max retries exceeded") == "max retries exceeded"


def test_a_secret_registered_later_is_not_remembered_as_harmless() -> None:
    assert redact_name("tomorrows-secret") == "tomorrows-secret"

    register("tomorrows-secret")

    assert redact_name("tomorrows-secret") == MASK


class _Meanwhile(str):
    """A secret by whose length another thread sees to it that a second one is registered."""

    __slots__ = ("meanwhile",)

    meanwhile: tuple[str, ...]

    def strip(self, chars: str | None = None) -> _Meanwhile:
        return self

    def __len__(self) -> int:
        for secret in getattr(self, "meanwhile", ()):
            thread = threading.Thread(target=register, args=(secret,))
            thread.start()
            thread.join()
        return super().__len__()


@pytest.mark.parametrize("said", [redact, redact_name])
def test_a_secret_registered_while_all_are_sorted_is_masked_from_then_on(
    said: Callable[[str], str],
) -> None:
    first = _Meanwhile("first-secret")
    register(first)
    first.meanwhile = ("tomorrows-secret",)

    assert said("tomorrows-secret") == "tomorrows-secret"
    first.meanwhile = ()

    assert said("tomorrows-secret") == MASK
    assert said("first-secret") == MASK


@pytest.mark.parametrize(
    "piece",
    [
        "sk-", "-sk-a", "sk-hr-", "sk-hra-abcdef", "eyJ", "-eyJ", "-eyJaaaaaaaaaaaaa", "://", "a:", "://a:", "@", "x-", "_", "-",
        "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", 'api_key="', "api_key='\\", "api_key", "api_key:",
        "token ", "token", "?key", "?x-amz-", "bearer ", "authorization: bearer ", "cookie:", "secret_",
        "secret", "\\", '"', "'", " ", "\n", "AKIA", "authorization", "basic ", "signature=",
    ],
)  # fmt: skip
def test_a_hostile_text_does_not_hold_the_reader_up(piece: str) -> None:
    # A pattern that is quadratic would need minutes for this much: the time limit of every test finds it.
    text = (piece * 262_144)[:262_144]

    assert len(redact(text)) <= 2 * len(text)


def test_a_clean_body_stays_as_it_is() -> None:
    body = b'{"error": {"message": "no",   "code": 5}}'

    assert redact_bytes(body) is body


@pytest.mark.parametrize(
    "written",
    [
        rb"gw+b7Kq\/Zr91Lm0pQ==",
        rb"gw+b7Kq/Zr91Lm0pQ\u003d\u003d",
        rb"gw\u002Bb7Kq/Zr91Lm0pQ==",
        rb"\u0067w\u002bb7Kq\u002fZr91Lm0pQ=\u003d",
    ],
)
def test_a_secret_in_a_json_body_is_found_however_it_is_escaped(written: bytes) -> None:
    register("gw+b7Kq/Zr91Lm0pQ==")

    masked = redact_bytes(b'{"error": {"message": "no such key: %b"}}' % written)

    assert orjson.loads(masked) == {"error": {"message": "no such key: ***"}}


@pytest.mark.parametrize("body", [rb'{"a": "b\/c \u00e9 \u003d", "b": 1}', rb'{"a": "\ud800"}'])
def test_escapes_without_a_secret_stay_as_they_are(body: bytes) -> None:
    assert redact_bytes(body) is body


def test_a_json_body_stays_json() -> None:
    body = (
        b'{"error":{"message":"Incorrect API key provided: sk-abcd1234efgh","param":"api_key=\'x",'
        b'"token":12,"details":[{"client_secret":"q"},{"url":"https://u:p@h/"}]}}'
    )

    error = orjson.loads(redact_bytes(body))["error"]

    assert error == {
        "message": "Incorrect API key provided: ***",
        "param": "api_key='***",
        "token": 12,
        "details": [{"client_secret": "***"}, {"url": "https://***@h/"}],
    }


def test_a_body_that_is_no_text_is_masked_too() -> None:
    assert redact_bytes(b"\xff\xfe api_key=abcdef \x80") == b"\xff\xfe api_key=*** \x80"


def test_a_body_nested_beyond_reason_is_masked_as_text() -> None:
    body = b"[" * 900 + b'"sk-abcdefgh12345"' + b"]" * 900

    assert b"abcdefgh" not in redact_bytes(body)


@given(secret=secrets, value=st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
))  # fmt: skip
def test_any_json_body_stays_json_and_loses_its_canary(secret: str, value: object) -> None:
    try:
        body = orjson.dumps({"a": value, "message": f"bad key sk-{secret}"})
    except (TypeError, ValueError):  # surrogates
        return

    assume(body.count(secret.encode()) == 1)
    masked = redact_bytes(body)

    assert secret.encode() not in masked
    assert "message" in orjson.loads(masked)
