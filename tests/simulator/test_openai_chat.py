"""Chat and text completions, read by the official client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import orjson
import pytest

from proxy.simulator.grammar import Steer
from proxy.simulator.shape import SENTENCE
from proxy.simulator.words import whole, whole_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.raw import Simulator

MESSAGES: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}},
    {"type": "function", "function": {"name": "clock"}},
]


@pytest.fixture(scope="module")
def client(sim: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=sim.url + "/v1", api_key="sk-x", max_retries=0) as client:
        yield client


def text(count: int) -> str:
    return whole(Steer(), count)


def test_an_answer_has_text_and_usage(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="sim-n5-in100-cached60", messages=MESSAGES, n=2)

    assert [choice.message.content for choice in answer.choices] == [text(5)] * 2
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    assert answer.model == "sim-n5-in100-cached60"
    assert answer.usage.completion_tokens == 10
    assert answer.usage.prompt_tokens == 100
    assert answer.usage.prompt_tokens_details.cached_tokens == 60


def test_ids_are_never_used_twice(client: openai.OpenAI) -> None:
    ids = {client.chat.completions.create(model="sim-n1", messages=MESSAGES).id for _ in range(3)}

    assert len(ids) == 3


@pytest.mark.parametrize("choices", [1, 3])
@pytest.mark.parametrize("include", [True, False])
def test_a_stream_has_every_choice_and_usage_when_asked(
    client: openai.OpenAI, choices: int, include: bool
) -> None:
    texts = [""] * choices
    finished = []
    usages = []

    for chunk in client.chat.completions.create(
        model="sim-n4", messages=MESSAGES, n=choices, stream=True,
        stream_options={"include_usage": include},
    ):  # fmt: skip
        assert bool(chunk.choices) == (chunk.usage is None)
        usages.append(chunk.usage)
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            finished += [choice.finish_reason] if choice.finish_reason else []

    assert texts == [text(4)] * choices
    assert finished == ["stop"] * choices
    assert (usages[-1] is not None) == include
    if include:
        assert usages[-1].completion_tokens == 4 * choices


@pytest.mark.parametrize(
    ("word", "names"), [("tool", ["weather"]), ("tool2", ["weather", "clock"])]
)
def test_tools_are_called(client: openai.OpenAI, word: str, names: list[str]) -> None:
    model = f"sim-n3-{word}"

    answer = client.chat.completions.create(model=model, messages=MESSAGES, tools=TOOLS)
    with client.chat.completions.stream(model=model, messages=MESSAGES, tools=TOOLS) as stream:
        streamed = stream.get_final_completion()

    for choice in (answer.choices[0], streamed.choices[0]):
        assert [call.function.name for call in choice.message.tool_calls] == names
        arguments = [call.function.arguments for call in choice.message.tool_calls]
        assert arguments == [whole_arguments(Steer(tokens=3)), "{}"][: len(names)]
        assert len({call.id for call in choice.message.tool_calls}) == len(names)
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None


def test_thoughts_come_before_the_text(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="sim-n4-think", messages=MESSAGES)
    deltas = [
        (getattr(chunk.choices[0].delta, "reasoning_content", None), chunk.choices[0].delta.content)
        for chunk in client.chat.completions.create(
            model="sim-n4-think", messages=MESSAGES, stream=True
        )
    ]

    assert answer.choices[0].message.reasoning_content == text(2)
    assert answer.usage.completion_tokens_details.reasoning_tokens == 2
    assert [bool(thought) for thought, _ in deltas] == [False, True, True, *[False] * 5]


def test_the_token_limit_can_be_the_reason_to_stop(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="sim-length", messages=MESSAGES)

    assert answer.choices[0].finish_reason == "length"


def test_text_completions_answer_every_prompt(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="sim-n3", prompt=["a", "b"])
    chunks = client.completions.create(
        model="sim-n3", prompt="a", stream=True, stream_options={"include_usage": True}
    )
    streamed = list(chunks)

    assert [choice.text for choice in answer.choices] == [text(3)] * 2
    assert answer.usage.completion_tokens == 6
    assert "".join(chunk.choices[0].text for chunk in streamed[:-1]) == text(3)
    assert streamed[-1].usage.completion_tokens == 3


def test_errors_are_what_the_client_expects(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as quota:
        client.chat.completions.create(model="sim-quota", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError) as context:
        client.chat.completions.create(model="sim-context", messages=MESSAGES)
    with pytest.raises(openai.APIError) as inside:
        list(client.chat.completions.create(model="sim-err_mid", messages=MESSAGES, stream=True))

    assert quota.value.code == "insufficient_quota"
    assert context.value.code == "context_length_exceeded"
    assert inside.value.code == "service_unavailable"


SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_in_json_fits_its_schema(client: openai.OpenAI, stream: bool) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA}}

    if stream:
        chunks = client.chat.completions.create(
            model="sim-n3", messages=MESSAGES, response_format=wanted, stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
        assert len([piece for piece in pieces if piece]) == 3
        said = "".join(pieces)
    else:
        answer = client.chat.completions.create(
            model="sim-n3", messages=MESSAGES, response_format=wanted
        )
        said = answer.choices[0].message.content

    assert orjson.loads(said) == {"city": text(3), "days": 1}


def test_a_json_object_is_one(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="sim-n3", messages=MESSAGES, response_format={"type": "json_object"}
    )

    assert orjson.loads(answer.choices[0].message.content) == {"text": text(3)}


def test_a_refusal_has_a_place_of_its_own(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="sim-refuse", messages=MESSAGES)
    with client.chat.completions.stream(model="sim-refuse", messages=MESSAGES) as stream:
        streamed = stream.get_final_completion()

    for message in (answer.choices[0].message, streamed.choices[0].message):
        assert message.refusal == SENTENCE
        assert not message.content


def test_sources_are_cited(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="sim-cite", messages=MESSAGES)
    chunks = list(client.chat.completions.create(model="sim-cite", messages=MESSAGES, stream=True))

    notes = [
        note for chunk in chunks for note in getattr(chunk.choices[0].delta, "annotations", ())
    ]
    assert answer.choices[0].message.annotations[0].url_citation.title == "The mill"
    assert [note["url_citation"]["title"] for note in notes] == ["The mill"]


def test_thoughts_nobody_may_read_are_only_counted(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="sim-think-redact", messages=MESSAGES)
    asked = client.chat.completions.create(
        model="sim", messages=MESSAGES, extra_body={"thinking": {"type": "enabled"}}
    )

    assert not hasattr(answer.choices[0].message, "reasoning_content")
    assert answer.usage.completion_tokens_details.reasoning_tokens == 8
    assert asked.choices[0].message.reasoning_content == text(8)
