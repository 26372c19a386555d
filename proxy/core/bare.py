"""The log of a process that may have no thread because it forks: a line is written at once, or not at all.

The supervisor is one, and so is every process before it has configured its log. A pipe that nobody reads must not stop
it: what the pipe does not take now is dropped and counted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from proxy.core.lines import Entry, Line, encoder, entry_of
from proxy.core.output import Output, losses

STDERR = 2


class Bare(logging.Handler):
    """Writes as `auto` has it to standard error, or as it is told to."""

    def __init__(
        self,
        output: Output | None = None,
        encode: Callable[[Line], bytes] | None = None,
        *,
        level: int = logging.NOTSET,
    ) -> None:
        super().__init__(level)
        self._output = output
        self._encode = encode

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # Looked at now: standard error may be another one by the time something is said.
            output = self._output or Output(STDERR)
            encode = self._encode or encoder("auto", terminal=os.isatty(STDERR))
            entry = entry_of(record)
            data = encode(entry)
            if len(data) > output.batch:
                data = encode(Entry(entry.time, entry.level, entry.logger, entry.message[:500]))
            taken = output.ready()
            if taken:
                output.write(data, lambda: True)
        except Exception:
            taken = False  # and there is no log to tell of it
        if not taken:
            losses.unwritten += 1

    def turn(self, *, rotate: bool, keep: int) -> None:
        """Whether each day has a file of its own, and how many days those stay."""
        if self._output is not None:
            self._output.rotate, self._output.keep = rotate, keep

    def close(self) -> None:
        super().close()
        if self._output is not None:
            self._output.close()
            self._output = None
