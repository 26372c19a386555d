from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Provider
from proxy.gateway import forms
from proxy.gateway.endpoints import match
from proxy.wire.multipart import Form

PICTURE = b64encode(b"\x89PNG\r\n\x1a\n and more").decode()


def made(body: str, path: str = "/v1/images/edits", *, json: bool = False) -> Form | None:
    found = match("POST", path)
    assert found is not None
    form = forms.form(found[0], Provider("p", "http://p", {}, json_edits=json), body.encode())
    return None if form is None else Form.parse(form[1], form[0].decode())


@pytest.mark.parametrize("picture", [PICTURE, f"data:image/png;base64,{PICTURE}"])
def test_a_picture_in_the_body_is_put_into_a_form(picture: str) -> None:
    form = made(f'{{"model":"m","prompt":"p","n":2,"image":"{picture}"}}')

    assert form is not None
    assert [part.name for part in form.parts if part.is_file] == ["image"]
    assert (form.text("model"), form.text("n")) == ("m", "2")


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m","prompt":"p"}',
        '{"model":"m","image":"https://h.example/a.png"}',
        '{"model":"m","image":"aW1hZ2U="}',
        '{"model":"m","images":[{"file_id":"file-1"}]}',
        "not json",
    ],
)
def test_everything_else_stays_as_it_is(body: str) -> None:
    assert made(body) is None


def test_who_takes_json_gets_json() -> None:
    body = f'{{"model":"m","image":"{PICTURE}"}}'

    assert made(body, json=True) is None
    assert made(body, "/v1/images/generations") is None


@given(st.sampled_from([b"Content-Type", b"content-type"]), st.booleans())
def test_a_head_has_one_content_type(name: bytes, given: bool) -> None:
    head = b"POST /x HTTP/1.1\r\nhost: h\r\n"
    head += name + b": application/json; charset=utf-8\r\n" if given else b""
    head += b"content-length: 3\r\n\r\n"

    typed = forms.typed(head, b"multipart/form-data; boundary=b")

    assert typed.lower().count(b"\r\ncontent-type:") == 1
    assert b"\r\ncontent-type: multipart/form-data; boundary=b\r\n" in typed
    assert b"json" not in typed
    assert typed.endswith(b"content-length: 3\r\n\r\n")
