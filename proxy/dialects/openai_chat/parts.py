"""Parts of a message's content, each a block: text, images, sound, films, files.

Besides OpenAI's own, the parts other providers document: `video_url`, `audio_url`, `document_url` (Mistral),
`file_url` (Perplexity), `thinking` (Mistral). What is none of them is kept as it is.
"""

from __future__ import annotations

import mimetypes
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import unquote_to_bytes

from proxy.dialects import ir
from proxy.dialects.asked import Fields, a_text, an_object, wrong
from proxy.dialects.ir import Json
from proxy.dialects.openai_chat.fields import FAMILY

Kind = Literal["image", "document", "audio", "video"]

_AUDIO_MIMES: Mapping[str, str] = {"mp3": "audio/mpeg", "m4a": "audio/mp4"}
_AUDIO_FORMATS: Mapping[str, str] = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
}
_USUAL_MIME: Mapping[Kind, str] = {
    "image": "image/png",
    "document": "application/pdf",
    "audio": "audio/wav",
    "video": "video/mp4",
}


def audio_mime(name: str) -> str:
    """The type of a sound's `format`; "" without one."""
    return _AUDIO_MIMES.get(name, f"audio/{name}") if name else ""


def audio_format(mime: str) -> str:
    """The `format` of a sound's type."""
    return _AUDIO_FORMATS.get(mime, mime.partition("/")[2] or "wav")


def data_url(url: str) -> tuple[str, str] | None:
    """(type, base64) of a `data:` URL; None if it is another kind of URL."""
    if url[:5].lower() != "data:":
        return None
    head, _, data = url[5:].partition(",")
    mime, *parameters = head.split(";")
    if any(parameter.strip().lower() == "base64" for parameter in parameters):
        return mime.strip().lower(), data
    return mime.strip().lower(), b64encode(unquote_to_bytes(data)).decode("ascii")


def as_data_url(media: ir.Media) -> str:
    """Where the bytes of `media` are: an address, or one that holds them."""
    if media.url:
        return media.url
    data = media.data or b64encode(media.text.encode()).decode("ascii")
    return f"data:{media.mime or _USUAL_MIME[media.kind]};base64,{data}"


def cache_of(part: Json) -> ir.Cache | None:
    """The cache mark of a part, Anthropic's way or OpenAI's, which stays among the part's extras too."""
    mark = part.get("cache_control")
    if isinstance(mark, dict):
        ttl = mark.get("ttl")
        return ir.Cache(ttl if isinstance(ttl, str) else "")
    mark = part.get("prompt_cache_breakpoint")
    if isinstance(mark, dict):
        return ir.Cache("1h" if mark.get("ttl") == "12h" else "")
    return None


def parse(value: object, at: str) -> ir.Block:
    """The block one part is. Raises ProxyError for one of the wrong shape."""
    if isinstance(value, str):
        return ir.Text(value)
    part = an_object(value, at)
    kind = part.get("type")
    if kind is None and "text" in part:
        kind = "text"
    if not isinstance(kind, str):
        raise wrong(f"{at}.type", "a string", "missing_required_parameter")
    reader = _READERS.get(kind)
    if reader is None:
        return ir.Opaque(FAMILY, kind, part, cache_of(part))
    fields = Fields(part, at)
    fields.take("type")
    block = reader(fields)
    if not isinstance(block, ir.Opaque):
        block.extras = fields.rest
        if isinstance(block, ir.Text | ir.Media):
            block.cache = cache_of(fields.rest)
    return block


def _text(fields: Fields) -> ir.Text:
    return ir.Text(fields.need("text"))


def _refusal(fields: Fields) -> ir.Refusal:
    return ir.Refusal(fields.need("refusal"))


def _thinking(fields: Fields) -> ir.Reasoning:
    """Mistral's: a string, or a list of text parts."""
    value = fields.take("thinking")
    if isinstance(value, str):
        return ir.Reasoning(text=value)
    texts = [
        a_text(an_object(part, fields.path("thinking")).get("text", ""), fields.path("thinking"))
        for part in (value if isinstance(value, list) else ())
    ]
    fields.rest.pop("closed", None)
    return ir.Reasoning(text="".join(texts))


def _address(fields: Fields, name: str) -> tuple[str, Json]:
    """The URL at `name`, alone or in an object, and what else that object holds."""
    value = fields.take(name)
    if isinstance(value, str):
        return value, {}
    inner = Fields(value if value is not None else {}, fields.path(name))
    return inner.need("url"), inner.rest


