"""The top level of a JSON request body, every value left as the bytes it came in.

Only the outermost object is taken apart, so a large body costs little, and what nobody edits (big integers, the
spelling of floats, escapes) stays byte for byte the same. A key given twice, in whatever spelling, collapses to its
last value as soon as the envelope is written out again: what a rule has read is then what the provider reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import msgspec
from msgspec import Raw

from proxy.core.errors import ProxyError
from proxy.wire.abridged import LARGE, MARK, Abridged, abridge
from proxy.wire.quoted import SMALL, few

MAX_DEPTH = 64

_decode_top = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_integer = msgspec.json.Decoder(int).decode
_encode = msgspec.json.Encoder().encode

_TRUE = Raw(b"true")
_TWIN = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""One parameter of chat completions under its old name and its new one: OpenAI refuses a request that has both."""
_SMALL = 512
"""Values up to this many bytes are decoded once, to refuse numbers nobody can represent."""
_NUMBER_STARTS = b"-0123456789"
_INTRICATE_LEVELS, _INTRICATE = 8, 64 * 1024
"""So many brackets above the lowest levels are no request; peeling them all would hold up everybody else."""
_LIST = ord("[")
_OPENERS = b"[{"
_CLOSERS = b"]}"
_NOT_OPENERS = bytes(byte for byte in range(256) if byte not in _OPENERS)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in _OPENERS + _CLOSERS)
_NOT_MARKS = bytes(byte for byte in _NOT_BRACKETS if byte != ord('"'))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_KEY = re.compile(rb'\s*[{,]\s*"[^"\\]*+(?:\\.[^"\\]*+)*+"\s*:\s*', re.DOTALL)
_CLOSE = re.compile(rb"\s*\}\s*")


class Envelope:
    """A request body: its top-level keys in order, each with the bytes of its value."""

    __slots__ = ("_fields", "_is_cut", "body", "edited", "short", "sought")

    def __init__(self, body: bytes, fields: dict[str, Raw], short: Abridged | None = None) -> None:
        self.body = body
        """The bytes as they came, whatever has been edited since."""
        self.edited = False
        self._fields = fields
        self.short = short
        """The body without what is long and plain in it, if there is enough of that."""
        self.sought = body if short is None else short.text
        """What to look through for something that begins with a quotation mark: as much of the body as is needed for that."""
        self._is_cut = short is not None
        """The fields are those of `short`."""

    @classmethod
    def parse(cls, body: bytes) -> Envelope:
        """Take `body` apart. Raises ProxyError bad_json unless it is one well-formed JSON object.

        Well-formed includes: UTF-8 without a byte order mark, no lone surrogates, at most MAX_DEPTH levels, and no
        number beyond a double or beyond 4,300 digits in any small value (large values are not looked into).
        """
        if len(body) >= LARGE:
            short = abridge(body)
            if short is not None:
                try:
                    fields = cls._fields_of(short.text)
                except ProxyError:  # or it was cut where a parser would have been at something else
                    fields = {}
                if fields and not any(MARK in name.encode() for name in fields):
                    return cls(body, fields, short)
        return cls(body, cls._fields_of(body))

    @staticmethod
    def _fields_of(body: bytes) -> dict[str, Raw]:
        try:
            # First, because its own recursion limit stops a tower of brackets after a thousand of them.
            fields = _decode_top(body)
            if not body.isascii():
                body.decode()  # values nobody decodes have not been checked
            for value in fields.values():
                if len(value) <= _SMALL or memoryview(value)[0] in _NUMBER_STARTS:
                    _decode_any(value)
            # Its own look into a list is one level of that limit further down.
            deep = _is_too_deep(body, fields)
        except (ValueError, RecursionError):
            raise ProxyError("bad_json") from None
        if deep:
            raise ProxyError("bad_json")
        return fields

    def _restore(self) -> None:
        """Have all values as they came."""
        if self._is_cut and self.short is not None:
            self._is_cut = False
            for name, value in self._fields.items():
                if MARK in bytes(value):
                    self._fields[name] = Raw(self.short.restored(bytes(value)))

    def _value(self, name: str) -> Raw | None:
        """As it came; None when the key is absent."""
        value = self._fields.get(name)
        if self._is_cut and value is not None and MARK in bytes(value):
            self._restore()
            value = self._fields[name]
        return value

    def copy(self) -> Envelope:
        """The same envelope, to be edited apart from this one."""
        self._restore()
        other = Envelope(self.body, self._fields.copy(), self.short)
        other._is_cut = False
        other.edited = self.edited
        return other

    @property
    def duplicates(self) -> bool:
        """Whether a key occurs twice in `body`, in whatever spelling: then two readers could see two requests."""
        fields = self._fields
        # `{"key":value,…}`: four bytes a field beside key and value, less one comma, plus two braces. No text that
        # decodes to these fields is shorter, and with a second value for one of them none is as short.
        shortest = sum(map(len, chain(fields, fields.values()))) + 4 * len(fields) + 1
        body = self.sought if self._is_cut else self.body
        if len(body) == max(shortest, 2):
            return False
        at = 0
        for value in fields.values():
            key = _KEY.match(body, at)
            if key is None or not body.startswith(value, key.end()):
                return True
            at = key.end() + len(value)
        return bool(fields) and _CLOSE.fullmatch(body, at) is None

    def fields(self) -> dict[str, Raw]:
        """A copy of all there is: each name with the JSON text of its value."""
        self._restore()
        return self._fields.copy()

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def lacks(self, names: Iterable[str]) -> bool:
        """Whether none of these is in it."""
        return self._fields.keys().isdisjoint(names)

    def raw(self, name: str) -> bytes | None:
        """The bytes of one value; None when the key is absent."""
        value = self._value(name)
        return None if value is None else bytes(value)

    def beginning(self, name: str, length: int) -> bytes | None:
        """The first bytes of one value, without a copy of the rest; None when the key is absent."""
        value = self._value(name)
        return None if value is None else bytes(memoryview(value)[:length])

    def text(self, name: str) -> str | None:
        """A string; None when absent or of another type."""
        value = self._value(name)
        if value is None:
            return None
        try:
            return _decode_text(value)
        except ValueError:
            return None

    def integer(self, name: str) -> int | None:
        """A whole number; None when absent or of another type."""
        value = self._fields.get(name)
        if value is None:
            return None
        try:
            return _decode_integer(value)
        except ValueError:
            return None

    def integers(self, names: Sequence[str]) -> list[int]:
        """Those of these that are whole numbers."""
        fields, found = self._fields, []
        for name in names:
            if name in fields:
                try:
                    found.append(_decode_integer(fields[name]))
                except ValueError:
                    continue
        return found

    def flag(self, name: str) -> bool:
        """Whether the value is `true`."""
        return self._fields.get(name) == _TRUE

    def set(self, name: str, raw: bytes) -> None:
        """Put the JSON text `raw` at `name`, in its old place if it had one."""
        self._fields[name] = Raw(raw)
        self.edited = True

    def drop(self, name: str) -> None:
        """Take `name` out, if it is there."""
        if self._fields.pop(name, None) is not None:
            self.edited = True

    def merge_defaults(self, values: Mapping[str, object]) -> None:
        """Set each value whose key the client did not send. An explicit `null` counts as sent."""
        for name, value in values.items():
            if name not in self._fields and _TWIN.get(name) not in self._fields:
                self.set(name, _encode(value))

    def merge_overrides(self, values: Mapping[str, object]) -> None:
        """Set each value, whatever the client sent; None takes the key out."""
        for name, value in values.items():
            if value is None:
                self.drop(name)
                continue
            self.set(name, _encode(value))
            twin = _TWIN.get(name)
            if twin is not None and twin not in values:
                self.drop(twin)

    def encode(self) -> bytes:
        """The body written out again: keys in order, each once, nested bytes as they are."""
        self._restore()
        return _encode(self._fields)


