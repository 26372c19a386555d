"""Forms are read by place and refused where two readers might disagree."""

from __future__ import annotations

import base64
from contextlib import suppress
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.wire.multipart import MAX_PARTS, Form, from_json, replace_model

TYPE = "multipart/form-data; boundary=XX"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
JPEG = b"\xff\xd8\xff\xe0 picture"
FILE = b"\0\r\n--X\r\n\r\nname=\xff" * 9


def form(*parts: tuple[bytes, bytes], end: bytes = b"--XX--\r\n") -> bytes:
    return b"".join(b"--XX\r\n%b\r\n\r\n%b\r\n" % part for part in parts) + end


def field(name: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"'.encode()


UPLOAD = form(
    (field("model"), b"whisper-1"),
    (
        b'content-disposition:form-data;name=file; filename="a;b\\".wav"\r\nContent-Type: audio/wav',
        FILE,
    ),
    (field("stream"), b"true"),
    (field("language"), b""),
)


def refused(body: bytes, content_type: str = TYPE) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        Form.parse(body, content_type).text("model")
    return caught.value


def parsed(content_type: bytes, body: bytes) -> list[tuple[str, str | None, str, bytes]]:
    """(name, file name, type, value) of each part, by somebody else's parser."""
    message = BytesParser(EmailMessage, policy=HTTP).parsebytes(
        b"content-type: " + content_type + b"\r\n\r\n" + body
    )
    found = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        assert isinstance(name, str)
        assert isinstance(value, bytes)
        found.append((name, part.get_filename(), part.get_content_type(), value))
    return found


def test_text_fields_are_found_between_files() -> None:
    found = Form.parse(UPLOAD, TYPE)

    assert found.text("model") == "whisper-1"
    assert found.text("stream") == "true"
    assert found.text("language") == ""
    assert found.text("file") is None
    assert found.text("missing") is None
    assert [part.name for part in found.parts if part.is_file] == ["file"]


def test_another_model_changes_nothing_else() -> None:
    found = Form.parse(UPLOAD, TYPE)

    assert replace_model(UPLOAD, found, "other-ä") == UPLOAD.replace(
        b"whisper-1", "other-ä".encode()
    )


def test_a_form_without_model_gets_one() -> None:
    body = form((field("stream"), b"true"))

    changed = replace_model(body, Form.parse(body, TYPE), "m")

    assert Form.parse(changed, TYPE).text("model") == "m"
    assert Form.parse(changed, TYPE).text("stream") == "true"
    assert changed.endswith(body)


def test_a_name_that_would_break_the_form_is_refused() -> None:
    with pytest.raises(ProxyError):
        Form.parse(UPLOAD, TYPE).replace("model", "a\r\n--XX")


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="XX"',
        "Multipart/Form-Data;BOUNDARY=XX",
        "multipart/form-data; charset=utf-8; boundary=XX",
    ],
)
def test_content_types_are_read_as_they_are_written(content_type: str) -> None:
    assert Form.parse(UPLOAD, content_type).text("model") == "whisper-1"


@pytest.mark.parametrize("content_type", ["application/json", "", "multipart/mixed; boundary=XX"])
def test_another_content_type_is_unsupported(content_type: str) -> None:
    assert refused(UPLOAD, content_type).ref == "bad_enc"


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=XX; boundary=YY",
        "multipart/form-data; boundary=" + "X" * 71,
        'multipart/form-data; boundary="X\\""',
        "multipart/form-data; boundary=XX; oops",
        "multipart/form-data; boundary=YY",
    ],
)
def test_a_boundary_must_be_clear(content_type: str) -> None:
    assert refused(UPLOAD, content_type).code == "invalid_form"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"\r\n" + UPLOAD,
        UPLOAD.replace(b"\r\n", b"\n"),
        UPLOAD[:-10],
        UPLOAD + b"more",
        form((field("model"), b"a"), end=b"--XX"),
        form((field("model"), b"a"), end=b"--XXX--\r\n"),
        form((field("model"), b"a"), (field("model"), b"b")),
        form((field("model"), b"\xff")),
        form((b"content-type: text/plain", b"a")),
        form((b"content-disposition: form-data", b"a")),
        form((b'content-disposition: attachment; name="model"', b"a")),
        form((b"content-disposition: form-data; name*=utf-8''model", b"a")),
        form((b'content-disposition: form-data; name="a"; name="model"', b"a")),
        form((field("a") + b"\r\n" + field("model"), b"a")),
        form((field("model") + b"\r\n folded", b"a")),
        form((field("model") + b"\r\nno colon", b"a")),
        form((field("model") + b"\r\ncontent-transfer-encoding: base64", b"YQ==")),
        form((field("model") + b"\r\nx: \xff", b"a")),
        form((field("model") + b"\r\nx: " + b"y" * 9000, b"a")),
        form(*[(field(f"f{index}"), b"") for index in range(MAX_PARTS + 1)]),
        b"--XX\r\n" + field("model") + b"\r\n\r\n--XX--\r\n",
        b"--XX\r\n\r\n\r\na\r\n--XX--\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    error = refused(body)

    assert error.ref == "bad_req"
    assert error.code == "invalid_form"


