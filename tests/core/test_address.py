from __future__ import annotations

import ipaddress

import pytest

from proxy.core.address import Place, is_loopback, network_of, place_of


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("1.1.1.1", Place.PUBLIC),
        ("2606:4700::1111", Place.PUBLIC),
        ("10.0.0.1", Place.PRIVATE),
        ("127.0.0.1", Place.PRIVATE),
        ("::1", Place.PRIVATE),
        ("224.0.0.1", Place.PRIVATE),
        ("169.254.169.254", Place.METADATA),
        ("fd00:ec2::254", Place.METADATA),
        ("100.100.100.200", Place.METADATA),
        ("168.63.129.16", Place.METADATA),
        ("::ffff:169.254.169.254", Place.METADATA),
        ("64:ff9b::a9fe:a9fe", Place.METADATA),
        ("2002:7f00:1::", Place.PRIVATE),
        ("64:ff9b::808:808", Place.PUBLIC),
        ("64:ff9b::7f00:1", Place.PRIVATE),
        ("64:ff9b:1::808:808", Place.PRIVATE),
        ("::ffff:0:7f00:1", Place.PRIVATE),
        ("::ffff:0:a9fe:a9fe", Place.METADATA),
        ("2606:4700::5efe:7f00:1", Place.PRIVATE),
        ("2606:4700::200:5efe:a9fe:a9fe", Place.METADATA),
        ("2606:4700::5efe:808:808", Place.PUBLIC),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Place.PRIVATE),
        ("fec0::1", Place.PRIVATE),
        ("3fff::1", Place.PRIVATE),
        ("5f00::1", Place.PRIVATE),
        ("4000::1", Place.PRIVATE),
        ("192.88.99.1", Place.PRIVATE),
        ("192.0.0.192", Place.METADATA),
        ("fd20:ce::254", Place.METADATA),
    ],
)
def test_an_address_is_where_its_connection_ends(address: str, place: Place) -> None:
    assert place_of(ipaddress.ip_address(address)) is place


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "20010db800000000"),
        ("fe80::1%eth0", "fe80000000000000"),
        ("", ""),
        ("not:an:address", "not:an:address"),
    ],
)
def test_whom_an_address_stands_for(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_what_only_this_machine_reaches(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
