"""Converse, read by AWS's own client."""

from __future__ import annotations

import contextlib
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]

from proxy.simulator.bedrock import REDACTED
from proxy.simulator.grammar import Steer
from proxy.simulator.seals import fits
from proxy.simulator.words import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.raw import Simulator

MESSAGES: Any = [{"role": "user", "content": [{"text": "hello"}]}]
TOOLS: Any = {
    "tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]
}
THINKING: Any = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


@pytest.fixture(scope="module")
def client(sim: Simulator) -> Iterator[Any]:
    client = Session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=sim.url,
        aws_access_key_id="AKID",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def events(client: Any, model: str, **more: Any) -> list[tuple[str, Any]]:
    answer = client.converse_stream(modelId=model, messages=MESSAGES, **more)
    with contextlib.closing(answer["stream"]) as stream:
        return [item for event in stream for item in event.items()]


def folded(found: list[tuple[str, Any]]) -> tuple[list[dict[str, Any]], str, Any]:
    """(content, stopReason, usage) of a stream."""
    blocks: dict[int, dict[str, Any]] = {}
    reason, usage = "", None
    for name, event in found:
        if name == "messageStop":
            reason = event["stopReason"]
        elif name == "metadata":
            usage = event.get("usage")
        elif "contentBlockIndex" in event:
            block = blocks.setdefault(event["contentBlockIndex"], {})
            for part in (event.get("start", {}), event.get("delta", {})):
                for kind, value in part.items():
                    _grow(block, kind, value)
    return [block for _, block in sorted(blocks.items())], reason, usage


def _grow(block: dict[str, Any], kind: str, value: Any) -> None:
    if isinstance(value, dict):
        inner = block.setdefault(kind, {})
        for name, more in value.items():
            _grow(inner, name, more)
    elif isinstance(value, (str, bytes)) and isinstance(block.get(kind), type(value)):
        block[kind] += value
    else:
        block[kind] = value


def both(client: Any, model: str, **more: Any) -> list[tuple[list[Any], str, Any]]:
    answer = client.converse(modelId=model, messages=MESSAGES, **more)
    told = answer["output"]["message"]
    assert told["role"] == "assistant"
    return [
        (told["content"], answer["stopReason"], answer["usage"]),
        folded(events(client, model, **more)),
    ]


def test_an_answer_has_text_and_usage_without_what_is_cached(client: Any) -> None:
    for content, reason, usage in both(client, "sim-n5-in100-cached60"):
        assert content == [{"text": whole(Steer(), 5)}]
        assert reason == "end_turn"
        assert usage == {
            "inputTokens": 40,
            "outputTokens": 5,
            "totalTokens": 105,
            "cacheReadInputTokens": 60,
            "cacheWriteInputTokens": 0,
        }


def test_a_stream_is_the_whole_sequence(client: Any) -> None:
    assert [name for name, _ in events(client, "sim-n2")] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]


def test_a_call_announces_itself(client: Any) -> None:
    found = events(client, "sim-n1-tool", toolConfig=TOOLS)

    assert [name for name, _ in found][1] == "contentBlockStart"


def test_thoughts_are_signed_when_asked_for(client: Any) -> None:
    content = both(client, "sim-n4", additionalModelRequestFields=THINKING)
    thought, said = content[0][0]
    streamed, _ = content[1][0]

    assert thought["reasoningContent"]["reasoningText"]["text"] == whole(Steer(), 2)
    assert fits(thought["reasoningContent"]["reasoningText"]["signature"], whole(Steer(), 2))
    assert streamed["reasoningContent"] == thought["reasoningContent"]["reasoningText"]
    assert said == {"text": whole(Steer(), 4)}
    assert content[0][2]["outputTokens"] == content[1][2]["outputTokens"] == 6


def test_thoughts_nobody_may_read_are_sealed(client: Any) -> None:
    for content, _, _ in both(client, "sim-n4-think-redact"):
        assert content[0] == {"reasoningContent": {"redactedContent": b64decode(REDACTED)}}


def test_tools_are_called(client: Any) -> None:
    for content, reason, _ in both(client, "sim-n3-tool2", toolConfig=TOOLS):
        calls = [block["toolUse"] for block in content]
        inputs = [
            orjson.loads(c["input"]) if isinstance(c["input"], str) else c["input"] for c in calls
        ]
        assert [call["name"] for call in calls] == ["weather", "weather"]
        assert calls[0]["toolUseId"] != calls[1]["toolUseId"]
        assert inputs[0] == {"text": whole(Steer(), 3)}
        assert reason == "tool_use"


def test_a_tool_that_must_be_called_is_called(client: Any) -> None:
    choices: Any = ({"any": {}}, {"tool": {"name": "weather"}})
    for choice in choices:
        for content, _, _ in both(client, "sim-n1", toolConfig=TOOLS | {"toolChoice": choice}):
            assert content[0]["toolUse"]["name"] == "weather"


def test_a_result_is_quoted(client: Any) -> None:
    call = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {}}}
    result = {"toolResult": {"toolUseId": "t1", "content": [{"text": "sunny"}]}}
    told = [
        *MESSAGES,
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]

    answer = client.converse(modelId="sim-tool", messages=told, toolConfig=TOOLS)

    assert "sunny" in answer["output"]["message"]["content"][0]["text"]


