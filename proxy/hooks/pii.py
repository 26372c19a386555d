"""What tells of a person is kept from providers: a hook that comes along, and an example of one.

    hooks:
      - name: pii
        options: {kinds: [email, phone, card, iban], region: DE}

E-mail addresses, telephone numbers, card numbers and IBANs of a request are replaced by `[EMAIL_1]`, `[PHONE_1]`, …,
the same value by the same placeholder each time; and where the answer has one of these placeholders, streamed or not,
the client is given the value again. A conversation that is sent once more with another turn at its end is numbered as
before, so that what a provider keeps of a prompt still fits.

Found is what has the form, and passes the check that the form has: Luhn's sum (ISO/IEC 7812-1) for cards, the remainder
of 97 (ISO 13616) for IBANs, the numbering plan of the country for telephone numbers (the extra `pii`: Google's
libphonenumber). Names and addresses of people have no form, and are not found.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from string import ascii_uppercase
from typing import Any

import msgspec

from proxy.hooks.documents import Request, Word
from proxy.hooks.points import Piece, Window

Span = tuple[int, int]
Finder = Callable[[str], Iterable[Span]]

_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w+%-][\w.+%-]{0,63}@(?:[\w-]{1,63}\.){1,8}[A-Za-z][A-Za-z0-9-]{1,62}"
)
_CARD = re.compile(
    r"(?<![\d.])(?=[3-6]|2[2-7])"
    r"(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{5})(?!\d)"
)
"""As issuers number and write them: then other digits may stand beside it, the month it ends in for instance."""
_ANY_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?!\d)")
"""However it is written."""
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
_IBAN_LEAST = 15
_PLACEHOLDER = re.compile(r"\[(?:EMAIL|PHONE|CARD|IBAN)_\d{1,9}\]")
_BEGINNING = re.compile(r"\[[A-Z]{0,5}(?:(?<=[A-Z])_\d{0,9})?\Z")
_LONGEST = len("[EMAIL_999999999]")
_NOTE = "values"


def hook(
    kinds: Sequence[str] = ("email", "phone", "card", "iban"),
    region: str | None = None,
    restore: bool = True,
) -> Masking:
    """What the configuration calls `pii`.

    `region`: whose national numbers are telephone numbers too (two letters, ISO 3166-1); None: only what begins with
    `+` and a country. `restore`: answers have the values again.
    """
    if isinstance(kinds, str) or not kinds or not set(kinds) <= set(FINDERS):
        raise ValueError(f"kinds: some of {', '.join(FINDERS)}")
    made = {name: FINDERS[name](region) for name in FINDERS if name in kinds}
    return Restoring(made) if restore else Masking(made)


class Masking:
    """Point: before_route."""

    def __init__(self, finders: Mapping[str, Finder]) -> None:
        self._finders = finders

    def before_route(self, request: Request) -> None:
        """Put placeholders into all that is said in it."""
        words = list(request.words())
        values = _Values(self._taken(words))
        for word in words:
            word.text = self._masked(word, values)
        request.notes[_NOTE] = values.of

    def _taken(self, words: Iterable[Word]) -> set[str]:
        """Placeholders that stand for nothing here: none, for one that a client sends is one that it was given."""
        return set()

    def _masked(self, word: Word, values: _Values) -> str:
        text = word.text
        if word.kind == "arguments" and text.lstrip()[:1] in ("{", "["):
            # JSON in a string: only its strings may become others.
            try:
                found = msgspec.json.decode(text)
            except (ValueError, RecursionError):
                return self._placed(text, values)
            masked = self._inside(found, values)
            return text if masked == found else msgspec.json.encode(masked).decode()
        return self._placed(text, values)

    def _inside(self, value: Any, values: _Values) -> Any:
        if isinstance(value, str):
            return self._placed(value, values)
        if isinstance(value, list):
            return [self._inside(item, values) for item in value]
        if isinstance(value, dict):
            return {
                self._placed(name, values): self._inside(item, values)
                for name, item in value.items()
            }
        return value

    def _placed(self, text: str, values: _Values) -> str:
        """The text with placeholders, the first kind that claims a place having it."""
        spans: list[tuple[int, int, str]] = []  # sorted
        for kind, finder in self._finders.items():
            for start, end in finder(text):
                place = bisect_left(spans, (start,))
                if (not place or spans[place - 1][1] <= start) and (
                    place == len(spans) or spans[place][0] >= end
                ):
                    spans.insert(place, (start, end, kind))
        if not spans:
            return text
        out, at = [], 0
        for start, end, kind in spans:
            out += [text[at:start], values.placeholder(kind, text[start:end])]
            at = end
        return "".join((*out, text[at:]))


class Restoring(Masking):
    """Points: before_route, screen."""

    needs = _LONGEST
    """Characters that it has to be able to hold back."""

    def _taken(self, words: Iterable[Word]) -> set[str]:
        """What the client writes itself: it was given values, not placeholders."""
        return {found for word in words for found in _PLACEHOLDER.findall(word.text)}

    async def screen(self, request: Request, window: Window) -> Piece | None:
        """Put values into the place of their placeholders."""
        values: Mapping[str, str] = request.notes.get(_NOTE) or {}
        if not values:
            return None
        text, held = window.text, ""
        if not window.final:
            begun = _BEGINNING.search(text)
            if begun is not None:
                text, held = text[: begun.start()], begun[0]
        return Piece(_PLACEHOLDER.sub(partial(_value, values), text), held)


class _Values:
    """Values of one request and their placeholders."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        """What the client writes itself, and must not be given a value for."""
        self._known: dict[tuple[str, str], str] = {}
        self._last: dict[str, int] = {}
        self.of: dict[str, str] = {}

    def placeholder(self, kind: str, value: str) -> str:
        found = self._known.get((kind, value))
        while found is None:
            number = self._last[kind] = self._last.get(kind, 0) + 1
            name = f"[{kind.upper()}_{number}]"
            if name not in self._taken:
                found = self._known[kind, value] = name
                self.of[name] = value
        return found


def _value(values: Mapping[str, str], match: re.Match[str]) -> str:
    return values.get(match[0], match[0])


# --- what has the form ---


def _emails(text: str) -> Iterator[Span]:
    return (match.span() for match in _EMAIL.finditer(text)) if "@" in text else iter(())


def _cards(text: str) -> Iterator[Span]:
    at = 0
    while match := _CARD.search(text, at):
        start, at = match.span()
        if _is_card(match[0]):
            yield start, at
        else:  # its first digits may be of something else
            at = start + 4
    for match in _ANY_CARD.finditer(text):
        if _is_card(match[0]):
            yield match.span()


def _is_card(text: str) -> bool:
    digits = [int(digit) for digit in text if digit.isdigit()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[::-2]) + doubled) % 10 == 0 and any(digits)


def _ibans(text: str) -> Iterator[Span]:
    at = 0
    while match := _IBAN.search(text, at):
        start, found = match.start(), match[0]
        while len(found) >= _IBAN_LEAST and not _is_iban(found):
            found = found.rpartition(" ")[0]  # the next word looks like a part of it
        at = start + 4
        if len(found) >= _IBAN_LEAST:
            at = start + len(found)
            yield start, at


def _is_iban(text: str) -> bool:
    code = text.replace(" ", "")
    return (
        _IBAN_LEAST <= len(code) <= 34 and int((code[4:] + code[:4]).translate(_LETTERS)) % 97 == 1
    )


_LETTERS = {ord(letter): str(int(letter, 36)) for letter in ascii_uppercase}


def _phones(region: str | None) -> Finder:
    try:
        import phonenumbers
    except ImportError:
        raise ValueError(
            "kinds: phone needs the extra pii (pip install 'headrace[pii]'), or leave it out"
        ) from None
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("region: two letters of a country, DE for instance")

    def find(text: str) -> Iterator[Span]:
        return ((found.start, found.end) for found in phonenumbers.PhoneNumberMatcher(text, region))

    return find


FINDERS: Mapping[str, Callable[[str | None], Finder]] = {
    "email": lambda _: _emails,
    "iban": lambda _: _ibans,
    "card": lambda _: _cards,
    "phone": _phones,
}
"""By kind, in the order in which they claim a place: a telephone number may look like part of the others."""
