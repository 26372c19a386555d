"""Images, files and sound."""

from __future__ import annotations

import pytest

from proxy.dialects import ir
from proxy.dialects.loss import Loss
from proxy.dialects.openai_responses.media import read_audio, read_file, read_image, write_media


def test_an_image_is_at_an_address_inside_one_or_uploaded() -> None:
    assert read_image({"image_url": "https://x/a.png"}).url == "https://x/a.png"
    assert read_image({"image_url": "data:image/png;base64,aGk="}).data == "aGk="
    assert read_image({"file_id": "file-1"}).origin == "openai"


def test_data_that_is_not_base64_is_made_so() -> None:
    media = read_image({"image_url": "data:image/svg+xml,%3Csvg/%3E"})

    assert (media.mime, media.data) == ("image/svg+xml", "PHN2Zy8+")


def test_a_file_of_text_is_text() -> None:
    media = read_file({"filename": "a.txt", "file_data": "data:text/plain;base64,aGVsbG8="})

    assert (media.text, media.data, media.name) == ("hello", "", "a.txt")


def test_bare_base64_is_what_its_name_says() -> None:
    assert read_file({"filename": "a.csv", "file_data": "YSxi"}).text == "a,b"
    assert read_file({"file_data": "aGk="}).mime == "application/pdf"


def test_text_that_is_none_stays_data() -> None:
    assert read_file({"file_data": "data:text/plain;base64,/w=="}).data == "/w=="


def test_sound_has_a_format() -> None:
    media = read_audio({"input_audio": {"data": "aGk=", "format": "mp3"}})

    assert (media.kind, media.mime, media.data) == ("audio", "audio/mpeg", "aGk=")


def test_what_another_provider_keeps_is_reported() -> None:
    loss = Loss()

    assert write_media(ir.Media("image", file_id="f", origin="anthropic"), loss, own=False) is None
    assert loss.names == {"image.file": "image.file"}


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (
            ir.Media("image", mime="image/png", data="aGk="),
            {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,aGk="},
        ),
        (
            ir.Media("document", data="aGk="),
            {
                "type": "input_file",
                "file_data": "data:application/pdf;base64,aGk=",
                "filename": "document.pdf",
            },
        ),
        (
            ir.Media("document", url="https://x/a.pdf", name="a"),
            {"type": "input_file", "file_url": "https://x/a.pdf"},
        ),
        (
            ir.Media("document", text="words", name="a.txt", context="about"),
            {"type": "input_text", "text": "a.txt\n\nabout\n\nwords"},
        ),
    ],
)
def test_media_of_others_are_written(media: ir.Media, part: dict[str, str]) -> None:
    assert write_media(media, Loss(), own=False) == part


def test_detail_nobody_knows_here_is_reported() -> None:
    loss = Loss()

    part = write_media(ir.Media("image", url="https://x", detail="MEDIUM"), loss, own=False)

    assert part is not None
    assert part["detail"] == "auto"
    assert loss.names == {"image.detail": "image.detail"}


def test_sound_and_films_have_no_place() -> None:
    assert write_media(ir.Media("audio", data="aGk="), Loss(), own=False) is None
    assert write_media(ir.Media("video", data="aGk="), Loss(), own=False) is None
