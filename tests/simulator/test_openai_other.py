"""Everything beside chat, read by the official client."""

from __future__ import annotations

import struct
import zlib
from base64 import b64decode
from typing import TYPE_CHECKING

import openai
import pytest

from proxy.simulator.grammar import Steer
from proxy.simulator.openai_other import MODELS, PNG
from proxy.simulator.words import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.raw import Simulator

SOUND = ("a.mp3", b"not really sound")


@pytest.fixture(scope="module")
def client(sim: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=sim.url + "/v1", api_key="sk-x", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings_are_numbers_or_base64(sim: Simulator, form: str) -> None:
    body = {"model": "sim", "input": ["a", "b"], "dimensions": 4, "encoding_format": form}

    data = sim.post("/v1/embeddings", body).json()["data"]

    vectors = [entry["embedding"] for entry in data]
    if form == "base64":
        vectors = [struct.unpack("<4f", b64decode(vector)) for vector in vectors]
    assert vectors[0] == pytest.approx([-0.5, -0.33, -0.16, 0.01])
    assert len(vectors) == 2


@pytest.mark.parametrize("dimensions", [-1, 65_537, 10**12, 10**30])
@pytest.mark.parametrize("form", ["float", "base64"])
def test_no_vector_is_longer_than_any_of_a_vendor(
    sim: Simulator, dimensions: int, form: str
) -> None:
    body = f'{{"input": "a", "encoding_format": "{form}", "dimensions": {dimensions}}}'

    assert sim.post("/v1/embeddings", body.encode()).status == 400


def test_the_client_reads_embeddings(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="sim-in7", input=[[1, 2], [3]])
    one = client.embeddings.create(model="sim", input=[1, 2, 3], encoding_format="float")

    assert [len(entry.embedding) for entry in answer.data] == [16, 16]
    assert answer.usage.total_tokens == 7
    assert len(one.data) == 1


def test_moderations_judge_every_input(client: openai.OpenAI) -> None:
    answer = client.moderations.create(model="sim", input=["a", "b"])

    assert [result.flagged for result in answer.results] == [False, False]
    assert answer.results[0].categories.self_harm_intent is False


def test_rerank_sorts_and_cuts(sim: Simulator) -> None:
    body = {"model": "sim", "query": "q", "documents": ["long one", "one", "a"], "top_n": 2}

    results = sim.post("/v1/rerank", body).json()["results"]

    assert [entry["index"] for entry in results] == [2, 1]
    assert results[0]["document"] == {"text": "a"}
    assert results[0]["relevance_score"] > results[1]["relevance_score"]


def test_pictures_are_real(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="sim", prompt="a river", n=2)
    edited = client.images.edit(model="sim", prompt="bluer", image=("a.png", PNG))

    pictures = [entry.b64_json for entry in [*answer.data, *edited.data]]
    assert [b64decode(picture) for picture in pictures] == [PNG] * 3
    assert zlib.decompress(PNG[PNG.index(b"IDAT") + 4 : PNG.index(b"IEND") - 8]) == b"\0*\x7f\xb8"
    assert answer.usage.total_tokens == 28


def test_pictures_can_be_links_edited_from_json_and_streamed(
    sim: Simulator, client: openai.OpenAI
) -> None:
    link = client.images.generate(model="sim", prompt="x", response_format="url")
    edited = sim.post("/v1/images/edits", {"model": "sim", "prompt": "x", "image": "data:"})
    events = list(client.images.generate(model="sim", prompt="x", stream=True))

    assert link.data[0].url.startswith("data:image/png;base64,")
    assert edited.json()["data"][0]["b64_json"]
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]


@pytest.mark.parametrize(
    ("form", "start", "kind"),
    [
        ("mp3", b"\xff\xfb", "audio/mpeg"),
        ("wav", b"RIFF", "audio/wav"),
        ("pcm", b"\0", "audio/pcm"),
    ],
)
def test_speech_is_streamed_sound(
    sim: Simulator, client: openai.OpenAI, form: str, start: bytes, kind: str
) -> None:
    body = {"model": "sim-n3", "input": "hi", "voice": "alloy", "response_format": form}

    answer = sim.post("/v1/audio/speech", body)
    sound = client.audio.speech.create(**body).read()

    assert sound == answer.body
    assert sound.startswith(start)
    assert answer.header("content-type") == kind
    assert answer.header("transfer-encoding") == "chunked"


def test_transcriptions_come_in_every_form(client: openai.OpenAI) -> None:
    create = client.audio.transcriptions.create
    wanted = whole(Steer(), 3)

    plain = create(model="sim-n3", file=SOUND)
    as_text = create(model="sim-n3", file=SOUND, response_format="text")
    verbose = create(model="sim-n3", file=SOUND, response_format="verbose_json")
    subtitles = create(model="sim-n3", file=SOUND, response_format="srt")
    events = list(create(model="sim-n3", file=SOUND, stream=True))

    assert plain.text == verbose.text == verbose.segments[0].text == wanted
    assert as_text == wanted + "\n"
    assert "-->" in subtitles
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == wanted


def test_translations_are_transcriptions(sim: Simulator) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nsim-n2\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\0\r\n--b--\r\n'
    )

    answer = sim.post(
        "/v1/audio/translations", body, **{"content-type": "multipart/form-data; boundary=b"}
    )

    assert answer.json()["text"] == whole(Steer(), 2)
    assert sim.record(target="/v1/audio/translations")["model"] == "sim-n2"


def test_models_are_listed_and_every_name_is_one(client: openai.OpenAI) -> None:
    assert tuple(model.id for model in client.models.list()) == MODELS
    assert client.models.retrieve("any/thing at all").id == "any/thing at all"
