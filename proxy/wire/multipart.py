"""The fields of a `multipart/form-data` body (RFC 7578) by their place in it; files are never copied.

A form is read the strict way, the one every server agrees on: a body that two parsers might cut differently is
refused, since the provider must see the same `model` that we have checked.
"""

from __future__ import annotations

import binascii
import re
import secrets

import msgspec
from msgspec import Struct

from proxy.core.errors import ProxyError

MAX_PARTS = 64
MAX_BOUNDARY = 70
MAX_HEADER = 8 * 1024
MAX_FIELD = 25 * 1024 * 1024
_MAX_TEXT = 64 * 1024
"""Longer values are not read as text; nothing we read is near it."""

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf';[ \t]*({_WORD}\*?)=(?:"((?:[^"\\]|\\.)*)"|({_WORD}))[ \t]*')
_HEADER = re.compile(rf"({_WORD}):[ \t]*([^\r\n\0]*)")
_PLAIN_ENCODINGS = frozenset({"7bit", "8bit", "binary"})

Files = frozenset[str]
FILES: Files = frozenset({"image", "mask"})


class Part(Struct, frozen=True):
    """One field: `body[start:end]` is its value."""

    name: str
    is_file: bool
    start: int
    end: int


class Form:
    """A form, as the places of its fields in `body`."""

    __slots__ = ("body", "boundary", "parts")

    def __init__(self, body: bytes, boundary: bytes, parts: list[Part]) -> None:
        self.body = body
        self.boundary = boundary
        self.parts = parts

    @classmethod
    def parse(cls, body: bytes, content_type: str) -> Form:
        """Find the fields of `body`. Raises ProxyError bad_enc (no form) or bad_req (no well-formed form)."""
        boundary = b"--" + _boundary(content_type)
        if not body.startswith(boundary):
            raise _malformed("It does not begin with the boundary of its content type.")
        parts: list[Part] = []
        at = len(boundary)
        while not body.startswith(b"--", at):
            if len(parts) == MAX_PARTS:
                raise _malformed(f"It has more than {MAX_PARTS} parts.")
            part, at = _part(body, at, b"\r\n" + boundary)
            parts.append(part)
        if body[at + 2 :].strip(b" \t\r\n"):
            raise _malformed("Something follows its end.")
        return cls(body, boundary[2:], parts)

    def text(self, name: str) -> str | None:
        """The value of a text field; None when there is none. Raises ProxyError bad_req when it is given twice."""
        part = self._find(name)
        if part is None or part.is_file or part.end - part.start > _MAX_TEXT:
            return None
        try:
            return self.body[part.start : part.end].decode()
        except UnicodeDecodeError:
            raise _malformed(f"The field {name!r} is not UTF-8.", name) from None

    def replace(self, name: str, value: str) -> bytes:
        """The body with another value for a text field; the field is put first if there was none."""
        raw = value.encode()
        if b"\r" in raw or b"\n" in raw:
            raise _malformed(f"The field {name!r} cannot hold a line break.", name)
        part = self._find(name)
        view = memoryview(self.body)
        if part is not None:
            return b"".join((view[: part.start], raw, view[part.end :]))
        return b"".join((_field(self.boundary, name, raw), view))

    def _find(self, name: str) -> Part | None:
        found = [part for part in self.parts if part.name == name]
        if len(found) > 1:
            raise _malformed(f"The field {name!r} is given more than once.", name)
        return found[0] if found else None


def replace_model(body: bytes, form: Form, model: str) -> bytes:
    """`body`, which `form` was read from, asking for another model."""
    assert body is form.body
    return form.replace("model", model)


def from_json(body: bytes, files: Files = FILES) -> tuple[bytes, bytes]:
    """(content type, body) of the form that says what the JSON object `body` says.

    The fields in `files` hold one file or a list of them, each as base64 or a data URL; they become file parts,
    everything else text parts. Raises ProxyError bad_json, or bad_req for what is no file.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, object])
    except (ValueError, RecursionError):
        raise ProxyError("bad_json") from None
    boundary = secrets.token_hex(24).encode()
    parts: list[bytes] = []
    for name, value in fields.items():
        if name in files:
            parts += _files(boundary, name, value)
        elif value is not None:
            parts += _texts(boundary, name, value)
    if len(parts) > MAX_PARTS:
        raise _malformed(f"It has more than {MAX_PARTS} values.")
    parts.append(b"--%b--\r\n" % boundary)
    return b"multipart/form-data; boundary=" + boundary, b"".join(parts)


def _malformed(why: str, param: str | None = None) -> ProxyError:
    message = f"The form is not usable. {why}"
    return ProxyError("bad_req", message, code="invalid_form", param=param)


def _parameters(text: str) -> dict[str, str] | None:
    """The parameters after a header's first word, names in lower case; None when malformed or given twice."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None or match[1].lower() in found:
            return None
        quoted, token = match[2], match[3]
        found[match[1].lower()] = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = match.end()
    return found