def test_length_refusal_and_stop_sequences_have_their_reasons(client: Any) -> None:
    stop: Any = {
        "inferenceConfig": {"stopSequences": ["END"]},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }

    assert [one[1] for one in both(client, "sim-length")] == ["max_tokens"] * 2
    assert [one[1] for one in both(client, "sim-refuse")] == ["content_filtered"] * 2
    assert [one[1] for one in both(client, "sim-stop", **stop)] == ["stop_sequence"] * 2
    answer = client.converse(modelId="sim-stop", messages=MESSAGES, **stop)
    assert answer["additionalModelResponseFields"] == {"stop_sequence": "END"}


def test_sources_are_cited(client: Any) -> None:
    (whole_answer, _, _), (streamed, _, _) = both(client, "sim-n3-cite")

    cited = whole_answer[0]["citationsContent"]
    assert cited["content"] == [{"text": whole(Steer(), 3)}]
    assert cited["citations"][0]["title"] == streamed[0]["citation"]["title"] == "The mill"


def test_an_answer_fits_a_schema(client: Any) -> None:
    schema = orjson.dumps(
        {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    )
    form: Any = {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": schema.decode()}},
        }
    }

    for content, _, _ in both(client, "sim", outputConfig=form):
        assert orjson.loads(content[0]["text"]) == {"n": 1}


def test_tokens_are_counted(client: Any) -> None:
    answer = client.count_tokens(modelId="sim-in77", input={"converse": {"messages": MESSAGES}})

    assert answer["inputTokens"] == 77


def test_a_model_may_be_an_arn(client: Any) -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/sim-n2"

    answer = client.converse(modelId=arn, messages=MESSAGES)

    assert answer["output"]["message"]["content"] == [{"text": whole(Steer(), 2)}]


@pytest.mark.parametrize(
    ("word", "code", "status"),
    [
        ("400", "ValidationException", 400),
        ("403", "AccessDeniedException", 403),
        ("404", "ResourceNotFoundException", 404),
        ("422", "ValidationException", 422),
        ("429", "ThrottlingException", 429),
        ("502", "InternalServerException", 502),
        ("503", "ServiceUnavailableException", 503),
        ("context", "ValidationException", 400),
        ("quota", "ThrottlingException", 429),
    ],
)
def test_a_failure_is_an_exception_of_its_name(
    client: Any, word: str, code: str, status: int
) -> None:
    with pytest.raises(ClientError) as caught:
        client.converse(modelId=f"sim-{word}", messages=MESSAGES)

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_failure_in_mid_stream_is_an_exception_too(client: Any) -> None:
    answer = client.converse_stream(modelId="sim-n4-err_mid", messages=MESSAGES)
    with contextlib.closing(answer["stream"]) as stream:
        events = iter(stream)

        assert [*next(events)] == ["messageStart"]
        assert [*next(events)] == ["contentBlockDelta"]
        with pytest.raises(EventStreamError, match="serviceUnavailableException"):
            list(events)


def test_what_is_missing_or_odd_is_missing_or_odd(client: Any) -> None:
    assert [name for name, _ in events(client, "sim-n1-nodone")][-1] == "contentBlockStop"
    assert folded(events(client, "sim-n1-no_usage"))[2] is None
    assert len(folded(events(client, "sim-n1-event1M"))[0][0]["text"]) > 1 << 20
    assert [name for name, _ in events(client, "sim-n2-comments")].count("contentBlockDelta") == 2
    assert [name for name, _ in events(client, "sim-n1-dup_usage")].count("metadata") == 2
    assert folded(events(client, "sim-n3-split5"))[0] == [{"text": whole(Steer(), 3)}]


def test_bad_json_is_no_json(sim: Simulator) -> None:
    seen = sim.see("/model/gpt-4o/converse-stream", {"messages": MESSAGES}, "n2-bad_json")

    assert b'{"text":"""}' in seen.raw
    assert b"x-amzn-requestid" in seen.head


def test_signed_thoughts_must_come_back(client: Any) -> None:
    told = [*MESSAGES]
    answer = client.converse(
        modelId="sim-tool-signed",
        messages=told,
        toolConfig=TOOLS,
        additionalModelRequestFields=THINKING,
    )
    content = answer["output"]["message"]["content"]
    id = content[1]["toolUse"]["toolUseId"]
    results = [{"toolResult": {"toolUseId": id, "content": [{"text": "7"}]}}]

    def again(content: Any) -> Any:
        turns = [
            *told,
            {"role": "assistant", "content": content},
            {"role": "user", "content": results},
        ]
        return client.converse(
            modelId="sim-tool-signed",
            messages=turns,
            toolConfig=TOOLS,
            additionalModelRequestFields=THINKING,
        )

    assert again(content)["stopReason"] == "end_turn"
    with pytest.raises(ClientError, match="must start with a thinking block"):
        again(content[1:])
    altered = {"reasoningContent": {"reasoningText": {"text": "x", "signature": "y"}}}
    with pytest.raises(ClientError, match="Invalid `signature`"):
        again([altered, *content[1:]])
    sealed = {"reasoningContent": {"redactedContent": b64decode(REDACTED)}}
    assert again([sealed, *content[1:]])["stopReason"] == "end_turn"
