"""What is taken for alike is alike: the same event, another text, in a chunk that is whole."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.wire.likeness import LONGEST, Likeness, last_number, likeness

OPENAI = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"content":%b},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":%b}\n\n'
)
PLAIN = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":%b},"finish_reason":null}]}\n\n'
ANTHROPIC = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":%b}}\n\n'
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def of(event: bytes) -> Likeness:
    found = likeness(event)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "event",
    [
        PLAIN % b'"x"',
        ANTHROPIC % b'"x"',
        b'data: {"choices":[{"delta":{"content": "x"}}]}\r\n\r\n',
        b'data:{"choices":[{"delta":{"reasoning_content":"x"}}]}\r\r',
        b'id: 3\ndata: {"text":"x"}\n\n',
    ],
)
@pytest.mark.parametrize("text", [b"a", b" word", b"...", b"~!#[]", b"x" * 3000])
def test_another_text_is_alike(event: bytes, text: bytes) -> None:
    other = event.replace(b'"x"', b'"' + text + b'"')

    assert of(event).size(chunk(other)) == len(other)
    assert of(event).sizes(chunk(other)) == (1, len(other))


@pytest.mark.parametrize(
    "text",
    [
        "ü€😀".encode(),
        rb"\n\t\"\\\/\b\f\r",
        rb"\u00e4\u20ac\uDfff"[:12],
        rb"\uD7ff",
        b'\\"},\\"finish_reason\\":null}]}',
    ],
)
def test_a_text_that_is_not_plain_is_alike_too(text: bytes) -> None:
    other = PLAIN % (b'"' + text + b'"')

    assert of(PLAIN % b'"x"').size(chunk(other)) == 0
    assert of(PLAIN % b'"x"').sizes(chunk(other)) == (1, len(other))


def test_two_texts_are_found_both() -> None:
    alike = of(OPENAI % (b'"Hi"', b'"x7Gq"'))
    other = OPENAI % (b'" there"', b'"a"')

    assert alike.size(chunk(other)) == 0
    assert alike.sizes(chunk(other)) == (1, len(other))
    assert alike.sizes(chunk(OPENAI % (b'""', b'"a"'))) == (0, 0)
    assert alike.sizes(chunk(OPENAI % (b'"a"', b'""'))) == (0, 0)


def test_several_chunks_are_counted() -> None:
    events = [PLAIN % b'"%b"' % word for word in (b"one", b"two", "drei ü".encode())]

    sizes = of(PLAIN % b'"x"').sizes(b"".join(map(chunk, events)))

    assert sizes == (3, sum(map(len, events)))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'a"b',
        b"a\\",
        b"a\\x",
        b"a\nb",
        b"\x00",
        b"\x7f",
        b"\xff",
        b"\xc3",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        rb"\ud800",
        rb"\ud83d\ude00",
        rb"\u12",
        b'x"},"finish_reason":"stop","x":{"y":"z',
    ],
)
def test_what_is_no_text_is_read(text: bytes) -> None:
    other = PLAIN % (b'"' + text + b'"')

    assert of(PLAIN % b'"x"').size(chunk(other)) == 0
    assert of(PLAIN % b'"x"').sizes(chunk(other)) == (0, 0)


def _changed(whole: bytes) -> list[bytes]:
    return [
        b"",
        whole[1:],
        whole[:-1],
        whole[:-2] + b"\n\r",
        b"0" + whole,
        whole.upper(),
        whole.replace(b"\r\n", b";a=b\r\n", 1),
        whole.replace(b"null", b'"stop"'),
        whole.replace(b"index", b"index "),
        whole + b"0\r\n\r\n",
        whole + b"\r\n",
        b"\r\n" + whole,
        b"1\r\nx\r\n" + whole,
        b"%x" % (len(whole) + 1) + whole[whole.index(b"\r\n") :],
        chunk(PLAIN % (b'"' + b"x" * LONGEST + b'"')),
        chunk(b": comment\n\n" + PLAIN % b'"y"'),
        chunk(PLAIN % b'"y"' + PLAIN % b'"z"'),
    ]


@pytest.mark.parametrize("number", range(17))
def test_anything_else_is_read(number: int) -> None:
    changed = _changed(chunk(PLAIN % b'"y"'))[number]

    assert of(PLAIN % b'"x"').size(changed) == 0
    assert of(PLAIN % b'"x"').sizes(changed) == (0, 0)


RESPONSES = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%b,'
    b'"item_id":"msg_1","output_index":0,"content_index":0,"delta":%b,"logprobs":[],"obfuscation":%b}\n\n'
)


@pytest.mark.parametrize("number", [b"0", b"5", b"10", b"123456789012345"])
def test_any_number_will_do(number: bytes) -> None:
    alike = of(RESPONSES % (b"4", b'"In"', b'"x7"'))
    other = RESPONSES % (number, '" über"'.encode(), b'"a"')

    assert alike.sizes(chunk(other) * 2) == (2, 2 * len(other))
    assert last_number(chunk(RESPONSES % (b"3", b'"a"', b'"b"')) + chunk(other)) == max(
        3, int(number)
    )


@pytest.mark.parametrize(
    "number", [b"", b"-1", b"01", b"1.5", b"1e3", b'"1"', b"null", b" 1", b"1234567890123456"]
)
def test_what_is_no_number_is_read(number: bytes) -> None:
    alike = of(RESPONSES % (b"4", b'"In"', b'"x7"'))

    assert alike.sizes(chunk(RESPONSES % (number, b'"a"', b'"b"'))) == (0, 0)


def test_numbers_alone_are_no_reason_to_expect_anything() -> None:
    assert likeness(b'data: {"type":"response.in_progress","sequence_number":1}\n\n') is None
    assert last_number(b"") == last_number(chunk(PLAIN % b'"x"')) == -1


@pytest.mark.parametrize("other", [PLAIN % b'"other"', ANTHROPIC % b'"x"', PLAIN % b'"x"' * 2])
def test_only_another_event_teaches_something(other: bytes) -> None:
    alike = of(PLAIN % b'"x"')

    assert alike.fits(other) == (likeness(other) == alike)


def test_two_texts_are_always_looked_for_again() -> None:
    assert not of(OPENAI % (b'"a"', b'"b"')).fits(OPENAI % (b'"a"', b'"b"'))


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b": comment\n\n",
        b"data: [DONE]\n\n",
        PLAIN % b'""',
        PLAIN % b"null",
        PLAIN % rb'"\ud83d\ude00"',
        b'data: {"content":"a","text":"b","reasoning":"c","thinking":"d","delta":"e"}\n\n',
        b'data: {"arguments":{"a":1}}\n\n',
        b'data: {"x":"\\"content\\":\\"y"}\n\n',
    ],
)
def test_nothing_is_expected_of_an_event_without_a_text(event: bytes) -> None:
    assert likeness(event) is None


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
EVENTS = [
    PLAIN,
    ANTHROPIC,
    RESPONSES.replace(b"%b", b"7", 1).replace(b'"obfuscation":%b', b'"obfuscation":"x"'),
]
BYTES = (
    st.binary(max_size=12)
    | WORDS.map(str.encode)
    | WORDS.map(msgspec.json.encode).map(lambda b: b[1:-1])
)


@given(st.lists(BYTES, min_size=1, max_size=3), st.sampled_from(EVENTS))
@example([b'"'], PLAIN)
@example([b"\\"], PLAIN)
def test_what_is_alike_can_be_read_and_says_something(texts: list[bytes], form: bytes) -> None:
    alike = of(form % b'"x"')
    events = [form % (b'"' + text + b'"') for text in texts]
    data = b"".join(map(chunk, events))

    number, size = alike.sizes(data)

    if len(texts) == 1 and alike.size(data):
        assert (number, size) == (1, alike.size(data))
    if number:
        assert number == len(texts)
        assert size == sum(map(len, events))
        for text in texts:
            assert msgspec.json.decode(b'"' + text + b'"', type=str)


@given(
    st.binary(max_size=80) | st.tuples(st.integers(0, 120), st.binary(max_size=3)), st.booleans()
)
def test_a_changed_byte_is_seen_wherever_it_is(
    change: bytes | tuple[int, bytes], twice: bool
) -> None:
    event = PLAIN % b'"word"'
    whole = chunk(event) * (1 + twice)
    alike = of(event)
    data = (
        change
        if isinstance(change, bytes)
        else whole[: change[0]] + change[1] + whole[change[0] + 1 :]
    )
    number, size = alike.sizes(data)

    assert not alike.size(data) or number == 1
    if number:
        start = 0
        for _ in range(number):
            heading, _, rest = data[start:].partition(b"\r\n")
            long = int(heading, 16)
            assert rest[long : long + 2] == b"\r\n"
            assert rest[:long].startswith(event.partition(b"word")[0])
            assert rest[:long].endswith(event.partition(b"word")[2])
            start += len(heading) + long + 4
            size -= long
        assert (start, size) == (len(data), 0)
