from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from proxy.core.address import Place
from proxy.core.config.address import classify, fault, proxy_fault


def found(url: str, *, private: bool = False, http: bool = False) -> str | None:
    wrong = fault(url, allow_private=private, allow_http=http)
    return None if wrong is None else wrong.found


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://api.openai.com",
        "https://api.openai.com/",
        "https://api.openai.com:8443/v1/",
        "HTTPS://api.example.com",
        "https://8.8.8.8/v1",
        "https://[2606:4700::1111]/v1",
        "https://xn--bcher-kva.example/v1",
        "https://gateway.example/v1/account_1/~x/a%20b",
        "https://1.example.com",
        "https://127.0.0.1.nip.io",  # a name: vetted when it is resolved
    ],
)
def test_public_https_addresses_are_fine(url: str) -> None:
    assert found(url) is None


LOCAL = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7F.1",
    "0177.0.0.1",
    "0177.1",
    "017700000001",
    "127.0.0.1.",
    "127.255.255.254",
    "0.0.0.0",
    "0",
    "0x0",
    "10.0.0.7",
    "10.7",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "0xc0a80101",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[2002:7f00:1::]",
    "[64:ff9b::127.0.0.1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[ff02::1]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "localhost.localdomain",
    "ollama",
    "printer.local",
    "db.internal",
    "nas.home.arpa",
]


@pytest.mark.parametrize("host", LOCAL)
def test_private_and_local_addresses_in_every_spelling_need_allow_private(host: str) -> None:
    assert found(f"https://{host}/v1") == Place.PRIVATE.value
    assert found(f"http://{host}:9100", private=True) is None


METADATA = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.254.170.2",
    "100.100.100.200",
    "1684301000",
    "168.63.129.16",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[fe80::1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata",
    "instance-data",
]


@pytest.mark.parametrize("host", METADATA)
def test_metadata_services_are_never_allowed(host: str) -> None:
    assert found(f"http://{host}/latest", private=True, http=True) == Place.METADATA.value


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("ftp://example.com", "another one"),
        ("file:///etc/passwd", "another one"),
        ("gopher://127.0.0.1:6379/_x", "another one"),
        ("unix:///var/run/docker.sock", "another one"),
        ("api.openai.com/v1", "another one"),
        ("//api.openai.com", "another one"),
        ("", "another one"),
        ("https://user:pass@api.openai.com/v1", "both or one"),
        ("https://sk-secret@api.openai.com", "both or one"),
        ("https://api.openai.com@127.0.0.1/", "both or one"),
        ("https://api.openai.com/v1?key=1", "a query"),
        ("https://api.openai.com?x", "a query"),
        ("https://api.openai.com/v1#x", "a fragment"),
        ("https://bücher.example/v1", "another one"),
        ("https://\uff11\uff12\uff17.0.0.1/", "another one"),
        ("https://127\u30020\u30020\u30021/", "another one"),
        ("https://", "something else"),
        ("https:///v1", "something else"),
        ("https://a.example:0/", "something else"),
        ("https://a.example:99999/", "something else"),
        ("https://a.example:80:80/", "something else"),
        ("https://a b.example/", "something else"),
        ("https://a.example/a b", "something else"),
        ("https://a.example/\r\nx", "something else"),
        ("https://a.example\\@b.example/", "something else"),
        ("https://a.example\t/", "something else"),
        ("https://a..example/", "no name and no address"),
        ("https://256.1.1.1/", "no name and no address"),
        ("https://1.2.3.4.5/", "no name and no address"),
        ("https://08.0.0.1/", "no name and no address"),
        ("https://4294967296/", "no name and no address"),
        ("https://[::g]/", "something else"),
        ("https://[1:2]/", "no name and no address"),
        ("https://[fe80::1%25eth0]/", "something else"),
    ],
)
def test_what_is_no_plain_url_is_refused(url: str, what: str) -> None:
    assert found(url, private=True, http=True) == what


