from __future__ import annotations

import socket

import pytest

from proxy.upstream.resolver import VettingResolver, is_allowed, sockets


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
    ],
)
def test_a_private_address_needs_permission(address: str) -> None:
    assert not is_allowed(address, allow_private=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_permission_lets_private_addresses_in(address: str) -> None:
    assert is_allowed(address, allow_private=True)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "224.0.0.1",
        "0.0.0.0",
        "nonsense",
    ],
)
def test_metadata_services_are_never_allowed(address: str) -> None:
    assert not is_allowed(address, allow_private=True)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address, allow_private=False)


async def test_a_name_with_only_private_addresses_does_not_resolve() -> None:
    resolver = VettingResolver(allow_private=False)

    with pytest.raises(OSError, match="may be connected to"):
        await resolver.resolve("localhost", 80)
    await resolver.close()


async def test_with_permission_it_resolves() -> None:
    resolver = VettingResolver(allow_private=True)

    found = await resolver.resolve("localhost", 80)

    assert {one["host"] for one in found} <= {"127.0.0.1", "::1"}
    await resolver.close()


@pytest.mark.parametrize(
    ("address", "private"),
    [("127.0.0.1", False), ("::1", False), ("169.254.169.254", True), ("fd00:ec2::254", True)],
)
def test_there_is_no_socket_for_an_address_that_is_not_allowed(address: str, private: bool) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    info = (family, socket.SOCK_STREAM, 0, "", (address, 80))

    with pytest.raises(OSError, match="may not be connected to"):
        sockets(allow_private=private)(info)


def test_there_is_one_for_an_address_that_is() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))

    with sockets(allow_private=True)(info) as made:
        assert (made.family, made.type) == (socket.AF_INET, socket.SOCK_STREAM)
