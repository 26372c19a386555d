from __future__ import annotations

import ipaddress

import pytest

from proxy.core.address import Place, place_of


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
    ],
)
def test_an_address_is_where_its_connection_ends(address: str, place: Place) -> None:
    assert place_of(ipaddress.ip_address(address)) is place