def _boundary(content_type: str) -> bytes:
    kind, semicolon, rest = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise ProxyError("bad_enc", "Send this request as 'multipart/form-data'.")
    boundary = (_parameters(semicolon + rest) or {}).get("boundary", "")
    if len(boundary) > MAX_BOUNDARY or _BOUNDARY.fullmatch(boundary) is None:
        raise _malformed("Its content type names no valid boundary.")
    return boundary.encode()


def _part(body: bytes, at: int, delimiter: bytes) -> tuple[Part, int]:
    """The part whose delimiter ends at `at`, and where the next delimiter ends."""
    if not body.startswith(b"\r\n", at):
        raise _malformed("A boundary is not followed by a line end.")
    # The search includes that line end: a part without any header begins with its blank line.
    blank = body.find(b"\r\n\r\n", at, at + MAX_HEADER + 4)
    if blank < 0:
        raise _malformed(f"The head of a part has no end within {MAX_HEADER} bytes.")
    name, is_file = _head(body[at + 2 : blank])
    start = blank + 4
    # From the blank line's own end: the value may be empty and its delimiter follow at once.
    end = body.find(delimiter, start - 2)
    if end < 0:
        raise _malformed("Its last part has no end.")
    if end < start:
        raise _malformed("A part has no value.")
    if end - start > MAX_FIELD:
        raise ProxyError("too_big", f"A field of the form is larger than {MAX_FIELD} bytes.")
    return Part(name, is_file, start, end), end + len(delimiter)


def _head(head: bytes) -> tuple[str, bool]:
    """(name, whether it is a file) of a part."""
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError:
        raise _malformed("The head of a part is not UTF-8.") from None
    disposition = ""
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise _malformed("The head of a part has a malformed line.")
        header = match[1].lower()
        if header == "content-transfer-encoding":
            if match[2].strip().lower() not in _PLAIN_ENCODINGS:
                raise _malformed("A part is encoded a second time.")
        elif header == "content-disposition":
            if disposition:
                raise _malformed("A part has two names.")
            disposition = match[2]
    kind, semicolon, rest = disposition.partition(";")
    parameters = _parameters(semicolon + rest.rstrip())
    if kind.strip().lower() != "form-data" or not parameters or "name*" in parameters:
        raise _malformed("A part has no plain name.")
    if "name" not in parameters:
        raise _malformed("A part has no name.")
    return parameters["name"], "filename" in parameters or "filename*" in parameters


def _field(
    boundary: bytes, name: str, value: bytes, kind: bytes = b"", filename: str = ""
) -> bytes:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    if "\r" in quoted or "\n" in quoted or "\0" in quoted:
        raise _malformed("A field's name cannot be sent in a form.")
    head = f'content-disposition: form-data; name="{quoted}"'
    if filename:
        head += f'; filename="{filename}"'
    if kind:
        head += f"\r\ncontent-type: {kind.decode()}"
    return b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head.encode(), value)


def _texts(boundary: bytes, name: str, value: object) -> list[bytes]:
    if isinstance(value, list):
        return [part for item in value for part in _texts(boundary, name + "[]", item)]
    raw = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
    return [_field(boundary, name, raw)]


_SIGNATURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"\xff\xd8\xff"), "jpeg"),
    (re.compile(rb"GIF8[79]a"), "gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "webp"),
)
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,32}((?:;[a-zA-Z0-9=_.+-]{1,64}){0,4});base64,")


def _files(boundary: bytes, name: str, value: object) -> list[bytes]:
    if value is None:
        return []
    if isinstance(value, list):
        return [part for item in value for part in _files(boundary, name + "[]", item)]
    if isinstance(value, dict):
        value = value.get("b64_json") or value.get("image_url") or value.get("url")
    raw = _bytes_of(name, value)
    kind = next((kind for mark, kind in _SIGNATURES if mark.match(raw)), None)
    if kind is None:
        raise _no_file(name)
    filename = f"{name.removesuffix('[]')}.{kind}"
    return [_field(boundary, name, raw, b"image/" + kind.encode(), filename)]


def _bytes_of(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise _no_file(name)
    header = _DATA_URL.match(value)
    try:
        return binascii.a2b_base64(value[header.end() :] if header else value, strict_mode=True)
    except ValueError:
        raise _no_file(name) from None


def _no_file(name: str) -> ProxyError:
    field = name.removesuffix("[]")
    message = (
        f"The field {field!r} must be a PNG, JPEG, GIF or WebP image as base64 or as a data URL."
    )
    return ProxyError("bad_req", message, code="invalid_image", param=field)
