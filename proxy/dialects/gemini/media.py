"""Images, documents, sound and films: bytes in `inlineData`, addresses in `fileData`.

An address of Google's own (an upload of the Files API, an object of Cloud Storage) means nothing to anybody else and
is a file; any other is a URL.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from msgspec.structs import replace

from proxy.dialects import ir
from proxy.dialects.gemini.names import FAMILY
from proxy.dialects.gemini.reading import a_text, an_object
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss

Kind = Literal["image", "document", "audio", "video"]

_KINDS: Mapping[str, Kind] = {"image": "image", "audio": "audio", "video": "video"}
_USUAL: Mapping[Kind, str] = {
    "image": "image/jpeg",
    "document": "application/pdf",
    "audio": "audio/mpeg",
    "video": "video/mp4",
}
"""What is said of something at an address whose name does not tell."""
_ENDINGS: Mapping[str, str] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "xml": "text/xml",
    "json": "application/json",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "m4a": "audio/mp4",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mpeg": "video/mpeg",
}
"""What a name ends in. Python's own table would have to be read from the disk."""
_ALIASES: Mapping[str, str] = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg"}
"""What others take for a type, and Google refuses."""
_FILES = ("https://generativelanguage.googleapis.com/", "gs://", "files/")
_FILMS = frozenset({"youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be"})
_DETAIL: Mapping[str, str] = {
    "MEDIA_RESOLUTION_LOW": "low",
    "MEDIA_RESOLUTION_MEDIUM": "auto",
    "MEDIA_RESOLUTION_HIGH": "high",
    "MEDIA_RESOLUTION_ULTRA_HIGH": "high",
}
_LEVELS: Mapping[str, str] = {
    "low": "MEDIA_RESOLUTION_LOW",
    "medium": "MEDIA_RESOLUTION_MEDIUM",
    "high": "MEDIA_RESOLUTION_HIGH",
    "original": "MEDIA_RESOLUTION_ULTRA_HIGH",
}


def standard_base64(data: str) -> str:
    """Base64 of either alphabet, padded or not, in the standard one: Google's own client sends the other."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)


def read_inline(value: object, where: str) -> ir.Media:
    """`inlineData`, of a part or of a function's response."""
    blob = an_object(value, where)
    mime = a_text(blob.pop("mimeType", ""), f"{where}.mimeType")
    data = standard_base64(a_text(blob.pop("data", ""), f"{where}.data"))
    kind = _kind(mime)
    made = ir.Media(kind, mime=mime, data=data, extras=_prefixed("inlineData", blob))
    made.name = _name(blob)
    if mime.startswith("text/"):
        try:
            made.text, made.data = b64decode(data).decode(), ""
        except ValueError:
            pass  # not UTF-8, or no base64: then it is bytes
        if not made.text:
            made.data = data
    return made


def read_file(value: object, where: str) -> ir.Media:
    """`fileData`."""
    file = an_object(value, where)
    address = a_text(file.pop("fileUri", ""), f"{where}.fileUri")
    mime = a_text(file.pop("mimeType", ""), f"{where}.mimeType")
    kind = _kind(mime or _guess(address))
    made = ir.Media(kind, mime=mime, name=_name(file), extras=_prefixed("fileData", file))
    if address.startswith(_FILES):
        made.file_id, made.origin = address, FAMILY
        return made
    made.url = address
    if not mime and _is_film(address):
        made.kind = "video"
    return made


def read_detail(resolution: object) -> str:
    """How closely to look, from a part's `mediaResolution`."""
    level = resolution.get("level") if isinstance(resolution, dict) else resolution
    return _DETAIL.get(level.upper(), "") if isinstance(level, str) else ""


def write_media(media: ir.Media, loss: Loss, *, same: bool, looks: bool) -> Json | None:
    """A part; None when this provider cannot be given it. `looks`: the model is told how closely."""
    if media.file_id and media.origin != FAMILY:
        loss.drop(f"{media.kind}.file")
        return None
    if not same and media.mime in _ALIASES:
        media = replace(media, mime=_ALIASES[media.mime])
    part = _data(media) if media.data or media.text else _file(media, same=same)
    if same:
        for name, value in media.extras.items():
            group, _, field = name.partition(".")
            if field and isinstance(part.get(group), dict):
                part[group][field] = value
            elif not field:
                part[name] = value
    elif media.detail:
        level = _LEVELS.get(media.detail)
        if level and looks:
            part["mediaResolution"] = {"level": level}
        elif media.detail != "auto":
            loss.drop("image.detail")
    return part


def _data(media: ir.Media) -> Json:
    if media.text:
        data = b64encode(media.text.encode("utf-8", "replace")).decode("ascii")
        return {"inlineData": {"mimeType": media.mime or "text/plain", "data": data}}
    return {"inlineData": {"mimeType": media.mime or _USUAL[media.kind], "data": media.data}}


def _file(media: ir.Media, *, same: bool) -> Json:
    address = media.file_id or media.url
    file: Json = {"fileUri": address}
    mime = media.mime
    if not (mime or same or media.file_id or _is_film(address)):
        mime = _guess(address) or _USUAL[media.kind]
    if mime:
        file["mimeType"] = mime
    return {"fileData": file}


def _kind(mime: str) -> Kind:
    return _KINDS.get(mime.partition("/")[0].lower(), "document")


def _guess(address: str) -> str:
    """What is at an address, by its name; "" when that does not tell."""
    path = address.partition("?")[0].partition("#")[0]
    return _ENDINGS.get(path.rpartition("/")[2].rpartition(".")[2].lower(), "")


def _is_film(address: str) -> bool:
    try:
        return urlsplit(address).hostname in _FILMS
    except ValueError:
        return False


def _name(fields: Json) -> str:
    name = fields.get("displayName", "")
    return name if isinstance(name, str) else ""


def _prefixed(group: str, fields: Json) -> Json:
    """Fields of an object inside a part, as extras of the block."""
    return {f"{group}.{name}": value for name, value in fields.items()}