def test_the_refusal_never_repeats_a_password() -> None:
    wrong = fault("https://sk-secret:x@api.example/", allow_private=False, allow_http=False)

    assert wrong is not None
    assert "sk-secret" not in str(wrong)


def test_plain_http_to_the_public_needs_allow_http() -> None:
    assert found("http://api.example.com") == "plain http to a public address"
    assert found("http://8.8.8.8", private=True) == "plain http to a public address"
    assert found("http://api.example.com", http=True) is None


def test_plain_http_to_a_name_is_fine_where_names_may_be_private() -> None:
    assert found("http://llm.corp.example:8000", private=True) is None


@given(st.ip_addresses(v=4))
def test_every_spelling_of_an_address_is_the_same_place(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    parts = address.packed
    place = classify(str(address))

    assert classify(str(number)) is place
    assert classify(hex(number)) is place
    assert classify(f"0{number:o}") is place
    assert classify(".".join(hex(part) for part in parts)) is place
    assert classify(".".join(f"0{part:o}" for part in parts)) is place
    assert classify(f"{parts[0]}.{number & 0xFFFFFF}") is place
    assert classify(f"::ffff:{address}") is place
    assert classify(f"64:ff9b::{address}") is place


@given(st.text(max_size=30))
def test_any_text_is_judged(text: str) -> None:
    fault(text, allow_private=False, allow_http=False)
    assert fault("https://u@h/" + text, allow_private=True, allow_http=True) is not None


def via(url: str, *, private: bool = False) -> str | None:
    wrong = proxy_fault(url, allow_private=private)
    return None if wrong is None else wrong.found


def test_a_proxy_may_have_a_password_and_no_tls() -> None:
    assert via("http://user:p%40ss@proxy.example:3128") is None
    assert via("http://proxy.example:3128/") is None


@pytest.mark.parametrize("host", [*LOCAL[:12], "user:secret@127.0.0.1:3128", "u@[::1]:3128"])
def test_a_private_proxy_needs_allow_private(host: str) -> None:
    assert via(f"http://{host}") == Place.PRIVATE.value
    assert via(f"http://{host}", private=True) is None


@pytest.mark.parametrize("host", [*METADATA, "user:secret@169.254.169.254"])
def test_a_metadata_service_is_no_proxy(host: str) -> None:
    assert via(f"http://{host}", private=True) == Place.METADATA.value


@pytest.mark.parametrize(
    "url",
    [
        "socks5://proxy.example",
        "http://a@b@127.0.0.1",
        "http://proxy.example\\@127.0.0.1",
        "http://proxy.example#@127.0.0.1",
        "http://proxy.example?@127.0.0.1",
        "http://user:pass/@127.0.0.1",
    ],
)
def test_what_two_parsers_could_read_differently_is_no_proxy(url: str) -> None:
    assert via(url, private=True) is not None


_URLISH = st.text("aZ0.1-_x:/@[]%?#\\ \t", max_size=20)


@given(
    st.sampled_from(["https://", "http://", "HTTPS://"]),
    st.lists(
        st.sampled_from(
            ["127", "0x7f", "a", "com", "xn--", "-", "_", ".", ":1", "@", "[::1]", "é"]
        ),
        max_size=6,
    ),
    _URLISH,
)
def test_the_check_and_the_connection_read_the_same_host(
    scheme: str, parts: list[str], rest: str
) -> None:
    url = scheme + "".join(parts) + rest
    if fault(url, allow_private=True, allow_http=True) is not None:
        return
    connected = URL(url)  # as the pool reads it
    split = urlsplit(url)  # as paths are joined to it
    checked = url.partition("://")[2].partition("/")[0].lower()
    host, colon, port = checked.rpartition(":")
    if not colon or port.endswith("]"):
        host = checked
    assert connected.raw_host == split.hostname == host.strip("[]")
    assert connected.user is connected.password is split.username is None
    assert not connected.query_string
    assert not connected.fragment
