"""Gemini, read by the official client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from google import genai
from google.genai import errors, types

from proxy.simulator.grammar import Steer
from proxy.simulator.openai_other import MODELS
from proxy.simulator.words import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.raw import Simulator


WEATHER: Any = {
    "name": "weather",
    "parameters": {"type": "OBJECT", "properties": {"text": {"type": "STRING"}}},
}


@pytest.fixture(scope="module")
def models(sim: Simulator) -> Iterator[Any]:
    client = genai.Client(api_key="x", http_options={"base_url": sim.url})
    yield client.models
    client.close()


def config(**more: Any) -> Any:
    return types.GenerateContentConfig(**more)


def tools() -> Any:
    return [types.Tool(function_declarations=[WEATHER, {"name": "clock"}])]


def test_an_answer_has_text_and_usage(models: Any) -> None:
    answer = models.generate_content(model="sim-n5-in100-cached60", contents="hello")

    assert answer.text == whole(Steer(), 5)
    assert answer.candidates[0].finish_reason == "STOP"
    assert answer.usage_metadata.prompt_token_count == 100
    assert answer.usage_metadata.cached_content_token_count == 60
    assert answer.usage_metadata.total_token_count == 105


def test_a_stream_ends_with_a_reason_and_usage(models: Any) -> None:
    chunks = list(models.generate_content_stream(model="sim-n4", contents="hello"))

    assert "".join(chunk.text for chunk in chunks) == whole(Steer(), 4)
    assert [bool(chunk.candidates[0].finish_reason) for chunk in chunks] == [False] * 4 + [True]
    assert chunks[-1].usage_metadata.candidates_token_count == 4


def test_thoughts_come_when_asked_for(models: Any) -> None:
    wanted = config(thinking_config=types.ThinkingConfig(include_thoughts=True))

    answer = models.generate_content(model="sim-n4", contents="hello", config=wanted)
    chunks = models.generate_content_stream(model="sim-n4", contents="hello", config=wanted)

    thought, said = answer.candidates[0].content.parts
    assert (thought.thought, thought.text) == (True, whole(Steer(), 2))
    assert said.text == whole(Steer(), 4)
    assert answer.usage_metadata.thoughts_token_count == 2
    assert [bool(chunk.candidates[0].content.parts[0].thought) for chunk in chunks] == [
        *[True] * 2,
        *[False] * 5,
    ]


def test_tools_are_called(models: Any) -> None:
    wanted = config(tools=tools())

    answer = models.generate_content(model="sim-n3-tool2", contents="hi", config=wanted)
    chunks = models.generate_content_stream(model="sim-n3-tool2", contents="hi", config=wanted)

    streamed = [call for chunk in chunks for call in chunk.function_calls or ()]
    for calls in (answer.function_calls, streamed):
        assert [call.name for call in calls] == ["weather", "clock"]
        assert [call.args for call in calls] == [{"text": whole(Steer(), 3)}, {}]
        assert calls[0].id != calls[1].id


@pytest.mark.parametrize("words", ["n3", "n0", "n3-think", "n2-tool"])
def test_without_sse_a_stream_is_one_json_array(sim: Simulator, words: str) -> None:
    body = {"tools": [{"functionDeclarations": [{"name": "a"}]}]}

    answer = sim.post(f"/v1beta/models/sim-{words}:streamGenerateContent", body)

    chunks = answer.json()
    assert answer.header("transfer-encoding") == "chunked"
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert len(answer.body.split(b",\r\n")) == len(chunks)


def test_tokens_are_counted_and_texts_embedded(models: Any, sim: Simulator) -> None:
    assert models.count_tokens(model="sim-in77", contents="x").total_tokens == 77
    assert len(models.embed_content(model="sim", contents=["x", "y"]).embeddings) == 2
    one = sim.post("/v1beta/models/sim:embedContent", {"content": {}}).json()
    assert len(one["embedding"]["values"]) == 16


def test_models_are_listed(models: Any) -> None:
    assert tuple(model.name.removeprefix("models/") for model in models.list()) == MODELS
    assert models.get(model="sim-x").name == "models/sim-x"


def test_errors_are_what_the_client_expects(models: Any) -> None:
    with pytest.raises(errors.ClientError) as limit:
        models.generate_content(model="sim-429", contents="hi")
    with pytest.raises(errors.ServerError) as broken:
        models.generate_content(model="sim-500", contents="hi")

    assert (limit.value.code, limit.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert broken.value.code == 500


def test_an_answer_in_json_fits_its_schema(models: Any) -> None:
    schema = {"type": "OBJECT", "properties": {"day": {"type": "STRING"}}}
    for more in ({"response_schema": schema}, {"response_json_schema": {"type": "object"}}, {}):
        wanted = config(response_mime_type="application/json", **more)

        answer = models.generate_content(model="sim-n2", contents="hi", config=wanted)
        chunks = models.generate_content_stream(model="sim-n2", contents="hi", config=wanted)

        name = "day" if "response_schema" in more else "text"
        for said in (answer.text, "".join(chunk.text for chunk in chunks)):
            assert orjson.loads(said) == {name: whole(Steer(), 2)}


def test_what_was_thought_about_is_signed(models: Any) -> None:
    answer = models.generate_content(model="sim-think", contents="hi")
    chunks = list(models.generate_content_stream(model="sim-think-redact", contents="hi"))

    assert answer.candidates[0].content.parts[1].thought_signature
    assert chunks[-1].candidates[0].content.parts[0].thought_signature
    assert not any(chunk.candidates[0].content.parts[0].thought for chunk in chunks)


def test_a_refusal_is_silent(models: Any) -> None:
    answer = models.generate_content(model="sim-refuse", contents="hi")
    [chunk] = models.generate_content_stream(model="sim-refuse", contents="hi")

    for one in (answer, chunk):
        assert one.candidates[0].finish_reason == "SAFETY"
        assert not one.text


def test_sources_are_cited(models: Any) -> None:
    answer = models.generate_content(model="sim-cite", contents="hi")
    *_, last = models.generate_content_stream(model="sim-cite", contents="hi")

    for one in (answer, last):
        assert one.candidates[0].grounding_metadata.grounding_chunks[0].web.title == "The mill"
