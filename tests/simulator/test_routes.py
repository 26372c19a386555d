"""Paths."""

from __future__ import annotations

import pytest

from proxy.simulator import anthropic, bedrock, gemini, openai_chat, openai_other, openai_responses
from proxy.simulator.routes import find


@pytest.mark.parametrize(
    ("method", "path", "operation", "family", "parameter", "model"),
    [
        ("POST", "/v1/chat/completions", openai_chat.chat, "openai", "", ""),
        ("POST", "/openai/deployments/x/chat/completions", openai_chat.chat, "openai", "", ""),
        ("POST", "/completions", openai_chat.completions, "openai", "", ""),
        ("POST", "/v1/responses", openai_responses.create, "openai", "", ""),
        ("POST", "/v1/responses/input_tokens", openai_responses.count_tokens, "openai", "", ""),
        ("GET", "/v1/responses/resp_1", openai_responses.read, "openai", "resp_1", ""),
        ("DELETE", "/v1/responses/resp_1", openai_responses.delete, "openai", "resp_1", ""),
        ("POST", "/anthropic/v1/messages", anthropic.messages, "anthropic", "", ""),
        ("POST", "/v1/messages/count_tokens", anthropic.count_tokens, "anthropic", "", ""),
        (
            "POST", "/v1beta/models/a%2Fb:generateContent", gemini.verb,
            "gemini", "generateContent", "a/b",
        ),
        (
            "POST", "/x/publishers/google/models/m:streamGenerateContent", gemini.verb,
            "gemini", "streamGenerateContent", "m",
        ),
        ("POST", "/model/us.a%3A0/converse", bedrock.converse, "bedrock", "", "us.a:0"),
        (
            "POST", "/model/arn%3Aaws%3Abedrock%3A%3A1%3Ax%2Fsim/converse-stream", bedrock.converse_stream,
            "bedrock", "", "arn:aws:bedrock::1:x/sim",
        ),
        ("POST", "/p/model/a/count-tokens", bedrock.count_tokens, "bedrock", "", "a"),
        ("GET", "/v1beta/models", openai_other.models, "gemini", "gemini", ""),
        ("GET", "/v1/models", openai_other.models, "openai", "", ""),
        ("GET", "/v1/models/a/b", openai_other.model, "openai", "", "a/b"),
    ],
)  # fmt: skip
def test_a_path_is_known_by_its_end(
    method: str, path: str, operation: object, family: str, parameter: str, model: str
) -> None:
    route = find(method.encode(), path.encode())

    assert route is not None
    found = (route.operation, route.family, route.parameter, route.model)
    assert found == (operation, family, parameter, model)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/v1/messages"), ("POST", "/v1/nothing"), ("PUT", "/v1/responses/a"),
     ("DELETE", "/v1/models/a"), ("HEAD", "/v1/models")],
)  # fmt: skip
def test_other_paths_are_unknown(method: str, path: str) -> None:
    assert find(method.encode(), path.encode()) is None
