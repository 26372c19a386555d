"""What is sealed opens in its place, under its key, unchanged; and nowhere else."""

from __future__ import annotations

import pickle
import secrets as random
from string import ascii_letters, digits

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import vault
from proxy.core.secret import Secret
from proxy.core.vault import Unopened, Vault, WeakKey, kid_of

OLD, NEW = Secret("r8Kq2mZx0VbTn4Wc7LpYs1HdJf6GuAeE"), Secret("Zt5wQ9oXk3NvR7yBc1MhL8sDfP0aGj2U")
VAULT = Vault([OLD])

BASE64 = ascii_letters + digits + "-_"
places = st.from_regex(r"[a-z]{1,10}/[0-9]{1,9}", fullmatch=True)
values = st.binary(max_size=200)


@given(values, places)
def test_what_is_sealed_opens_in_its_place(value: bytes, place: str) -> None:
    sealed = VAULT.seal(value, place)

    assert VAULT.open(sealed, place) == value
    assert kid_of(sealed) == VAULT.kids[0]


@given(st.text(min_size=1), st.binary(max_size=40), st.integers(1, 32))
def test_keys_are_stretched_as_the_library_of_the_ciphers_does_it(
    text: str, purpose: bytes, length: int
) -> None:
    outside = HKDF(SHA256(), length, salt=None, info=purpose).derive(text.encode())

    assert vault._derived(text, purpose, length) == outside


@given(values, places, places)
def test_it_opens_in_no_other_place(value: bytes, place: str, other: str) -> None:
    if place == other:
        other += "0"
    with pytest.raises(Unopened):
        VAULT.open(VAULT.seal(value, place), other)


@given(values, st.data())
def test_no_character_of_it_can_be_changed(value: bytes, data: st.DataObject) -> None:
    sealed = VAULT.seal(value, "credential/1")
    at = data.draw(st.integers(0, len(sealed) - 1))
    signs = BASE64 + "=. +/\n"
    # What is sealed differs each time: what is drawn must not depend on it.
    chosen = data.draw(st.integers(0, len(signs) - 1))
    other = signs[chosen] if signs[chosen] != sealed[at] else signs[chosen - 1]

    with pytest.raises(Unopened):
        VAULT.open(sealed[:at] + other + sealed[at + 1 :], "credential/1")


@given(st.text(max_size=120) | st.from_regex(r"v1\.[\w-]{8}\.[\w-]{16}\.[\w-]{0,60}"))
def test_nothing_else_opens(text: str) -> None:
    with pytest.raises(Unopened):
        VAULT.open(text, "credential/1")


@pytest.mark.parametrize("text", ["", "v1", "v1...", "v2.a.b.c", "sk-plain-key", "v1.é.é.é"])
def test_what_is_no_sealed_value_names_no_key(text: str) -> None:
    assert kid_of(text) == ""


def test_no_two_sealed_values_are_alike() -> None:
    assert len({VAULT.seal(b"same", "credential/1") for _ in range(100)}) == 100


def test_the_first_key_seals_and_every_key_opens() -> None:
    before = VAULT.seal(b"value", "credential/1")
    both = Vault([NEW, OLD])

    assert both.open(before, "credential/1") == b"value"
    assert kid_of(both.seal(b"value", "credential/1")) == Vault([NEW]).kids[0] == both.kids[0]
    with pytest.raises(Unopened, match=VAULT.kids[0]):
        Vault([NEW]).open(before, "credential/1")


def test_a_key_given_twice_is_one_key() -> None:
    assert Vault([OLD, NEW, OLD]).kids == Vault([OLD, NEW]).kids


WEAK = {
    "short": "r8Kq2mZx0VbTn4Wc7LpYs1HdJf6GuAe",
    "empty": "",
    "blank": " " * 40,
    "one character": "a" * 40,
    "a few characters": "abcabdab" * 5,
    "a sample": "CHANGE-ME-aZ3kQ8vN1xW7rT5yB9cM2pL6",
    "a description": "your-32-byte-master-key-goes-here",
    "a row of digits": "0123456789abcdef0123456789abcdef",
    "another secret": NEW.reveal(),
}


@pytest.mark.parametrize("kind", WEAK)
def test_a_weak_key_is_refused_and_not_shown(kind: str) -> None:
    with pytest.raises(WeakKey, match="master key 2") as refused:
        Vault([OLD, Secret(WEAK[kind])], not_these=[NEW])

    assert not WEAK[kind].strip() or WEAK[kind] not in str(refused.value)


def test_without_any_key_there_is_no_vault() -> None:
    with pytest.raises(WeakKey):
        Vault([])


@pytest.mark.parametrize(
    "make",
    [
        lambda: random.token_urlsafe(32),
        lambda: random.token_hex(16),
        lambda: random.token_hex(32),
        lambda: "".join(random.choice(ascii_letters + digits + "!#%&+<=>?${}~") for _ in range(32)),
    ],
    ids=["base64", "hexadecimal", "long hexadecimal", "any sign"],
)
def test_a_random_key_is_good(make: object) -> None:
    assert callable(make)
    for _ in range(50):
        assert Vault([Secret(make())]).kids


def test_white_space_around_a_key_is_not_part_of_it() -> None:
    assert Vault([Secret(f"{OLD.reveal()}\n")]).kids == VAULT.kids


def test_it_never_shows_its_keys() -> None:
    both = Vault([OLD, NEW])

    for shown in (repr(both), str(both), f"{both}"):
        assert shown == f"Vault({both.kids[0]}, {both.kids[1]})"
    with pytest.raises(TypeError):
        pickle.dumps(both)
