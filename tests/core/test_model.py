"""Configuration as values: never changed, compared by what they are for, and silent about secrets."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from proxy.core import model
from proxy.core.model import (
    Admin,
    Credential,
    Deployment,
    Model,
    Provider,
    Snapshot,
    Strategy,
    VirtualKey,
)
from proxy.core.secret import Secret

STRUCTS = [
    one
    for _, one in inspect.getmembers(model, inspect.isclass)
    if issubclass(one, msgspec.Struct) and one.__module__ == model.__name__
]
SECRET = Secret("sk-very-secret")


def provider(name: str = "p") -> Provider:
    return Provider(name, "http://p.invalid", {}, (Credential("p#0", SECRET),))


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_nothing_can_be_changed(struct: type[msgspec.Struct]) -> None:
    assert struct.__struct_config__.frozen


def test_a_new_configuration_shares_nothing_that_could_change() -> None:
    one, other = Snapshot(), Snapshot()

    assert one.providers == {}
    assert one.providers is not other.providers
    assert provider().headers is not provider().headers


@pytest.mark.parametrize(
    "make",
    [
        provider,
        lambda: Deployment("m/0:p", provider(), "up"),
        lambda: Model("m", ()),
        lambda: VirtualKey("k", b""),
        Snapshot,
    ],
    ids=["provider", "deployment", "model", "key", "snapshot"],
)
def test_what_is_made_anew_is_another_thing(make: type[msgspec.Struct]) -> None:
    # A reload makes everything anew: what is kept by one of these must not be found by its successor.
    one, other = make(), make()

    assert one != other
    assert len({one, other}) == 2
    assert one == one


def test_credentials_are_the_same_when_they_say_the_same() -> None:
    one, other = Credential("p#0", Secret("a")), Credential("p#0", Secret("a"))

    assert one == other
    assert one != Credential("p#0", Secret("b"))
    assert len({one, other}) == 1


@pytest.mark.parametrize(
    "holder",
    [provider(), Admin(token=SECRET, password=SECRET), Snapshot(providers={"p": provider()})],
    ids=["provider", "admin", "snapshot"],
)
def test_no_way_of_printing_shows_a_secret(holder: object) -> None:
    shown = f"{holder} {holder!r} {holder!s}"

    assert "***" in shown
    assert "very-secret" not in shown


def test_keys_are_kept_as_digests_only() -> None:
    assert set(VirtualKey.__struct_fields__) & {"key", "secret", "token", "value"} == set()


def test_strategies_are_spelled_as_in_a_file() -> None:
    assert [str(one) for one in Strategy] == [
        "p2c",
        "round_robin",
        "weighted_round_robin",
        "random",
        "weighted_random",
        "least_used",
        "least_inflight",
        "ttft",
        "performance",
        "cost",
        "pareto",
        "sticky",
        "prefix",
    ]


def test_without_a_word_said_the_admin_listener_is_on_loopback() -> None:
    assert (Admin().host, Admin().token) == ("127.0.0.1", None)
