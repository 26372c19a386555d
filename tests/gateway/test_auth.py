from __future__ import annotations

from itertools import permutations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.core.errors import ProxyError
from proxy.core.model import Snapshot, VirtualKey
from proxy.core.virtual_key import digest
from proxy.gateway.auth import authenticate, presented
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


def snapshot(*keys: VirtualKey, require: bool = True) -> Snapshot:
    return Snapshot(keys={key.digest: key for key in keys}, peppers=(PEPPER,), require_auth=require)


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
