"""Who is believed about whom a request is from, and how far."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.forwarded import client, is_proxy
from tests.line.harness import KEY, config, request, scripted, serving

PROXIES = [ip_network("10.0.0.0/24"), ip_network("2001:db8:5::/64")]
PEER = "10.0.0.5"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        # Past other balancers, and no further than to the first that is none.
        ("192.0.2.1, 10.0.0.6", "192.0.2.1"),
        ("203.0.113.9, 192.0.2.1,10.0.0.6 , 2001:db8:5::1", "192.0.2.1"),
        # Nobody is left who could be a client, or what stands there is none.
        ("10.0.0.7, 10.0.0.6", "10.0.0.7"),
        ("unknown, 10.0.0.6", "10.0.0.6"),
        ("192.0.2.1, unknown", PEER),
        ("", PEER),
        ("192.0.2.1,", PEER),
    ],
)
def test_the_last_that_is_no_proxy_is_the_client(said: str, found: str) -> None:
    assert client([said], PEER, PROXIES) == found


def test_several_fields_are_one_list() -> None:
    assert client(["203.0.113.9", "192.0.2.1, 10.0.0.6"], PEER, PROXIES) == "192.0.2.1"
    assert client([], PEER, PROXIES) == PEER


def test_who_is_no_proxy_is_not_believed() -> None:
    assert client(["192.0.2.1"], "198.51.100.1", PROXIES) == "198.51.100.1"
    assert is_proxy(PEER, PROXIES)
    assert is_proxy("::ffff:10.0.0.5", PROXIES)
    assert not is_proxy("198.51.100.1", PROXIES)
    assert not is_proxy(None, PROXIES)
    assert not is_proxy("/run/socket", PROXIES)


@given(st.lists(st.text()), st.text())
def test_what_comes_is_an_address_or_the_peer(fields: list[str], end: str) -> None:
    found = client([*fields, end], PEER, PROXIES)

    assert found == PEER or str(ip_address(found)) == found


@given(st.lists(st.ip_addresses().map(str)), st.ip_addresses(v=4, network="192.0.2.0/24").map(str))
def test_nobody_can_add_to_what_a_proxy_appended(made_up: list[str], real: str) -> None:
    assert client([", ".join([*made_up, real])], PEER, PROXIES) == real


@pytest.mark.parametrize(
    ("proxies", "said", "status"),
    [
        (["127.0.0.0/8"], "192.0.2.7", 404),
        (["127.0.0.0/8"], "203.0.113.1", 403),
        (["127.0.0.0/8"], "192.0.2.7, 203.0.113.1", 403),
        (["127.0.0.0/8"], None, 403),
        (["10.0.0.0/8"], "192.0.2.7", 403),
        ([], "192.0.2.7", 403),
    ],
)
async def test_a_key_for_a_network_is_for_who_is_in_it(
    proxies: list[str], said: str | None, status: int, tmp_path: Path
) -> None:
    async def nobody(*_: Any) -> None:
        raise AssertionError

    key = {"name": "test", "key": KEY, "cidrs": ["192.0.2.0/24"]}
    async with (
        scripted(nobody) as url,
        serving(config(url, server={"proxies": proxies}, keys=[key]), tmp_path) as proxy,
    ):
        raw = await proxy.raw()
        headers = {} if said is None else {"x-forwarded-for": said}
        body = b'{"model": "there-is-none", "messages": []}'
        raw.send(request("POST", "/v1/chat/completions", body, headers))
        answer = await raw.answer()

    assert answer.status == status, answer
