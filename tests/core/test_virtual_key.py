"""Keys: 256 random bits that check themselves, and what is kept of them gives none away."""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from string import printable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import virtual_key
from proxy.core.secret import Secret
from proxy.core.virtual_key import (
    ADMIN_PREFIX,
    PREFIX,
    Digest,
    Pepper,
    digest,
    is_wellformed,
    kept,
    mint,
    rotated,
)

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PEPPER = Pepper("2026-a", b"p" * 32)
prefixes = st.sampled_from([PREFIX, ADMIN_PREFIX])


def number(text: str) -> int:
    """The number these base-62 digits stand for."""
    value = 0
    for digit in text:
        value = value * 62 + DIGITS.index(digit)
    return value


@given(prefixes)
def test_a_key_has_256_bits_and_its_check_digits(prefix: str) -> None:
    text = mint(prefix).reveal()
    found = re.fullmatch(prefix + r"([0-9A-Za-z]{8})-([0-9A-Za-z]{43})([0-9A-Za-z]{6})", text)

    assert found is not None
    assert number(found[2]) < 2**256
    assert number(found[3]) == zlib.crc32(text[:-6].encode())
    assert is_wellformed(text, prefix)
    other = PREFIX if prefix == ADMIN_PREFIX else ADMIN_PREFIX
    assert not is_wellformed(text, other)


def test_no_bit_of_a_key_is_always_the_same() -> None:
    ones = zeros = 0
    for _ in range(200):
        value = number(mint().reveal()[-49:-6])
        ones |= value
        zeros |= ~value

    assert ones == 2**256 - 1
    assert zeros & (2**256 - 1) == 2**256 - 1


def test_the_largest_secret_has_as_many_characters_as_the_smallest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for value in (0, 1, 2**256 - 1):
        monkeypatch.setattr("secrets.randbits", lambda _bits, value=value: value)

        assert is_wellformed(mint().reveal())


@given(prefixes, st.data())
def test_no_character_can_be_changed(prefix: str, data: st.DataObject) -> None:
    text = mint(prefix).reveal()
    at = data.draw(st.integers(0, len(text) - 1))
    sign = data.draw((st.sampled_from(printable) | st.characters()).filter(lambda c: c != text[at]))

    assert not is_wellformed(text[:at] + sign + text[at + 1 :], prefix)


@given(st.text(max_size=80))
def test_any_other_text_is_no_key(text: str) -> None:
    assert not is_wellformed(text)
    assert not is_wellformed(PREFIX + text)


def test_a_digest_is_an_hmac_of_the_whole_key() -> None:
    text = mint().reveal()

    expected = hmac.new(PEPPER.secret, text.encode(), hashlib.sha256).digest()
    assert digest(text, PEPPER) == expected
    assert digest(text, Pepper("other", b"q" * 32)) != expected
    assert digest(text[:-1], PEPPER) != expected


@given(st.binary(min_size=1, max_size=200), st.text(st.characters(codec="utf-8"), max_size=200))
def test_a_digest_is_the_one_of_the_standard_library(secret: bytes, text: str) -> None:
    assert digest(text, Pepper("", secret)) == hmac.digest(secret, text.encode(), "sha256")


def test_a_text_that_no_header_can_hold_has_a_digest_too() -> None:
    assert len(digest("\udcff\u20ac", PEPPER)) == 32


def test_what_is_kept_of_a_key_shows_its_ends_alone() -> None:
    for prefix in (PREFIX, ADMIN_PREFIX):
        key = mint(prefix)
        text = key.reveal()
        one = kept(key, PEPPER, until=9.0)

        assert text.startswith(f"{prefix}{one.id}-")
        assert len(one.id) == 8
        assert text.endswith(one.last4)
        assert one.digest == digest(text, PEPPER).hex()
        assert (one.pepper, one.until) == ("2026-a", 9.0)
        assert text[len(prefix) + 9 : -4] not in repr(msgspec.to_builtins(one))


def test_nothing_but_the_last_characters_is_shown_of_a_key_that_is_not_ours() -> None:
    assert kept(Secret("sk-other-vendor-1234567890"), PEPPER).id == ""


def test_peppers_and_digests_do_not_show_themselves() -> None:
    one = kept(mint(), PEPPER)

    assert repr(PEPPER) == str(PEPPER) == f"{PEPPER}" == "Pepper(2026-a)"
    assert one.digest not in f"{one} {one!r} {[one]}"


def test_what_is_stored_can_be_read_again() -> None:
    both = [kept(mint(), PEPPER), kept(mint(), PEPPER, until=5.0)]

    assert virtual_key.digests(virtual_key.private(both)) == both
    assert virtual_key.digests(b"") == []
    with pytest.raises(ValueError, match="object"):
        virtual_key.digests(b"[1]")


class TestRotated:
    """A key is replaced while its users learn the new one."""

    def test_both_are_good_for_a_while(self) -> None:
        old = kept(mint(), PEPPER)

        key, private = rotated(virtual_key.private([old]), PEPPER, 3600, now=1000.0)

        new, before = virtual_key.digests(private)
        assert new == kept(key, PEPPER)
        assert before == msgspec.structs.replace(old, until=4600.0)

    def test_without_overlap_the_old_one_is_gone(self) -> None:
        key, private = rotated(virtual_key.private([kept(mint(), PEPPER)]), PEPPER, 0, now=1000.0)

        assert virtual_key.digests(private) == [kept(key, PEPPER)]

    def test_what_was_to_end_sooner_ends_sooner_and_what_ended_is_dropped(self) -> None:
        ending, ended = kept(mint(), PEPPER, until=1010.0), kept(mint(), PEPPER, until=1000.0)

        _, private = rotated(virtual_key.private([ending, ended]), PEPPER, 3600, now=1000.0)

        assert virtual_key.digests(private)[1:] == [ending]

    def test_a_second_rotation_gives_the_first_no_more_time(self) -> None:
        _, once = rotated(virtual_key.private([kept(mint(), PEPPER)]), PEPPER, 60, now=1000.0)
        _, twice = rotated(once, PEPPER, 60, now=1030.0)

        assert [one.until for one in virtual_key.digests(twice)] == [None, 1090.0, 1060.0]

    def test_a_service_token_stays_one(self) -> None:
        key, _ = rotated(b"", PEPPER, 0, now=1000.0, prefix=ADMIN_PREFIX)

        assert is_wellformed(key.reveal(), ADMIN_PREFIX)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.lists(st.none() | st.floats(0, 2e6), max_size=5))
def test_no_rotation_makes_an_old_key_live_longer(
    now: float, overlap: float, ends: list[float | None]
) -> None:
    before = [Digest(str(n), "last", "00", "p", until) for n, until in enumerate(ends)]

    _, private = rotated(virtual_key.private(before), PEPPER, overlap, now)

    new, *old = virtual_key.digests(private)
    assert new.until is None
    for one in old:
        had = before[int(one.id)].until
        assert one.until is not None
        assert now < one.until <= now + overlap
        assert had is None or one.until <= had
