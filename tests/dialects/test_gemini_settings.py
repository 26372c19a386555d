"""How to write the answer."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects import ir
from proxy.dialects.gemini.settings import read_settings, write_settings
from proxy.dialects.loss import Loss


def read(config: dict[str, Any]) -> ir.Request:
    request = ir.Request()
    read_settings(request, config)
    return request


def test_numbers_may_stand_in_quotes() -> None:
    request = read({"maxOutputTokens": "5", "top_k": 20.0, "temperature": "0.5", "seed": 0})

    assert (request.max_tokens, request.top_k, request.temperature, request.seed) == (5, 20, 0.5, 0)


def test_zero_is_a_value() -> None:
    made = write_settings(ir.Request(temperature=0, seed=0), "g", Loss(), same=False)

    assert made == {"temperature": 0, "seed": 0}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"responseMimeType": "text/plain"}, ir.Format("text")),
        ({"responseMimeType": "application/json"}, ir.Format("json")),
        ({"response_schema": {"type": "STRING"}}, ir.Format("schema", schema={"type": "string"})),
        ({"responseJsonSchema": {"const": 1}}, ir.Format("schema", schema={"const": 1})),
        ({"responseFormat": {"text": {"mimeType": "TEXT_PLAIN"}}}, ir.Format("text")),
        ({"responseFormat": [{"text": {"mime_type": "application/json"}}]}, ir.Format("json")),
        ({"responseFormat": [{"text": {"schema": {}}}]}, ir.Format("schema", schema={})),
    ],
)
def test_the_wanted_format_has_many_spellings(
    config: dict[str, Any], expected: ir.Format | None
) -> None:
    request = read(config)

    assert request.format == expected
    assert not request.extras


@pytest.mark.parametrize(
    "config",
    [
        {"responseMimeType": "text/x.enum", "responseSchema": {"enum": ["a"]}},
        {"responseFormat": [{"image": {"aspectRatio": "1:1"}}]},
        {"responseFormat": [{"text": {"new": 1}}]},
        {"imageConfig": {"aspectRatio": "1:1"}},
    ],
)
def test_what_the_hub_has_not_is_kept_and_put_back(config: dict[str, Any]) -> None:
    request = read(config)

    assert request.format is None
    assert list(request.extras) == [f"generationConfig.{name}" for name in config]
    assert write_settings(request, "g", Loss(), same=True) == config
    assert write_settings(request, "g", Loss(), same=False) == {}


@pytest.mark.parametrize(
    ("request_", "expected", "dropped"),
    [
        (ir.Request(n=1), {}, []),
        (ir.Request(temperature=2.5), {"temperature": 2}, ["temperature"]),
        (ir.Request(stop=["", "a"]), {"stopSequences": ["a"]}, []),
        (ir.Request(top_logprobs=3), {"logprobs": 3, "responseLogprobs": True}, []),
        (ir.Request(modalities=["text"]), {}, []),
        (ir.Request(modalities=["audio"]), {"responseModalities": ["AUDIO"]}, []),
        (ir.Request(format=ir.Format("text")), {}, []),
        (ir.Request(format=ir.Format("json")), {"responseMimeType": "application/json"}, []),
        (
            ir.Request(format=ir.Format("schema", schema={"$ref": "#", "minimum": 1})),
            {"responseMimeType": "application/json", "responseJsonSchema": {"$ref": "#"}},
            ["format.schema"],
        ),
    ],
)
def test_a_provider_is_asked_within_its_limits(
    request_: ir.Request, expected: object, dropped: list[str]
) -> None:
    loss = Loss()

    assert write_settings(request_, "g", loss, same=False) == expected
    assert list(loss.names) == dropped