def _is_too_deep(body: bytes, fields: dict[str, Raw]) -> bool:
    """Whether `body`, known to be JSON, nests deeper than MAX_DEPTH.

    Usually a count decides: what has few opening brackets cannot be deep. Only a value that has many, and of a
    long list only an item that has many, is scanned properly.
    """
    if _has_few(body, MAX_DEPTH):
        return False
    return any(map(_value_exceeds, fields.values()))


def _has_few(text: bytes, most: int) -> bool:
    """Whether it has at most so many opening brackets, in strings or not."""
    if len(text) < SMALL:
        return len(text.translate(None, _NOT_OPENERS)) <= most
    return few(text, _OPENERS, most)


def _value_exceeds(value: Raw) -> bool:
    levels = MAX_DEPTH - 1
    if len(value) <= 2 * levels:  # every level takes two bytes
        return False
    if memoryview(value)[0] != _LIST:
        return _exceeds(value, levels)
    if _has_few(bytes(value), levels):
        return False
    levels -= 1
    return any(len(item) > 2 * levels and _exceeds(item, levels) for item in _decode_items(value))


def _exceeds(value: Raw, levels: int) -> bool:
    """Whether `value` nests deeper than `levels`: peel the innermost pairs off, that many times."""
    raw = bytes(value)
    if _has_few(raw, levels):
        return False
    left = _brackets(raw)
    tower = b"[" * (levels + 1)
    for peeled in range(levels):
        if tower in left or (peeled == _INTRICATE_LEVELS and len(left) > _INTRICATE):
            return True
        left = left.replace(b"[]", b"")
        if not left:
            return False
    return True


def _brackets(raw: bytes) -> bytes:
    """The brackets of a JSON text that are not inside a string, curly ones made square."""
    if b"\\" in raw:
        return _STRING.sub(b"", raw).translate(_ONE_KIND, _NOT_BRACKETS)
    return b"".join(raw.translate(_ONE_KIND, _NOT_MARKS).split(b'"')[::2])
