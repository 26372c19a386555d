"""What tells of a person is kept from providers, and comes back."""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import phonenumbers  # noqa: F401 - its first import takes its time
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hooks import Piece, Request, Window
from proxy.hooks.pii import Masking, Restoring, hook

_MADE = hook(region="US")
assert isinstance(_MADE, Restoring)
ALL: Restoring = _MADE


def masked(text: str, made: Masking = ALL) -> str:
    request = asked(text)
    made.before_route(request)
    said: str = request.field("prompt")
    return said


def asked(text: Any) -> Request:
    return Request({"prompt": msgspec.json.encode(text)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to Ann.Lee+x@mail.example.co.uk.", "write to [EMAIL_1]."),
        ("a@b, @home and x@y.z", "a@b, @home and x@y.z"),
        ("call +44 20 7946 0958 now", "call [PHONE_1] now"),
        ("or (650) 253-0000", "or [PHONE_1]"),
        ("order 12, 10:30, 1.234,56, 2026-11-27", "order 12, 10:30, 1.234,56, 2026-11-27"),
        ("card 4111 1111 1111 1111 and 4111111111111112", "card [CARD_1] and 4111111111111112"),
        ("DE89 3704 0044 0532 0130 00, GB82WEST12345698765432", "[IBAN_1], [IBAN_2]"),
        ("DE89 3704 0044 0532 0130 01", "DE89 3704 0044 0532 0130 01"),
        ("card 4111111111111111 12/27", "card [CARD_1] 12/27"),
        ("4111 1111 1111 1111 123", "[CARD_1] 123"),
        ("1234 4111 1111 1111 1111", "1234 [CARD_1]"),
        ("3782 822463 10005 1234", "[CARD_1] 1234"),
        ("7 4111111111111111-27", "7 [CARD_1]-27"),
        ("4111111111111111 4242424242424242", "[CARD_1] [CARD_2]"),
        ("AT611904300234573201 BIC OPSKATWW", "[IBAN_1] BIC OPSKATWW"),
        ("ES91 2100 0418 4502 0005 1332 EUR 100", "[IBAN_1] EUR 100"),
        ("NO12 ES91 2100 0418 4502 0005 1332", "NO12 [IBAN_1]"),
        ("max@müller.example", "[EMAIL_1]"),
        ("写给 max@mail.example谢谢", "写给 [EMAIL_1]谢谢"),
        ("a@b.example, c@d.example, a@b.example", "[EMAIL_1], [EMAIL_2], [EMAIL_1]"),
        ("[EMAIL_1] is mine: a@b.example", "[EMAIL_1] is mine: [EMAIL_2]"),
    ],
)
def test_what_has_the_form_and_passes_its_check(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_many_are_found_in_time() -> None:
    text = " ".join(f"a{number}@b.example" for number in range(20_000))

    assert masked(text, hook(kinds=["email", "card"])).endswith("[EMAIL_20000]")


def test_without_a_country_only_what_names_one() -> None:
    assert masked("(650) 253-0000, +1 650 253 0000", hook()) == "(650) 253-0000, [PHONE_1]"


def test_only_the_kinds_that_are_wanted() -> None:
    made = hook(kinds=["card"], restore=False)

    assert masked("a@b.example 4111111111111111", made) == "a@b.example [CARD_1]"
    assert not isinstance(made, Restoring)


def test_another_turn_at_the_end_changes_no_number() -> None:
    first = Request({"messages": b'[{"content":"a@b.example"}]'})
    second = Request(
        {"messages": b'[{"content":"a@b.example"},{"content":"c@d.example a@b.example"}]'}
    )
    for request in (first, second):
        ALL.before_route(request)

    assert [word.text for word in second.words()] == ["[EMAIL_1]", "[EMAIL_2] [EMAIL_1]"]
    assert [word.text for word in first.words()] == ["[EMAIL_1]"]


def test_placeholders_that_stay_in_answers_change_no_number_either() -> None:
    messages = (
        b'[{"content":"a@b.example"},{"content":"Hello [EMAIL_1]"},{"content":"c@d.example"}]'
    )
    request = Request({"messages": messages})

    hook(kinds=["email"], restore=False).before_route(request)

    assert [word.text for word in request.words()] == ["[EMAIL_1]", "Hello [EMAIL_1]", "[EMAIL_2]"]


def test_json_in_a_string_stays_json() -> None:
    arguments = '\n{"to":"a@b.example","number":4111111111111111,"list":[" (650) 253-0000"],"c@d.example":1}'
    call = [{"tool_calls": [{"function": {"name": "mail", "arguments": arguments}}]}]
    request = Request({"messages": msgspec.json.encode(call)})

    ALL.before_route(request)

    (word,) = request.words()
    assert msgspec.json.decode(word.text) == {
        "to": "[EMAIL_1]",
        "number": 4111111111111111,
        "list": [" [PHONE_1]"],
        "[EMAIL_2]": 1,
    }


def test_nothing_found_changes_nothing() -> None:
    request = asked("hello")
    ALL.before_route(request)

    assert request.changes() == {}


def restored(request: Request, pieces: Sequence[str]) -> str:
    said = held = ""
    for piece, final in [*((one, False) for one in pieces), ("", True)]:
        work: Coroutine[Any, Any, Piece | None] = ALL.screen(
            request, Window(held + piece, said, final)
        )
        with pytest.raises(StopIteration) as over:
            work.send(None)
        found: Piece | None = over.value.value
        if found is None:
            found = Piece(held + piece)
        assert len(found.held) <= Restoring.needs
        said, held = said + found.text, found.held
    assert held == ""
    return said


PARTS = st.lists(
    st.sampled_from(["[EMAIL_1]", "[EMAIL_2]", "[PHONE_1]", "[EMAIL_12]", "[", "EMAIL", "_1]", "[CARD", " x"]),
    max_size=8,
)  # fmt: skip


@given(PARTS, st.lists(st.integers(0, 100), max_size=10))
def test_values_come_back_however_an_answer_is_cut(parts: list[str], at: list[int]) -> None:
    request = asked("a@b.example c@d.example +1 650 253 0000")
    ALL.before_route(request)
    text = "".join(parts)
    places = sorted({0, len(text), *(place % (len(text) + 1) for place in at)})

    said = restored(request, [text[one:other] for one, other in pairwise(places)])

    for name, value in (
        ("[EMAIL_1]", "a@b.example"),
        ("[EMAIL_2]", "c@d.example"),
        ("[PHONE_1]", "+1 650 253 0000"),
    ):
        text = text.replace(name, value)
    assert said == text


def test_a_request_without_any_is_not_held_up() -> None:
    request = asked("hello")
    ALL.before_route(request)

    assert restored(request, ["a [EMAIL", "_1]"]) == "a [EMAIL_1]"


@given(st.text(alphabet="a@.-1+ [4DE\n", max_size=60))
def test_no_text_is_too_odd(text: str) -> None:
    request = asked(text)
    ALL.before_route(request)

    assert restored(request, [request.field("prompt")]) == text


@pytest.mark.parametrize("text", ["a" * 50_000, "1" * 50_000, "a@" * 25_000, "DE12 " * 10_000])
def test_no_text_takes_for_ever(text: str) -> None:
    hook(kinds=["email", "card", "iban"]).before_route(asked(text))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kinds": []}, "some of"),
        ({"kinds": "email"}, "some of"),
        ({"kinds": ["name"]}, "some of"),
        ({"region": "Germany"}, "two letters"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        hook(**options)


def test_telephone_numbers_need_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phonenumbers", None)

    with pytest.raises(ValueError, match="extra pii"):
        hook()
    assert masked("a@b.example", hook(kinds=["email"])) == "[EMAIL_1]"
