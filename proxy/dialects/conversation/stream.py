"""A stream of the service, event by event."""

from __future__ import annotations

from proxy.core.surfaces import CONVERSATION
from proxy.dialects import ir
from proxy.dialects.conversation.answer import DONE, Reader, decoded

_TEXT = ir.Text()


class StreamDecoder:
    """Reads one stream."""

    __slots__ = ("_ended", "_model", "_reader", "_sent", "_started")

    def __init__(self, reader: Reader, request: ir.Request) -> None:
        self._reader = reader
        self._model = request.model
        self._started = False
        self._ended = False
        self._sent = 0
        """Characters given so far: what an event that repeats them all has that is new."""

    def feed(self, name: bytes, data: bytes) -> list[ir.Event]:
        """What one event says."""
        if self._ended:
            return []
        if data.strip() == DONE:
            return self._finish()
        found = decoded(data)
        if found is None:
            return []
        reader = self._reader
        if reader.failed(found):
            self._ended = True
            return [reader.stream_error(data, found)]
        events = self._more(reader.text(found) or "")
        if reader.is_last(found):
            events += self._finish()
        return events

    def end(self) -> list[ir.Event]:
        """The body is over, which is an end only to services that have no other."""
        settings = self._reader.settings
        if self._ended or not (settings.done_at_end and self._started):
            return []
        return self._finish()

    def _more(self, text: str) -> list[ir.Event]:
        if not self._reader.settings.delta:
            # What was given cannot be taken back: a text that was changed is told from where it is longer.
            text, self._sent = text[self._sent :], max(self._sent, len(text))
        if not text:
            return []
        more: list[ir.Event] = [ir.TextDelta(0, text)]
        if self._started:
            return more
        self._started = True
        return [*self._begin(), ir.BlockStart(0, _TEXT), *more]

    def _begin(self) -> list[ir.Event]:
        return [ir.ResponseStart(model=self._model, origin=CONVERSATION)]

    def _finish(self) -> list[ir.Event]:
        self._ended = True
        before: list[ir.Event] = [ir.BlockEnd(0)] if self._started else self._begin()
        return [*before, ir.ChoiceEnd("stop"), ir.ResponseEnd()]
