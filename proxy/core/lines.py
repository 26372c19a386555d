"""Log lines: what is in them, and how they are written, for programs (JSON) and for people (console).

Some of it comes from outside: the model's name, the user agent, a request id. Such text is cut to 256 characters,
loses everything that looks like a secret, and every character that could move a cursor, end a line or turn the
writing direction is escaped. It is cut twice: when it is queued, generously, so that a flood of long names cannot
fill the memory, and again after secrets are gone. A secret that the first cut split in two is no longer recognised,
so everything within reach of that cut goes with the second.
"""

from __future__ import annotations

import logging
import os
import re
import time
import traceback
from collections.abc import Callable
from functools import lru_cache, partial

import msgspec
from msgspec import Struct

from proxy.core.redact import redact, redact_name, remembering

LONGEST = 256
"""Characters kept of a name from outside."""
QUEUED = 1024
"""Characters queued of it."""
LONGEST_MESSAGE = 8 * 1024
QUEUED_MESSAGE = 2 * LONGEST_MESSAGE


class RequestLine(Struct, kw_only=True, gc=False, omit_defaults=True):
    """One request, over. What is not known keeps its default and is not written.

    Whoever hands it to the log does not touch it again.
    """

    time: float
    """Unix time."""
    request_id: str
    method: str
    route: str
    status: int
    """What the client saw; 499 when it was gone."""
    outcome: str
    """`ok`, `client_gone`, `truncated`, `upstream_error`, `refused`, `rejected`, `failed`."""
    stream: bool = False
    dialect: str = ""
    model: str = ""
    upstream_model: str = ""
    provider: str = ""
    deployment: str = ""
    key: str = ""
    """The client key's name, never the key."""
    total_ms: float = 0.0
    ttft_ms: float | None = None
    overhead_ms: float | None = None
    attempts: int = 0
    cause: str = ""
    input_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_source: str = ""
    """Of the tokens and the cost: `reported`, or `estimated`; empty where nothing was used."""
    cost: float | None = None
    """US dollars charged; None: no price is known."""
    bytes_in: int = 0
    bytes_out: int = 0
    client: str = ""
    user_agent: str = ""
    trace_id: str = ""
    """Of the trace that the request is a part of, if there is one."""


class Entry(Struct, gc=False, omit_defaults=True):
    """A message of the program."""

    time: float
    level: str
    logger: str
    message: str
    error: str = ""
    """The traceback."""


Line = RequestLine | Entry


def entry_of(record: logging.LogRecord) -> Entry:
    """What is said of a record of stdlib logging, not too long. Nothing of it is kept: arguments may change, and an
    exception would hold its frames."""
    try:
        message = record.getMessage()
    except Exception:
        message = f"{record.msg} (its arguments do not fit)"
    error = ""
    if record.exc_info and record.exc_info[0] is not None:
        error = "".join(traceback.format_exception(*record.exc_info))
    if record.stack_info:
        error = f"{error}{record.stack_info}\n"
    return Entry(
        record.created,
        record.levelname.lower(),
        record.name,
        clip_message(message),
        clip_error(error),
    )


def clip(line: RequestLine) -> None:
    """Let go of overlong text from outside, before it waits in a queue."""
    if len(line.model) > QUEUED:
        line.model = line.model[:QUEUED]
    if len(line.user_agent) > QUEUED:
        line.user_agent = line.user_agent[:QUEUED]
    if len(line.upstream_model) > QUEUED:
        line.upstream_model = line.upstream_model[:QUEUED]


def clip_message(text: str) -> str:
    """The same for a message: the beginning of it."""
    return text if len(text) <= QUEUED_MESSAGE else text[:QUEUED_MESSAGE]


def clip_error(text: str) -> str:
    """The same for a traceback: the end of it, where the reason stands."""
    return text if len(text) <= QUEUED_MESSAGE else text[-QUEUED_MESSAGE:]


# --- JSON --------------------------------------------------------------------------------------------------

_encode = msgspec.json.Encoder().encode

# Valid in a JSON string as they are, but not in a terminal, an editor or an HTML page.
_UNSEEN = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def to_json(line: Line) -> bytes:
    """One JSON object and a newline."""
    if isinstance(line, RequestLine):
        _clean(line)
        line.total_ms = _micro(line.total_ms)
        if line.ttft_ms is not None:
            line.ttft_ms = _micro(line.ttft_ms)
        if line.overhead_ms is not None:
            line.overhead_ms = _micro(line.overhead_ms)
        head = b'{"time":"%b","level":"info","event":"request"' % _utc(line.time)
    else:
        _clean_entry(line)
        head = b'{"time":"%b"' % _utc(line.time)
    # The first member is the time as a number; people who read JSON lines do not count in seconds.
    raw = _encode(line)
    raw = head + raw[raw.index(b",") :] + b"\n"
    if raw.isascii() and b"\x7f" not in raw:
        return raw
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", raw.decode()).encode()


