"""Requests are signed as AWS publishes it, and as its own library does."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.sigv4 import Scope, sign

# https://docs.aws.amazon.com/general/latest/gr/signature-v4-test-suite.html
CREDENTIAL = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SCOPE = Scope("us-east-1", "service")
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
HOST = ("Host", "example.amazonaws.com")
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def signed(
    target: str = "/",
    *headers: tuple[str, str],
    method: str = "GET",
    body: bytes = b"",
    credential: str = CREDENTIAL,
) -> dict[str, str]:
    return dict(sign(credential, SCOPE, method, target, [HOST, *headers], body, AT))


def signature(found: dict[str, str]) -> str:
    return found["authorization"].rpartition("Signature=")[2]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("//", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("/./", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("/example/..", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("/example1/example2/../..", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("//example//", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        ("/./example", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
        ("/example space/", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
        ("/ሴ", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        (f"/{UNRESERVED}", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        ("/?Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        ("/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        (f"/?{UNRESERVED}={UNRESERVED}", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
    ],
)  # fmt: skip
def test_paths_and_queries_are_signed_as_published(target: str, expected: str) -> None:
    assert signature(signed(target)) == expected


@pytest.mark.parametrize(
    ("headers", "names", "expected"),
    [
        (
            [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
            "host;my-header1;x-amz-date",
            "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        ),
        (
            [("My-Header1", " value1,value2,value3  ")],
            "host;my-header1;x-amz-date",
            "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790",
        ),
    ],
)
def test_headers_are_signed_as_published(
    headers: list[tuple[str, str]], names: str, expected: str
) -> None:
    found = signed("/", *headers)

    assert f"SignedHeaders={names}," in found["authorization"]
    assert signature(found) == expected


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ([], b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ([("My-Header1", "value1")], b"", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
        (
            [("Content-Type", "application/x-www-form-urlencoded")],
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
)  # fmt: skip
def test_posts_are_signed_as_published(
    headers: list[tuple[str, str]], body: bytes, expected: str
) -> None:
    assert signature(signed("/", *headers, method="POST", body=body)) == expected


def test_everything_the_published_header_says_is_there() -> None:
    assert signed() == {
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 "
        "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    }


def test_a_session_token_is_sent_and_signed() -> None:
    found = signed(credential=CREDENTIAL + ":token:with/colons==")

    assert found["x-amz-security-token"] == "token:with/colons=="
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token," in found["authorization"]


def test_what_may_change_on_the_way_is_not_signed() -> None:
    assert signed("/", ("User-Agent", "x"), ("Authorization", "Bearer y")) == signed()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("us-east-1", Scope("us-east-1", "bedrock")),
        ("eu-west-3/aoss", Scope("eu-west-3", "aoss")),
    ],
)
def test_a_scope_is_a_region_and_a_service(text: str, expected: Scope) -> None:
    assert Scope.parse(text) == expected


SEGMENTS = st.lists(st.text("abc:/.%~ é水+=@", max_size=8), max_size=4)
QUERIES = st.lists(
    st.tuples(st.text("ab~ é", min_size=1, max_size=4), st.text("xy&=é", max_size=4)), max_size=4
)
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "accept", "x-custom", "X-Other"]),
    st.lists(WORDS, min_size=1, max_size=3).map("  ".join),
)


@given(
    SEGMENTS,
    QUERIES,
    HEADERS,
    st.binary(max_size=50),
    st.sampled_from(["", "tok/en=="]),
    st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
)
def test_the_library_of_aws_signs_the_same(
    segments: list[str],
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    token: str,
    moment: datetime,
) -> None:
    target = "/model/" + "/".join(quote(segment, safe="") for segment in segments)
    if query:
        pairs = [f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query]
        target += "?" + "&".join(pairs)
    moment = moment.replace(microsecond=0)
    host = "bedrock-runtime.us-west-2.amazonaws.com"
    request = AWSRequest("POST", f"https://{host}{target}", headers=headers, data=body)
    theirs = SigV4Auth(Credentials("AKID", "sec/ret+", token or None), "bedrock", "us-west-2")
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        theirs.add_auth(request)

    ours = sign(
        f"AKID:sec/ret+:{token}" if token else "AKID:sec/ret+",
        Scope("us-west-2"),
        "POST",
        target,
        [("host", host), *headers.items()],
        body,
        moment.replace(tzinfo=UTC).timestamp(),
    )

    assert dict(ours)["authorization"] == request.headers["Authorization"]
    assert dict(ours)["x-amz-date"] == request.headers["X-Amz-Date"]
    assert dict(ours).get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")
