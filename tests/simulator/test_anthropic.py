"""Messages, read by the official client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from proxy.simulator.anthropic import SIGNATURE
from proxy.simulator.grammar import Steer
from proxy.simulator.openai_other import MODELS
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
        assert thought.signature == SIGNATURE
        assert said.text == whole(Steer(), 4)
        assert answer.usage.output_tokens == 6


def test_tools_are_called(client: anthropic.Anthropic) -> None:
    whole_answer = client.messages.create(model="sim-n3-tool2", tools=TOOLS, **COMMON)

    for answer in (whole_answer, final(client, model="sim-n3-tool2", tools=TOOLS)):
        assert [block.name for block in answer.content] == ["weather", "weather"]
        assert answer.content[0].input == {"text": whole(Steer(), 3)}
        assert answer.content[0].id != answer.content[1].id
        assert answer.stop_reason == "tool_use"


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
