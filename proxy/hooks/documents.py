"""A request and an answer as hooks see them: JSON objects, taken apart only as far as somebody looks.

A field is decoded when it is asked for, and encoded again only if it was changed: a picture nobody looks at costs
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from proxy.hooks import words
from proxy.hooks.points import Key
from proxy.hooks.words import Kind

T = TypeVar("T")

_NOTHING: Mapping[str, str] = {}


class Word:
    """One text of a document: a message, a part of one, what a tool was called with. Setting `text` changes it."""

    __slots__ = ("_container", "_dirty", "_field", "_key", "kind")

    def __init__(self, container: Any, key: Any, kind: Kind, field: str, dirty: set[str]) -> None:
        self._container = container
        self._key = key
        self._field = field
        self._dirty = dirty
        self.kind: Kind = kind
        """`text`, `reasoning` or `arguments` (JSON text, or one string of an object a tool is called with)."""

    @property
    def text(self) -> str:
        text: str = self._container[self._key]
        return text

    @text.setter
    def text(self, text: str) -> None:
        if text != self._container[self._key]:
            self._container[self._key] = text
            self._dirty.add(self._field)


class Document:
    """The top level of a JSON object. Values are plain JSON: dict, list, str, int, float, bool, None.

    A number beyond a double is infinite, and null where it is written again.
    """

    __slots__ = ("_decoded", "_dirty", "raw")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        """`raw`: each field's name to its JSON text."""
        self.raw = raw
        """As it came, whatever was changed since."""
        self._decoded: dict[str, Any] = {}
        self._dirty: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the fields there are."""
        gone = {name for name in self._dirty if name not in self._decoded}
        return tuple(
            name for name in dict.fromkeys((*self.raw, *self._decoded)) if name not in gone
        )

    def field(self, name: str) -> Any:
        """Its value; None where there is none. To change it, `set` it again."""
        if name not in self._decoded and name not in self._dirty:
            raw = self.raw.get(name)
            if raw is None:
                return None
            self._decoded[name] = _value(raw)
        return self._decoded.get(name)

    def set(self, name: str, value: Any) -> None:
        """Put a value there, in its old place if it had one."""
        self._decoded[name] = value
        self._dirty.add(name)

    def drop(self, name: str) -> None:
        """Take it out."""
        self._decoded.pop(name, None)
        self._dirty.add(name)

    def words(self) -> Iterator[Word]:
        """All that somebody said in it, whatever the dialect: see `proxy.hooks.words`."""
        answer = isinstance(self, Answer)
        for name in self.names:
            if words.begins(name, answer=answer):
                self.field(name)
                found = words.within(self._decoded, name, answer=answer)
                for container, key, kind in found:
                    yield Word(container, key, kind, name, self._dirty)

    def changes(self) -> dict[str, bytes | None]:
        """What was changed, encoded; None: the field was dropped. Raises what msgspec does for what is no JSON."""
        return {
            name: msgspec.json.encode(self._decoded[name]) if name in self._decoded else None
            for name in self._dirty
        }


class Request(Document):
    """One client request. Each hook has an object of its own for it, the same at all its points."""

    __slots__ = (
        "dialect",
        "headers",
        "id",
        "key",
        "model",
        "notes",
        "operation",
        "route",
        "stream",
    )

    def __init__(
        self,
        raw: Mapping[str, Any] = _NOTHING,
        *,
        id: str = "",
        route: str = "/v1/chat/completions",
        operation: str = "chat",
        dialect: str = "openai.chat",
        model: str = "",
        stream: bool = False,
        key: Key | None = None,
        headers: Mapping[str, str] = _NOTHING,
        notes: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(raw)
        self.id = id
        self.route = route
        """Canonical: `/v1/chat/completions`, however the client spelled it."""
        self.operation = operation
        """`chat`, `responses`, `messages`, `generate`, `embeddings`, …"""
        self.dialect = dialect
        """`openai.chat`, `openai.responses`, `anthropic.messages`, `gemini.generate`, …"""
        self.model = model
        """The public name. `before_route` may put another one here, which the key must be allowed to use."""
        self.stream = stream
        self.key = key
        """None: nobody has to have one."""
        self.headers = headers
        """Of the client, in lower case; those that carry a credential are left out."""
        self.notes: dict[str, Any] = {} if notes is None else notes
        """This hook's own, from one point to the next of the same request."""


class Answer(Document):
    """A whole answer."""

    __slots__ = ("deployment", "provider", "status")

    def __init__(
        self,
        raw: Mapping[str, Any] = _NOTHING,
        *,
        status: int = 200,
        deployment: str = "",
        provider: str = "",
    ) -> None:
        super().__init__(raw)
        self.status = status
        self.deployment = deployment
        self.provider = provider


def taken_apart(body: bytes) -> dict[str, msgspec.Raw] | None:
    """The top level of a JSON object; None: it is none."""
    try:
        return _decode_top(body)
    except (ValueError, RecursionError):
        return None


def put_together(raw: Mapping[str, Any], changes: Mapping[str, bytes | None]) -> bytes:
    """The object with what was changed."""
    fields = dict(raw)
    for name, value in changes.items():
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = msgspec.Raw(value)
    return msgspec.json.encode(fields)


def _value(raw: Any) -> Any:
    try:
        return _decode(raw)
    except msgspec.ValidationError:  # 1e999, say
        return _decode_any_number(raw)


_decode = msgspec.json.Decoder().decode
_decode_any_number = msgspec.json.Decoder(float_hook=float).decode
_decode_top = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
