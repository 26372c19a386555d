"""One small stream in every dialect, written by hand, and other ways to write the same stream.

The text is what gets damaged elsewhere: Chinese, Japanese, an accent made of two code points, emoji of several.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

TEXT = ("水車", "が回る ", "caf\u0065\u0301 ", "🌊👩‍🚀", "\\u6c34\\n", "终")


class Stream(NamedTuple):
    """The parts of a stream, each of them whole events."""

    name: str
    """A key of `asking.DIALECTS`."""
    opening: tuple[bytes, ...]
    """What comes before the first content."""
    content: tuple[bytes, ...]
    finish: bytes
    """What says why the answer ended, up to the terminal event."""
    usage: bytes
    """The event that exists only because usage was asked for."""
    end: bytes
    """The terminal event."""
    error: bytes
    """The provider is overloaded, in mid-stream."""

    @property
    def begun(self) -> bytes:
        """The first half: content has been seen, an end has not."""
        return b"".join((*self.opening, *self.content[:3]))

    @property
    def rest(self) -> bytes:
        """The other half."""
        return b"".join((*self.content[3:], self.finish, self.end))

    @property
    def whole(self) -> bytes:
        """All of it, without a usage event."""
        return self.begun + self.rest


def _chat(delta: str, finish: str = "null") -> bytes:
    return (
        'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":'
        f'[{{"index":0,"delta":{delta},"finish_reason":{finish}}}],"usage":null}}\n\n'
    ).encode()


CHAT = Stream(
    "chat",
    (_chat('{"role":"assistant","content":""}'),),
    tuple(_chat(f'{{"content":"{text}"}}') for text in TEXT),
    _chat("{}", '"stop"'),
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":'
    b'{"prompt_tokens":7,"completion_tokens":6,"total_tokens":13}}\n\n',
    b"data: [DONE]\n\n",
    b'data: {"error":{"message":"Overloaded","type":"overloaded_error","code":"overloaded"}}\n\n',
)


def _named(kind: str, fields: str) -> bytes:
    return f'event: {kind}\ndata: {{"type":"{kind}",{fields}}}\n\n'.encode()


def _response(kind: str, status: str, more: str, number: int) -> bytes:
    response = f'{{"id":"resp_1","object":"response","status":"{status}","output":[]{more}}}'
    return _named(f"response.{kind}", f'"response":{response},"sequence_number":{number}')


RESPONSES = Stream(
    "responses",
    (
        _response("created", "in_progress", ',"error":null,"usage":null', 0),
        _named(
            "response.output_item.added",
            '"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress",'
            '"role":"assistant","content":[]},"sequence_number":1',
        ),
    ),
    tuple(
        _named(
            "response.output_text.delta",
            f'"item_id":"msg_1","output_index":0,"content_index":0,"delta":"{text}",'
            f'"sequence_number":{number}',
        )
        for number, text in enumerate(TEXT, 2)
    ),
    _named(
        "response.output_text.done",
        '"item_id":"msg_1","output_index":0,"content_index":0,'
        f'"text":"{"".join(TEXT)}","sequence_number":8',
    ),
    b"",
    _response(
        "completed",
        "completed",
        ',"usage":{"input_tokens":7,"output_tokens":6,"total_tokens":13}',
        9,
    ),
    _named(
        "error",
        '"code":"overloaded","message":"Overloaded","param":null,"sequence_number":5',
    ),
)

MESSAGES = Stream(
    "messages",
    (
        _named(
            "message_start",
            '"message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"m",'
            '"stop_reason":null,"usage":{"input_tokens":7,"output_tokens":1}}',
        ),
        _named("content_block_start", '"index":0,"content_block":{"type":"text","text":""}'),
    ),
    tuple(
        _named("content_block_delta", f'"index":0,"delta":{{"type":"text_delta","text":"{text}"}}')
        for text in TEXT
    ),
    _named("content_block_stop", '"index":0')
    + _named("message_delta", '"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":6}'),
    b"",
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    _named("error", '"error":{"type":"overloaded_error","message":"Overloaded"}'),
)


def _gemini(text: str, more: str = "", counts: str = "") -> bytes:
    return (
        f'data: {{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}}{more}}}],'
        f'"usageMetadata":{{"promptTokenCount":7{counts}}},"modelVersion":"m"}}\r\n\r\n'
    ).encode()


GEMINI = Stream(
    "gemini",
    (),
    tuple(_gemini(text) for text in TEXT),
    b"",
    b"",
    _gemini("", ',"finishReason":"STOP"', ',"candidatesTokenCount":6,"totalTokenCount":13'),
    b'data: {"error":{"code":503,"message":"Overloaded","status":"UNAVAILABLE"}}\r\n\r\n',
)

STREAMS = {stream.name: stream for stream in (CHAT, RESPONSES, MESSAGES, GEMINI)}


def _events(stream: bytes) -> list[bytes]:
    return re.findall(rb".+?\n\n", stream.replace(b"\r\n", b"\n"), re.DOTALL)


def _each(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda stream: b"".join(map(change, _events(stream)))


def _mixed(event: bytes) -> bytes:
    """Another line end for each line, among them a blank line of CR and LF from two different ends."""
    ends = (b"\r\n", b"\r", b"\n")
    lines = event.split(b"\n")[:-1]
    return b"".join(line + ends[(len(event) + at) % 3] for at, line in enumerate(lines)) + b"\n"


WRITINGS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda stream: stream,
    "lf": _each(lambda event: event),
    "crlf": _each(lambda event: event.replace(b"\n", b"\r\n")),
    "cr": _each(lambda event: event.replace(b"\n", b"\r")),
    "mixed": _each(_mixed),
    "byte order mark": lambda stream: b"\xef\xbb\xbf" + stream,
    "comments": _each(lambda event: b": hello\n\n:\n" + event + ": 再见\n\n".encode()),
    "no space": _each(lambda event: event.replace(b"data: ", b"data:").replace(b"event: ", b"event:")),
    "two lines": _each(lambda event: event.replace(b',"', b',\ndata: "', 1)),
    "id and retry": _each(lambda event: b"id: 7\nretry: 3000\n" + event),
    "data first": _each(lambda event: re.sub(rb"(event: .*\n)(data: .*\n)", rb"\2\1", event)),
    "more blank lines": _each(lambda event: b"\n" + event + b"\n\n"),
    "a lone event name": _each(lambda event: b"event: ping\n\n" + event),
}  # fmt: skip
"""Other ways to write the same stream, all of them legal."""


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; nothing for no bytes."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
