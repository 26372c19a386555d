"""Images, documents, sound and films."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects import ir
from proxy.dialects.gemini.media import (
    read_detail,
    read_file,
    read_inline,
    standard_base64,
    write_media,
)
from proxy.dialects.loss import Loss


@pytest.mark.parametrize(("data", "expected"), [("_-8", "/+8="), ("AAAA", "AAAA"), ("", "")])
def test_both_alphabets_are_base64(data: str, expected: str) -> None:
    assert standard_base64(data) == expected


@pytest.mark.parametrize(
    ("blob", "expected"),
    [
        ({"mimeType": "image/png", "data": "AA=="}, ir.Media("image", "image/png", "AA==")),
        ({"mime_type": "audio/wav", "data": "AA=="}, ir.Media("audio", "audio/wav", "AA==")),
        ({"mimeType": "text/plain", "data": "SMOp"}, ir.Media("document", "text/plain", text="Hé")),
        ({"mimeType": "text/csv", "data": "//79"}, ir.Media("document", "text/csv", "//79")),
        ({"mimeType": "text/csv", "data": "!"}, ir.Media("document", "text/csv", "!===")),
        ({"mimeType": "text/csv", "data": "é"}, ir.Media("document", "text/csv", "é===")),
        ({"data": "AA=="}, ir.Media("document", "", "AA==")),
        (
            {"mimeType": "image/png", "data": "AA==", "displayName": "cat"},
            ir.Media(
                "image", "image/png", "AA==", name="cat", extras={"inlineData.displayName": "cat"}
            ),
        ),
    ],
)
def test_bytes_are_of_a_kind(blob: dict[str, Any], expected: ir.Media) -> None:
    assert read_inline(blob, "inlineData") == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a", "mimeType": "application/pdf"},
            ir.Media("document", "application/pdf", file_id="https://generativelanguage.googleapis.com/v1beta/files/a", origin="gemini"),
        ),
        ({"fileUri": "gs://b/a.mp3"}, ir.Media("audio", file_id="gs://b/a.mp3", origin="gemini")),
        ({"fileUri": "https://x.example/a.png"}, ir.Media("image", url="https://x.example/a.png")),
        ({"fileUri": "https://youtu.be/a"}, ir.Media("video", url="https://youtu.be/a")),
        ({"fileUri": "https://[bad"}, ir.Media("document", url="https://[bad")),
    ],
)  # fmt: skip
def test_an_address_is_googles_own_or_anybodys(file: dict[str, Any], expected: ir.Media) -> None:
    assert read_file(file, "fileData") == expected


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        (ir.Media("image", data="AA=="), {"inlineData": {"mimeType": "image/jpeg", "data": "AA=="}}),
        (ir.Media("image", "image/jpg", "AA=="), {"inlineData": {"mimeType": "image/jpeg", "data": "AA=="}}),
        (ir.Media("document", text="Hé"), {"inlineData": {"mimeType": "text/plain", "data": "SMOp"}}),
        (ir.Media("image", url="https://x.example/a.webp?b"), {"fileData": {"fileUri": "https://x.example/a.webp?b", "mimeType": "image/webp"}}),
        (ir.Media("audio", url="https://x.example/a"), {"fileData": {"fileUri": "https://x.example/a", "mimeType": "audio/mpeg"}}),
        (ir.Media("video", url="https://youtu.be/a"), {"fileData": {"fileUri": "https://youtu.be/a"}}),
        (ir.Media("document", file_id="gs://b/a", origin="gemini"), {"fileData": {"fileUri": "gs://b/a"}}),
        (ir.Media("image", file_id="file-1", origin="openai"), None),
    ],
)  # fmt: skip
def test_a_provider_is_told_what_it_is(media: ir.Media, expected: object) -> None:
    assert write_media(media, Loss(), same=False, looks=False) == expected


@pytest.mark.parametrize(
    ("detail", "looks", "level", "is_lost"),
    [
        ("low", True, "MEDIA_RESOLUTION_LOW", False),
        ("low", False, None, True),
        ("auto", False, None, False),
        ("odd", True, None, True),
    ],
)
def test_how_closely_to_look_is_said_where_it_can_be(
    detail: str, looks: bool, level: str | None, is_lost: bool
) -> None:
    loss = Loss()

    part = write_media(
        ir.Media("image", "image/png", "AA==", detail=detail), loss, same=False, looks=looks
    )

    assert part is not None
    assert part.get("mediaResolution", {}).get("level") == level
    assert bool(loss) == is_lost


@pytest.mark.parametrize(
    ("resolution", "detail"),
    [
        ({"level": "MEDIA_RESOLUTION_LOW"}, "low"),
        ("media_resolution_high", "high"),
        ({"level": "NEW"}, ""),
        (None, ""),
        (5, ""),
    ],
)
def test_how_closely_to_look_is_read(resolution: object, detail: str) -> None:
    assert read_detail(resolution) == detail
