"""Messages, read by the official client."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anthropic
import orjson
import pytest

from proxy.simulator.anthropic import REDACTED
from proxy.simulator.grammar import Steer
from proxy.simulator.openai_other import MODELS
from proxy.simulator.seals import fits
from proxy.simulator.words import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.raw import Simulator

COMMON: Any = {"max_tokens": 2000, "messages": [{"role": "user", "content": "hello"}]}
TOOLS: Any = [{"name": "weather", "input_schema": {"type": "object"}}]
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture(scope="module")
def client(sim: Simulator) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=sim.url, api_key="sk-x", max_retries=0) as client:
        yield client


def final(client: anthropic.Anthropic, **more: Any) -> Any:
    with client.messages.stream(**COMMON, **more) as stream:
        return stream.get_final_message()


def test_an_answer_has_text_and_usage_without_what_is_cached(client: anthropic.Anthropic) -> None:
    model = "sim-n5-in100-cached60"

    for answer in (client.messages.create(model=model, **COMMON), final(client, model=model)):
        assert answer.content[0].text == whole(Steer(), 5)
        assert answer.stop_reason == "end_turn"
        assert answer.usage.input_tokens == 40
        assert answer.usage.cache_read_input_tokens == 60
        assert answer.usage.output_tokens == 5


def test_a_stream_is_the_whole_sequence(client: anthropic.Anthropic) -> None:
    events = list(client.messages.create(model="sim-n2", stream=True, **COMMON))

    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_thoughts_are_signed_when_asked_for(client: anthropic.Anthropic) -> None:
    whole_answer = client.messages.create(model="sim-n4", thinking=THINKING, **COMMON)

    for answer in (whole_answer, final(client, model="sim-n4", thinking=THINKING)):
        thought, said = answer.content
        assert (thought.type, thought.thinking) == ("thinking", whole(Steer(), 2))
        assert fits(thought.signature, thought.thinking)
        assert said.text == whole(Steer(), 4)
        assert answer.usage.output_tokens == 6


def test_tools_are_called(client: anthropic.Anthropic) -> None:
    whole_answer = client.messages.create(model="sim-n3-tool2", tools=TOOLS, **COMMON)

    for answer in (whole_answer, final(client, model="sim-n3-tool2", tools=TOOLS)):
        assert [block.name for block in answer.content] == ["weather", "weather"]
        assert answer.content[0].input == {"text": whole(Steer(), 3)}
        assert answer.content[0].id != answer.content[1].id
        assert answer.stop_reason == "tool_use"


def test_the_tool_runner_goes_on_without_a_thread(client: anthropic.Anthropic) -> None:
    def weather(city: str) -> str:
        """The weather.

        Args:
            city: Where
        """
        return f"rain in {city}"

    runner = client.beta.messages.tool_runner(
        model="sim-n1-tool-signed", tools=[anthropic.beta_tool(weather)], **COMMON
    )

    assert "rain in The" in runner.until_done().content[0].text


def test_the_token_limit_can_be_the_reason_to_stop(client: anthropic.Anthropic) -> None:
    assert final(client, model="sim-length").stop_reason == "max_tokens"


def test_tokens_are_counted(client: anthropic.Anthropic) -> None:
    count = client.messages.count_tokens(model="sim-in77", messages=COMMON["messages"])

    assert count.input_tokens == 77


def test_models_are_listed(client: anthropic.Anthropic) -> None:
    assert tuple(model.id for model in client.models.list()) == MODELS
    assert client.models.retrieve("sim-x").id == "sim-x"


def test_errors_are_what_the_client_expects(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError) as overloaded:
        client.messages.create(model="sim-529", **COMMON)
    with pytest.raises(anthropic.APIStatusError) as inside:
        final(client, model="sim-err_mid")

    assert overloaded.value.status_code == 529
    assert overloaded.value.body["error"]["type"] == "overloaded_error"
    assert inside.value.body["error"]["type"] == "overloaded_error"


def test_an_answer_in_json_fits_its_schema(client: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    wanted: Any = {"format": {"type": "json_schema", "schema": schema}}
    whole_answer = client.messages.create(model="sim-n2", output_config=wanted, **COMMON)

    for answer in (whole_answer, final(client, model="sim-n2", output_config=wanted)):
        assert orjson.loads(answer.content[0].text) == {"day": whole(Steer(), 2)}


@pytest.mark.parametrize(
    ("words", "reason", "sequence"),
    [("refuse", "refusal", None), ("stop", "stop_sequence", "river"), ("n2", "end_turn", None)],
)
def test_it_says_why_it_stops(
    client: anthropic.Anthropic, words: str, reason: str, sequence: str | None
) -> None:
    model = f"sim-{words}"
    whole_answer = client.messages.create(model=model, stop_sequences=["river"], **COMMON)

    for answer in (whole_answer, final(client, model=model, stop_sequences=["river"])):
        assert (answer.stop_reason, answer.stop_sequence) == (reason, sequence)


def test_sources_are_cited(client: anthropic.Anthropic) -> None:
    for answer in (
        client.messages.create(model="sim-cite", **COMMON),
        final(client, model="sim-cite"),
    ):
        [note] = answer.content[0].citations
        assert note.url == "https://example.com/mill"


def test_thoughts_can_be_left_out_or_redacted(client: anthropic.Anthropic) -> None:
    omitted: Any = {"type": "adaptive", "display": "omitted"}

    for create in (partial(client.messages.create, **COMMON), partial(final, client)):
        thought = create(model="sim", thinking=omitted).content[0]
        assert (thought.thinking, fits(thought.signature, "")) == ("", True)
        assert create(model="sim-redact", thinking=THINKING).content[0].data == REDACTED


def test_a_tool_without_parameters_gets_no_arguments(client: anthropic.Anthropic) -> None:
    schema: Any = {"type": "object", "properties": {}}
    tools: Any = [{"name": "clock", "input_schema": schema}]

    events = list(client.messages.create(model="sim-tool", tools=tools, stream=True, **COMMON))

    fragments = [
        event.delta.partial_json for event in events if event.type == "content_block_delta"
    ]
    assert fragments == [""]
    assert final(client, model="sim-tool", tools=tools).content[0].input == {}