def test_as_many_parts_as_allowed_are_read() -> None:
    body = form(*[(field(f"f{index}"), b"") for index in range(MAX_PARTS)])

    assert len(Form.parse(body, TYPE).parts) == MAX_PARTS


def test_a_file_may_be_large_but_not_huge() -> None:
    upload = (field("file") + b'; filename="f"', bytes(26 * 1024 * 1024))

    assert refused(form(upload)).ref == "too_big"


@given(st.binary(max_size=80))
def test_any_bytes_are_a_form_or_are_refused(noise: bytes) -> None:
    for body in (noise, b"--XX\r\n" + noise, UPLOAD[:60] + noise + UPLOAD[60:]):
        with suppress(ProxyError):
            assert len(Form.parse(body, TYPE).parts) <= MAX_PARTS


@given(st.lists(st.tuples(st.sampled_from(["a", "b c", "ü"]), st.binary(max_size=30)), max_size=4))
def test_fields_are_where_they_were_put(fields: list[tuple[str, bytes]]) -> None:
    fields = [(name, value.replace(b"\r\n--XX", b"")) for name, value in fields]
    body = form(*[(field(name), value) for name, value in fields])

    found = Form.parse(body, TYPE)

    assert [(part.name, body[part.start : part.end]) for part in found.parts] == fields


def test_json_becomes_the_form_it_stands_for() -> None:
    encoded = base64.b64encode(PNG).decode()
    body = orjson.dumps(
        {
            "model": "gpt-image-1",
            "prompt": 'a "quoted" cät',
            "image": [f"data:image/png;base64,{encoded}", {"b64_json": encoded}],
            "mask": base64.b64encode(JPEG).decode(),
            "n": 2,
            "stream": False,
            "user": None,
            "tags": ["a", "b"],
            "extra": {"k": [1]},
        }
    )

    content_type, made = from_json(body)

    assert parsed(content_type, made) == [
        ("model", None, "text/plain", b"gpt-image-1"),
        ("prompt", None, "text/plain", 'a "quoted" cät'.encode()),
        ("image[]", "image.png", "image/png", PNG),
        ("image[]", "image.png", "image/png", PNG),
        ("mask", "mask.jpeg", "image/jpeg", JPEG),
        ("n", None, "text/plain", b"2"),
        ("stream", None, "text/plain", b"false"),
        ("tags[]", None, "text/plain", b"a"),
        ("tags[]", None, "text/plain", b"b"),
        ("extra", None, "text/plain", b'{"k":[1]}'),
    ]
    assert Form.parse(made, content_type.decode()).text("model") == "gpt-image-1"


@pytest.mark.parametrize(
    "image",
    [
        "https://example.com/cat.png",
        "not base64!",
        base64.b64encode(b"plain text").decode(),
        base64.b64encode(PNG).decode()[:-1],
        "data:text/html;base64,PGI+",
        {"url": "https://example.com/cat.png"},
        {},
        12,
        [12],
    ],
)
def test_what_is_no_picture_is_refused(image: object) -> None:
    with pytest.raises(ProxyError) as caught:
        from_json(orjson.dumps({"image": image}))

    assert caught.value.code == "invalid_image"
    assert caught.value.param == "image"


@pytest.mark.parametrize("kind", [b"GIF89a", b"RIFF\x10\0\0\0WEBPVP8 "])
def test_other_pictures_are_known_by_their_first_bytes(kind: bytes) -> None:
    content_type, made = from_json(orjson.dumps({"image": base64.b64encode(kind).decode()}))

    assert parsed(content_type, made)[0][2] in ("image/gif", "image/webp")


@pytest.mark.parametrize("body", [b"[]", b"{", b"[" * 100_000, b'{"a":\xff}'])
def test_what_is_no_object_makes_no_form(body: bytes) -> None:
    with pytest.raises(ProxyError) as caught:
        from_json(body)

    assert caught.value.ref == "bad_json"


def test_a_form_from_json_has_its_limits_too() -> None:
    with pytest.raises(ProxyError):
        from_json(orjson.dumps({"tags": ["x"] * (MAX_PARTS + 1)}))
    with pytest.raises(ProxyError):
        from_json(orjson.dumps({"a\r\nb": "x"}))
