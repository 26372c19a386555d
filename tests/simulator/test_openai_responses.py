"""The Responses API, read by the official client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import openai
import orjson
import pytest

from proxy.simulator.grammar import Steer
from proxy.simulator.seals import opened
from proxy.simulator.shape import SENTENCE
from proxy.simulator.words import whole, whole_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.raw import Simulator

TOOLS: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]


@pytest.fixture(scope="module")
def client(sim: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=sim.url + "/v1", api_key="sk-x", max_retries=0) as client:
        yield client


def test_an_answer_is_stored_until_it_is_deleted(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="sim-n4-in20", input="hello")

    again = client.responses.retrieve(answer.id)
    client.responses.delete(answer.id)

    assert answer.output_text == again.output_text == whole(Steer(), 4)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (20, 4)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(answer.id)


def test_an_answer_is_not_stored_when_the_client_says_so(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="sim-n1", input="hello", store=False)

    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)


def test_a_stream_is_the_whole_sequence(client: openai.OpenAI) -> None:
    with client.responses.stream(model="sim-n2", input="hello") as stream:
        events = list(stream)
        final = stream.get_final_response()

    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(10))
    assert final.output_text == whole(Steer(), 2)
    assert final.usage.output_tokens == 2


def test_tools_are_called_after_thoughts(client: openai.OpenAI) -> None:
    model = "sim-n4-tool2"
    reasoning: Any = {"summary": "auto"}

    answer = client.responses.create(model=model, input="hi", tools=TOOLS, reasoning=reasoning)
    with client.responses.stream(
        model=model, input="hi", tools=TOOLS, reasoning=reasoning
    ) as stream:
        numbers = [event.sequence_number for event in stream]
        streamed = stream.get_final_response()

    for response in (answer, streamed):
        assert [item.type for item in response.output] == [
            "reasoning",
            "function_call",
            "function_call",
        ]
        assert response.output[0].summary[0].text == whole(Steer(), 2)
        assert response.output[2].arguments == whole_arguments(Steer(tokens=4))
        assert response.output[1].call_id != response.output[2].call_id
        assert response.usage.output_tokens == 10
        assert response.usage.output_tokens_details.reasoning_tokens == 2
    assert numbers == list(range(len(numbers)))


def test_the_token_limit_makes_it_incomplete(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="sim-length", input="hello")
    events = list(client.responses.create(model="sim-length", input="hello", stream=True))

    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert events[-1].type == "response.incomplete"


def test_an_error_in_the_stream_is_raised(client: openai.OpenAI) -> None:
    events = client.responses.create(model="sim-n4-err_mid", input="hello", stream=True)

    try:
        found = [event.type for event in events]
    except openai.APIError:
        return
    assert found[-1] == "error"


def final(client: openai.OpenAI, **more: Any) -> Any:
    with client.responses.stream(input="hi", **more) as stream:
        return stream.get_final_response()


def test_sealed_reasoning_comes_when_asked_for(client: openai.OpenAI) -> None:
    more: Any = {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"}}
    whole_answer = client.responses.create(model="sim-n4", input="hi", **more)

    for answer in (whole_answer, final(client, model="sim-n4", **more)):
        assert answer.output[0].summary == []
        assert opened(answer.output[0].encrypted_content)
        assert answer.usage.output_tokens_details.reasoning_tokens == 2


def test_an_answer_in_json_fits_its_schema(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    text: Any = {"format": {"type": "json_schema", "name": "x", "schema": schema}}
    free: Any = {"format": {"type": "json_object"}}

    answers = [
        client.responses.create(model="sim-n2", input="hi", text=text),
        final(client, model="sim-n2", text=text),
    ]

    assert [orjson.loads(answer.output_text) for answer in answers] == [
        {"day": whole(Steer(), 2)}
    ] * 2
    assert orjson.loads(client.responses.create(model="sim-n1", input="hi", text=free).output_text)


def test_a_refusal_has_a_part_of_its_own(client: openai.OpenAI) -> None:
    whole_answer = client.responses.create(model="sim-refuse", input="hi")

    for answer in (whole_answer, final(client, model="sim-refuse")):
        assert answer.output[0].content[0].refusal == SENTENCE


def test_sources_are_cited(client: openai.OpenAI) -> None:
    whole_answer = client.responses.create(model="sim-cite", input="hi")

    for answer in (whole_answer, final(client, model="sim-cite")):
        [note] = answer.output[0].content[0].annotations
        assert note.url == "https://example.com/mill"


def test_tokens_are_counted(client: openai.OpenAI) -> None:
    assert client.responses.input_tokens.count(model="sim-in77", input="hi").input_tokens == 77


def test_tools_written_on_several_lines_are_said_again_on_one(sim: Simulator) -> None:
    tools = orjson.dumps(TOOLS, option=orjson.OPT_INDENT_2)
    body = b'{"model": "sim-tool", "stream": true, "input": "hi", "tools": %b}' % tools
    with urlopen(f"{sim.url}/v1/responses", data=body, timeout=10) as answer:
        events = answer.read().split(b"\n\n")

    said = orjson.loads(events[0].partition(b"data: ")[2])
    assert said["response"]["tools"] == TOOLS
