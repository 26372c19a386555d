from __future__ import annotations

from typing import Any

import pytest

from proxy.control.admin.carried import Bound, Variables, is_left_out, is_sealed, seal, unseal
from proxy.core.secret import Secret
from proxy.core.vault import Unopened, Vault

VAULT = Vault([Secret("vuXu1dZTfW0pVnNq7dJmYzr5o2kQhL8c")])
OTHER = Vault([Secret("Zq8wFhT2nB6vKx0cRj4mLy7sPd1gUe5a")])
PLACE = {"base_url": "https://a.example/v1"}


def test_what_was_sealed_opens_for_its_purpose() -> None:
    sealed = seal(VAULT, "credential", "sk-1", Bound.of(PLACE, None))

    assert sealed.startswith("headrace:v1.")
    assert is_sealed(sealed)
    assert "sk-1" not in sealed
    assert unseal(VAULT, "credential", sealed, Bound.of(PLACE, None)) == "sk-1"


@pytest.mark.parametrize("vault", [None, OTHER])
def test_it_does_not_open_without_its_key(vault: Vault | None) -> None:
    with pytest.raises(Unopened):
        unseal(vault, "key", seal(VAULT, "key", {}))


def test_it_does_not_open_for_another_purpose() -> None:
    with pytest.raises(Unopened):
        unseal(VAULT, "key", seal(VAULT, "credential", "x"))


@pytest.mark.parametrize("text", ["headrace:", "headrace:v1.x", "headrace:v1.a.b.c", "x"])
def test_what_is_no_sealed_text_does_not_open(text: str) -> None:
    with pytest.raises(Unopened):
        unseal(VAULT, "key", text)


@pytest.mark.parametrize(
    "block",
    [
        {"base_url": "https://b.example/v1"},
        {"base_url": "http://a.example/v1"},
        {"base_url": "https://a.example:8443/v1"},
        {"base_url": "https://a.example/v1", "verify_tls": False},
        {"preset": "openai"},
        {},
    ],
)
def test_it_does_not_open_for_another_host(block: dict[str, Any]) -> None:
    sealed = seal(VAULT, "credential", "sk-1", Bound.of(PLACE, None))

    with pytest.raises(Unopened):
        unseal(VAULT, "credential", sealed, Bound.of(block, None))


@pytest.mark.parametrize("url", ["https://a.example", "https://A.example:443/v2/"])
def test_it_opens_for_another_path_of_the_same_host(url: str) -> None:
    sealed = seal(VAULT, "credential", "sk-1", Bound.of(PLACE, None))

    assert unseal(VAULT, "credential", sealed, Bound.of({"base_url": url}, None)) == "sk-1"


@pytest.mark.parametrize(
    ("place", "sealed_for", "now", "opens"),
    [
        ("http://10.0.0.1", None, "http://10.0.0.2:3128", False),
        ("http://10.0.0.1", "http://10.0.0.2:3128", "http://10.0.0.2:3128", True),
        ("http://10.0.0.1", "http://10.0.0.2:3128", None, True),
        ("http://10.0.0.1", "http://10.0.0.2:3128", "http://10.0.0.3:3128", False),
        ("https://a.example", None, "http://10.0.0.2:3128", True),
    ],
)
def test_a_proxy_that_could_read_it_has_to_be_the_one_it_was_sealed_with(
    place: str, sealed_for: str | None, now: str | None, opens: bool
) -> None:
    block = {"base_url": place}
    sealed = seal(VAULT, "credential", "sk-1", Bound.of(block, sealed_for))

    try:
        opened = unseal(VAULT, "credential", sealed, Bound.of(block, now)) == "sk-1"
    except Unopened:
        opened = False
    assert opened is opens


@pytest.mark.parametrize(
    ("value", "left_out"),
    [
        (None, True),
        ("***", True),
        ("${HEADRACE_KEY_1}", True),
        ("x${HEADRACE_KEY_1}", False),
        ("${A}${B}", False),
        ("${A:-b}", False),
        ("", False),
        ("sk-1", False),
        (1, False),
        ([], False),
    ],
)
def test_what_stands_for_a_secret_that_is_left_out(value: object, left_out: bool) -> None:
    assert is_left_out(value) is left_out


def test_no_two_variables_have_one_name() -> None:
    names = Variables()

    found = [names.reference(*words) for words in (("a-b", "key"), ("a_b", "key"), ("é", "key"))]

    assert found == ["${HEADRACE_A_B_KEY}", "${HEADRACE_A_B_KEY_2}", "${HEADRACE_X_KEY}"]
