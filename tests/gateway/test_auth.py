from __future__ import annotations

import sys
from collections.abc import Callable
from ipaddress import ip_network
from itertools import permutations
from types import FrameType
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.core.errors import ProxyError
from proxy.core.model import Snapshot, VirtualKey
from proxy.core.virtual_key import Pepper, digest, mint
from proxy.gateway.auth import authenticate, check, presented
from proxy.gateway.endpoints import match
from tests.gateway.asked import PEPPER

CARRIERS = {
    "bearer": ({"Authorization": "Bearer {}"}, ""),
    "x-api-key": ({"X-Api-Key": "{}"}, ""),
    "api-key": ({"api-key": "{}"}, ""),
    "x-goog-api-key": ({"X-Goog-Api-Key": "{}"}, ""),
    "?api_key": ({}, "api_key={}"),
    "?key": ({}, "alt=sse&key={}"),
}


def headers(pairs: dict[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def carrying(*carriers: tuple[str, str]) -> tuple[CIMultiDictProxy[str], str]:
    pairs: dict[str, str] = {}
    queries = []
    for carrier, key in carriers:
        fields, query = CARRIERS[carrier]
        pairs |= {name: value.format(key) for name, value in fields.items()}
        if query:
            queries.append(query.format(key))
    return headers(pairs), "&".join(queries)


OLDER = Pepper("older", b"q" * 32)


def snapshot(*keys: VirtualKey, require: bool = True, complete: bool = True) -> Snapshot:
    return Snapshot(
        keys={key.digest: key for key in keys},
        peppers=(PEPPER, OLDER),
        require_auth=require,
        complete=complete,
    )


def key(text: str = "sk-good", *, enabled: bool = True, expires: float | None = None) -> VirtualKey:
    return VirtualKey("app", digest(text, PEPPER), enabled=enabled, expires=expires)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_key_is_found_wherever_it_is_put(carrier: str) -> None:
    fields, query = carrying((carrier, "sk-good"))

    assert authenticate(fields, query, snapshot(key())) is not None


@pytest.mark.parametrize("carriers", list(permutations(CARRIERS, 2)))
def test_two_places_must_agree(carriers: tuple[str, str]) -> None:
    same = carrying((carriers[0], "sk-good"), (carriers[1], "sk-good"))
    different = carrying((carriers[0], "sk-good"), (carriers[1], "sk-other"))

    assert presented(*same) == "sk-good"
    with pytest.raises(ProxyError) as refused:
        presented(*different)
    assert refused.value.ref == "no_auth"


def test_a_repeated_header_with_another_key_is_refused() -> None:
    pairs = CIMultiDict([("x-api-key", "sk-good"), ("X-API-Key", "sk-other")])

    with pytest.raises(ProxyError):
        presented(CIMultiDictProxy(pairs), "")


@pytest.mark.parametrize(
    "fields",
    [
        {"Authorization": "Bearer sk-good", "x-api-key": ""},
        {"Authorization": "Bearer", "x-api-key": "sk-good"},
        {"Authorization": "Bearer ", "x-goog-api-key": "sk-good", "api-key": ""},
        {"Authorization": "", "x-api-key": "sk-good"},
    ],
)
def test_a_place_with_nothing_in_it_holds_no_other_key(fields: dict[str, str]) -> None:
    """Programs that have a variable set to nothing (`ANTHROPIC_API_KEY=`) send its header all the same."""
    assert presented(headers(fields), "") == "sk-good"
    assert authenticate(headers(fields), "", snapshot(key())) is not None


@pytest.mark.parametrize("fields", [{"Authorization": "Bearer "}, {"x-api-key": ""}])
def test_nothing_is_no_key(fields: dict[str, str]) -> None:
    assert presented(headers(fields), "") is None


def test_another_scheme_than_bearer_is_no_key() -> None:
    with pytest.raises(ProxyError):
        presented(headers({"authorization": "Basic c2stZ29vZA=="}), "")


@pytest.mark.parametrize("text", ["", "sk-wrong", "sk-good ", "SK-GOOD", "sk-goo"])
def test_an_unknown_key_is_refused(text: str) -> None:
    with pytest.raises(ProxyError) as refused:
        authenticate(headers({"x-api-key": text}), "", snapshot(key()))
    assert refused.value.ref == "no_auth"


def test_no_key_is_fine_where_none_is_required() -> None:
    assert authenticate(headers({}), "", snapshot(require=False)) is None
    assert authenticate(headers({"x-api-key": "any"}), "", snapshot(require=False)) is None


def test_a_known_key_is_recognised_where_none_is_required() -> None:
    found = authenticate(headers({"x-api-key": "sk-good"}), "", snapshot(key(), require=False))

    assert found is not None


def test_a_disabled_key_is_told_so() -> None:
    with pytest.raises(ProxyError) as refused:
        authenticate(headers({"x-api-key": "sk-good"}), "", snapshot(key(enabled=False)))
    assert (refused.value.ref, refused.value.code) == ("forbid", "key_disabled")


def test_an_expired_key_is_refused() -> None:
    with pytest.raises(ProxyError) as refused:
        authenticate(headers({"x-api-key": "sk-good"}), "", snapshot(key(expires=1.0)))
    assert (refused.value.ref, refused.value.code) == ("forbid", "key_expired")


def test_a_key_of_odd_characters_breaks_nothing() -> None:
    with pytest.raises(ProxyError):
        authenticate(headers({"x-api-key": "\udcff\u20ac"}), "", snapshot(key()))


def test_a_key_is_known_under_any_pepper() -> None:
    older = VirtualKey("older", digest("sk-older", OLDER))

    found = authenticate(headers({"x-api-key": "sk-older"}), "", snapshot(key(), older))

    assert found is older


def test_two_keys_that_begin_alike_are_two_keys() -> None:
    """I20: a cache that knew keys by their first 20 characters once gave one caller another's session."""
    text = mint().reveal()
    same = text[:20] + mint().reveal()[20:]
    mine = VirtualKey("mine", digest(text, PEPPER))
    other = VirtualKey("other", digest(same, PEPPER))

    assert authenticate(headers({"x-api-key": text}), "", snapshot(mine, other)) is mine
    assert authenticate(headers({"x-api-key": same}), "", snapshot(mine, other)) is other
    with pytest.raises(ProxyError):
        authenticate(headers({"x-api-key": same}), "", snapshot(mine))
    with pytest.raises(ProxyError):
        authenticate(headers({"x-api-key": text[:20]}), "", snapshot(mine, other))


class TestNobodyKnowsYet:
    """The store was never read: what is not known is not known to be wrong."""

    def test_an_unknown_key_is_asked_to_come_back(self) -> None:
        with pytest.raises(ProxyError) as refused:
            authenticate(headers({"x-api-key": "sk-new"}), "", snapshot(key(), complete=False))

        assert (refused.value.ref, refused.value.row.status) == ("no_state", 503)
        assert refused.value.retry_after is not None

    def test_a_key_of_the_file_is_served(self) -> None:
        known = snapshot(key(), complete=False)

        assert authenticate(headers({"x-api-key": "sk-good"}), "", known) is not None

    def test_where_keys_exist_none_is_wrong_whatever_the_store_says(self) -> None:
        with pytest.raises(ProxyError) as refused:
            authenticate(headers({}), "", snapshot(key(), complete=False))

        assert refused.value.ref == "no_auth"

    def test_where_none_is_known_to_exist_none_may_be_right(self) -> None:
        with pytest.raises(ProxyError) as refused:
            authenticate(headers({}), "", snapshot(complete=False))

        assert refused.value.ref == "no_state"

    def test_two_different_keys_are_wrong_all_the_same(self) -> None:
        with pytest.raises(ProxyError) as refused:
            authenticate(headers({"x-api-key": "a", "api-key": "b"}), "", snapshot(complete=False))

        assert refused.value.code == "conflicting_keys"

    def test_where_no_key_is_needed_nobody_waits(self) -> None:
        open_to_all = snapshot(require=False, complete=False)

        assert authenticate(headers({"x-api-key": "any"}), "", open_to_all) is None


def calls_of(action: Callable[[], object]) -> list[str]:
    """Every function it calls, in C too, in order."""
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            called.append(frame.f_code.co_qualname)
        elif event == "c_call":
            called.append(argument.__qualname__)

    sys.setprofile(note)
    try:
        action()
    except ProxyError:
        pass
    finally:
        sys.setprofile(None)
    return called[:-1]  # setprofile itself


def test_no_wrong_key_costs_less_than_another() -> None:
    """I2: what a guess costs says nothing about how near it came. Timing would say so some of the time, this always."""
    text = mint().reveal()
    known = snapshot(VirtualKey("app", digest(text, PEPPER)))
    wrong = {
        "another of ours": mint().reveal(),
        "wrong check digits": text[:-1] + ("1" if text[-1] == "0" else "0"),
        "almost right": "sk-hr-" + text[6:20] + mint().reveal()[20:],
        "malformed": "sk-hr-",
        "of another vendor": "sk-ant-api03-0123456789",
        "one character": "x",
        "long": "x" * 4000,
    }

    def cost(guess: str) -> list[str]:
        return calls_of(lambda: authenticate(headers({"x-api-key": guess}), "", known))

    cost("the first of all, for which each pepper is made a key of, once")
    costs = {kind: cost(guess) for kind, guess in wrong.items()}
    right = cost(text)

    first = costs["another of ours"]
    assert "digest" in first
    assert all(cost == first for cost in costs.values()), costs
    # The right one is found under the first pepper and not looked for under the second.
    assert right == first[: len(right)]


CHAT, MODELS = match("POST", "/v1/chat/completions"), match("GET", "/v1/models")


@pytest.mark.parametrize(
    ("routes", "chat", "models"),
    [
        ((), True, True),
        (("/v1/chat/completions",), True, False),
        (("chat",), True, False),
        (("/v1/*",), True, True),
        (("mod*",), False, True),
        (("models", "chat"), True, True),
        (("*",), True, True),
        (("/v1/chat",), False, False),
        (("CHAT",), False, False),
        (("embeddings",), False, False),
    ],
)
def test_a_key_is_held_to_its_routes(routes: tuple[str, ...], chat: bool, models: bool) -> None:
    assert CHAT is not None
    assert MODELS is not None
    one = VirtualKey("app", b"", routes=routes)

    for endpoint, allowed in ((CHAT[0], chat), (MODELS[0], models)):
        if allowed:
            check(one, endpoint, "192.0.2.1")
            continue
        with pytest.raises(ProxyError) as refused:
            check(one, endpoint, "192.0.2.1")
        assert (refused.value.row.status, refused.value.code) == (403, "route_not_allowed")


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::7", True),
        ("11.0.0.1", False),
        ("::ffff:11.0.0.1", False),
        ("2001:db9::7", False),
        ("fe80::1%eth0", False),
        ("", False),
        (None, False),
        ("unix:/run/x", False),
    ],
)
def test_a_key_is_held_to_its_networks(peer: str | None, allowed: bool) -> None:
    assert CHAT is not None
    one = VirtualKey("app", b"", cidrs=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")))

    if allowed:
        check(one, CHAT[0], peer)
        return
    with pytest.raises(ProxyError) as refused:
        check(one, CHAT[0], peer)
    assert (refused.value.row.status, refused.value.code) == (403, "address_not_allowed")
