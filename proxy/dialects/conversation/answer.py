"""What an answer of the service says, found at the places its provider names."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core import jsonpath
from proxy.core.errors import UpstreamError
from proxy.core.model import Conversation
from proxy.core.surfaces import CONVERSATION
from proxy.dialects import ir
from proxy.dialects.errors import fault_in, in_band
from proxy.dialects.lenient import mended, object_at
from proxy.dialects.refusal import said_in

DONE = b"[DONE]"
_FAILED = "The provider reported an error."


class Reader:
    """Reads the answers and events of one service; keeps nothing of them."""

    __slots__ = ("settings",)

    def __init__(self, settings: Conversation) -> None:
        self.settings = settings

    def response(self, body: bytes, request: ir.Request) -> ir.Response:
        """A whole answer. Raises ValueError for what is none."""
        found = decoded(body)
        text = None if found is None or self.failed(found) else self.text(found)
        if text is None:
            raise ValueError("no answer")
        return ir.Response(
            model=request.model,
            choices=[ir.Choice([ir.Text(text)] if text else [], "stop")],
            origin=CONVERSATION,
        )

    def text(self, found: Mapping[str, object]) -> str | None:
        """The text of an event or answer; None when none of its places has one."""
        for path in self.settings.text:
            value = jsonpath.find(found, path)
            if isinstance(value, str):
                return value
            if isinstance(value, list) and all(isinstance(part, str) for part in value):
                return "".join(value)
        return None

    def is_last(self, found: Mapping[str, object]) -> bool:
        """Whether an event says that it is the last one."""
        done = self.settings.done
        if done is None:
            return False
        value = jsonpath.find(found, done.path)
        return bool(value) if done.equals is None else _equal(value, done.equals)

    def failed(self, found: Mapping[str, object]) -> bool:
        """Whether an event or answer is an error."""
        return bool(jsonpath.find(found, self.settings.error))

    def error(self, raw: bytes, found: Mapping[str, object]) -> UpstreamError:
        """That error, for routing."""
        return in_band(raw, fault_in(self._told(found)))

    def stream_error(self, raw: bytes, found: Mapping[str, object]) -> ir.StreamError:
        """That error, for the client."""
        status = self.error(raw, found).status
        message = said_in(self._told(found)).message
        return ir.StreamError(status, message or _FAILED, "upstream_error")

    def _told(self, found: Mapping[str, object]) -> object:
        """What to read an error from: the object at its place, else what stands around it."""
        *above, _ = self.settings.error
        value, around = (jsonpath.find(found, path) for path in (self.settings.error, tuple(above)))
        if isinstance(value, dict) or not isinstance(around, dict):
            return value
        # A number or a flag says that there is an error; the words stand beside it.
        return {**around, "error": value} if isinstance(value, str) else around


def decoded(data: bytes) -> dict[str, object] | None:
    """An event or a body as an object, what is broken inside its texts mended; None if it is no object."""
    return object_at(data) or object_at(mended(data))


def _equal(value: object, wanted: object) -> bool:
    """The same value: true is not 1, and YAML's 1 is JSON's 1.0."""
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)