def _micro(ms: float) -> float:
    # To the microsecond; a third of what `round` costs.
    return int(ms * 1000 + 0.5) / 1000


def _utc(moment: float) -> bytes:
    whole = int(moment)
    return b"%b.%03dZ" % (_utc_second(whole), int((moment - whole) * 1000))


@lru_cache(maxsize=4)
def _utc_second(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()


# --- what comes from outside -------------------------------------------------------------------------------

_OWN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _clean(line: RequestLine) -> None:
    if not _OWN_ID.fullmatch(line.request_id):
        line.request_id = name(line.request_id)
    line.method = name(line.method)
    line.route = name(line.route)
    line.client = name(line.client)
    if line.model:
        line.model = name(line.model)
    if line.upstream_model:
        line.upstream_model = name(line.upstream_model)
    if line.user_agent:
        line.user_agent = name(line.user_agent)


@lru_cache(maxsize=4096)
def name(raw: str) -> str:
    """A short text from outside, fit to be written. Remembered: the same few come with every request."""
    raw = raw[:QUEUED]
    text = redact_name(raw)
    if len(raw) == QUEUED:
        text = text[: LONGEST - QUEUED]
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    return _encodable(text)


# What was harmless before a secret was registered need not be so after it.
remembering.append(name.cache_clear)


def _clean_entry(entry: Entry) -> None:
    reach = QUEUED_MESSAGE - LONGEST_MESSAGE
    message = redact(entry.message)
    if len(entry.message) == QUEUED_MESSAGE:
        message = message[:-reach] + "…"
    error = redact(entry.error)
    if len(entry.error) == QUEUED_MESSAGE:
        error = "…" + error[reach:]
    entry.message = _encodable(message)
    entry.error = _encodable(error)


def _encodable(text: str) -> str:
    # Header bytes that are no UTF-8 arrive as lone surrogates, which cannot be written.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


# --- console -----------------------------------------------------------------------------------------------

_CONTROL = re.compile(f"[\x00-\x1f{_UNSEEN.pattern[1:]}")
_DIM, _RED, _YELLOW, _GREEN, _OFF = "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
_LEVELS = {"critical": _RED, "error": _RED, "warning": _YELLOW}


def to_console(line: Line, colour: bool = False) -> bytes:
    """One line for a person; a traceback follows it, indented."""
    if isinstance(line, RequestLine):
        _clean(line)
        level, text, more = "info", _request_text(line), ""
        hue = _GREEN if line.outcome == "ok" else _RED if line.status >= 500 else _YELLOW
    else:
        _clean_entry(line)
        level, text, more = line.level, f"{line.logger}: {line.message}", line.error
        hue = _LEVELS.get(level, "")
    when = time.strftime("%H:%M:%S", time.localtime(line.time))
    when = f"{when}.{int(line.time % 1 * 1000):03d}"
    shown = f"{level:<8}"
    if colour:
        when = f"{_DIM}{when}{_OFF}"
        shown = f"{hue}{shown}{_OFF}" if hue else shown
    lines = [f"{when} {shown} {escape(text)}"]
    lines += [f"    {escape(part)}" for part in more.rstrip("\n").split("\n") if more]
    return ("\n".join(lines) + "\n").encode()


def escape(text: str) -> str:
    """Control characters, terminal sequences and invisible marks as `\\x1b`, `\\u2028`."""
    return _CONTROL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _request_text(line: RequestLine) -> str:
    words = [line.method, line.route, str(line.status)]
    if line.outcome != "ok":
        words.append(line.outcome)
    if line.cause:
        words.append(f"({line.cause})")
    if line.model:
        words.append(line.model)
    if line.deployment or line.provider:
        words.append(f"-> {line.deployment or line.provider}")
    words.append(f"{line.total_ms:.1f} ms")
    if line.ttft_ms is not None:
        words.append(f"ttft {line.ttft_ms:.1f}")
    if line.overhead_ms is not None:
        words.append(f"own {line.overhead_ms:.2f}")
    if line.attempts > 1:
        words.append(f"{line.attempts} attempts")
    if line.input_tokens is not None:
        read = line.input_tokens + (line.cached_tokens or 0) + (line.cache_write_tokens or 0)
        words.append(f"{read}+{line.output_tokens or 0} tokens")
    if line.key:
        words.append(f"key {line.key}")
    words.append(line.request_id)
    return " ".join(words)


# --- either ------------------------------------------------------------------------------------------------


def encoder(format: str, *, terminal: bool) -> Callable[[Line], bytes]:
    """What writes lines in a format: `json`, `console`, or `auto`: console on a terminal."""
    if format == "console" or (format == "auto" and terminal):
        return partial(to_console, colour=terminal and not os.environ.get("NO_COLOR"))
    return to_json
