"""Images, files and sound among the parts of an input."""

from __future__ import annotations

import mimetypes
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from proxy.dialects import ir
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss
from proxy.dialects.openai_responses.fields import FAMILY, word

_MIMES: Mapping[str, str] = {"mp3": "audio/mpeg"}
_FORMATS: Mapping[str, str] = {"audio/mpeg": "mp3", "audio/mp3": "mp3"}
_DETAILS = frozenset({"low", "high", "auto", "original"})
_USUAL = {"image": "image/png", "document": "application/pdf"}


def read_image(part: Json) -> ir.Media:
    """`input_image`."""
    media = _placed("image", word(part, "image_url"))
    media.file_id, media.detail = word(part, "file_id"), word(part, "detail")
    media.origin = FAMILY if media.file_id else ""
    return media


def read_file(part: Json) -> ir.Media:
    """`input_file`. Its bytes are a `data:` URL, or base64 alone."""
    name = word(part, "filename")
    data, url = word(part, "file_data"), word(part, "file_url")
    if data and not data.startswith("data:"):
        data = f"data:{mimetypes.guess_type(name)[0] or 'application/pdf'};base64,{data}"
    media = _placed("document", data or url)
    media.file_id, media.name, media.detail = word(part, "file_id"), name, word(part, "detail")
    media.origin = FAMILY if media.file_id else ""
    if media.mime.startswith("text/") and media.data:
        try:
            media.text, media.data = b64decode(media.data, validate=True).decode(), ""
        except (Error, ValueError):
            pass
    return media


def read_audio(part: Json) -> ir.Media:
    """`input_audio`."""
    inner = part.get("input_audio")
    sound = inner if isinstance(inner, dict) else {}
    name = word(sound, "format")
    mime = _MIMES.get(name, f"audio/{name}") if name else ""
    return ir.Media("audio", mime=mime, data=word(sound, "data"))


def _placed(kind: str, url: str) -> ir.Media:
    """Media at an address, or inside one."""
    if url[:5].lower() != "data:":
        return ir.Media(kind, url=url)  # type: ignore[arg-type]
    head, _, data = url[5:].partition(",")
    mime, *parameters = head.split(";")
    if not any(parameter.strip().lower() == "base64" for parameter in parameters):
        data = b64encode(unquote_to_bytes(data)).decode("ascii")
    return ir.Media(kind, mime=mime.strip().lower(), data=data)  # type: ignore[arg-type]


def write_media(media: ir.Media, loss: Loss, *, own: bool) -> Json | None:
    """The part of an input; None where there is none for it, which is said if `survey` has not said it yet."""
    if media.file_id and media.origin != FAMILY:
        loss.drop(f"{media.kind}.file")
        return None
    match media.kind:
        case "image":
            return _image(media, loss, own=own)
        case "document":
            return _document(media, own=own)
        case "audio" if own:
            mime = media.mime
            sound = {"data": media.data, "format": _FORMATS.get(mime, mime.partition("/")[2])}
            return {"type": "input_audio", "input_audio": sound}
        case _:
            return None


def _url(media: ir.Media) -> str:
    if media.url:
        return media.url
    data = media.data or b64encode(media.text.encode()).decode("ascii")
    return f"data:{media.mime or _USUAL[media.kind]};base64,{data}"


def _image(media: ir.Media, loss: Loss, *, own: bool) -> Json:
    detail = media.detail or ("" if own else "auto")
    if detail not in _DETAILS and not own:
        loss.drop("image.detail")
        detail = "auto"
    part: Json = {"type": "input_image"}
    if detail:
        part["detail"] = detail
    if media.file_id:
        part["file_id"] = media.file_id
    else:
        part["image_url"] = _url(media)
    return part


def _document(media: ir.Media, *, own: bool) -> Json:
    part: Json = {"type": "input_file"}
    if media.file_id:
        part["file_id"] = media.file_id
    elif media.url:
        part["file_url"] = media.url
    elif media.text and not own:
        # Files of text are for the newest models only; text is for all.
        heads = [f"{head}\n\n" for head in (media.name, media.context) if head]
        return {"type": "input_text", "text": "".join(heads) + media.text}
    else:
        part["file_data"] = _url(media)
        part["filename"] = media.name or _file_name(media.mime)
        return part
    if own:
        part.update(
            {
                name: value
                for name, value in (("filename", media.name), ("detail", media.detail))
                if value
            }
        )
    return part


def _file_name(mime: str) -> str:
    return "document" + (mimetypes.guess_extension(mime or "application/pdf") or "")