def _placed(kind: Kind, url: str, mime: str = "") -> ir.Media:
    """Media at an address, or inside one."""
    inside = data_url(url)
    if inside is None:
        return ir.Media(kind, mime=mime, url=url)
    return ir.Media(kind, mime=inside[0] or mime, data=inside[1])


def _media_at(kind: Kind, name: str) -> Callable[[Fields], ir.Block]:
    """Reads a part that has an URL at `name`."""

    def read(fields: Fields) -> ir.Block:
        url, more = _address(fields, name)
        detail = more.get("detail")
        media = _placed(kind, url)
        media.detail = detail if isinstance(detail, str) else ""
        return media

    return read


def _audio(fields: Fields) -> ir.Media:
    inner = fields.inner("input_audio") or Fields({}, fields.path("input_audio"))
    data, mime = inner.need("data"), audio_mime(inner.text("format"))
    if data.startswith(("http://", "https://", "data:")):
        return _placed("audio", data, mime)
    return ir.Media("audio", mime=mime, data=data)


def _file(fields: Fields) -> ir.Block:
    inner = fields.inner("file") or Fields({}, fields.path("file"))
    name, file_id, data = inner.text("filename"), inner.text("file_id"), inner.text("file_data")
    if not data:
        if not file_id:
            raise wrong(f"{inner.at}.file_data", "a string", "missing_required_parameter")
        return ir.Media("document", file_id=file_id, origin=FAMILY, name=name)
    return _document(data, name)


def _document(data: str, name: str) -> ir.Media:
    """A file by its data URL, its address, or its bare base64."""
    if not data.startswith(("http://", "https://", "data:")):
        data = f"data:{mimetypes.guess_type(name)[0] or 'application/pdf'};base64,{data}"
    media = _placed("document", data)
    media.name = name
    kind = media.mime.partition("/")[0]
    if kind in ("image", "audio", "video"):
        media.kind = kind  # type: ignore[assignment]
    elif kind == "text" and media.data:
        try:
            media.text, media.data = b64decode(media.data).decode(), ""
        except (Error, ValueError):
            pass
    return media


def _document_url(fields: Fields) -> ir.Media:
    url, _ = _address(fields, "document_url")
    return _document(url, fields.text("document_name"))


def _file_url(fields: Fields) -> ir.Media:
    url, _ = _address(fields, "file_url")
    return _document(url, fields.text("file_name"))


_READERS: Mapping[str, Callable[[Fields], ir.Block]] = {
    "text": _text,
    "refusal": _refusal,
    "thinking": _thinking,
    "image_url": _media_at("image", "image_url"),
    "video_url": _media_at("video", "video_url"),
    "audio_url": _media_at("audio", "audio_url"),
    "input_audio": _audio,
    "file": _file,
    "document_url": _document_url,
    "file_url": _file_url,
}


def render(media: ir.Media, *, own: bool) -> Json | None:
    """The part a provider is sent; None when there is none for this. `own`: it came in this dialect."""
    if media.file_id:
        if media.origin != FAMILY or media.kind != "document":
            return None
        return _file_part(media, {"file_id": media.file_id})
    match media.kind:
        case "image":
            image = {"url": as_data_url(media)}
            if media.detail:
                image["detail"] = media.detail
            return {"type": "image_url", "image_url": image}
        case "video":
            return {"type": "video_url", "video_url": {"url": as_data_url(media)}}
        case "audio" if media.url:
            return {"type": "audio_url", "audio_url": {"url": media.url}} if own else None
        case "audio":
            sound = {"data": media.data, "format": audio_format(media.mime)}
            return {"type": "input_audio", "input_audio": sound}
        case _:
            return _document_part(media, own=own)


def _document_part(media: ir.Media, *, own: bool) -> Json | None:
    if media.url:
        named = {"file_name": media.name} if media.name else {}
        return {"type": "file_url", "file_url": {"url": media.url}, **named} if own else None
    if media.text and not own:
        heads = (
            f"{media.name}:\n" if media.name else "",
            f"{media.context}\n" if media.context else "",
        )
        return {"type": "text", "text": "".join(heads) + media.text}
    data = {"file_data": as_data_url(media)}
    if media.name or not own:
        # OpenAI demands a name beside the data.
        data["filename"] = media.name or _file_name(media.mime)
    return _file_part(media, data)


def _file_part(media: ir.Media, file: Json) -> Json:
    if media.name:
        file["filename"] = media.name
    return {"type": "file", "file": file}


def _file_name(mime: str) -> str:
    return "document" + (mimetypes.guess_extension(mime or "application/pdf") or "")
