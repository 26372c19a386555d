"""What a provider wants back, a client gives back, whoever the two are: nobody else keeps the conversation."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import DIALECTS, ir
from proxy.dialects.loss import Loss
from tests.dialects import echoes
from tests.dialects.checkers.reading import is_object
from tests.dialects.examples import (
    MODELS,
    PROVIDERS,
    Fixture,
    codec,
    question,
    responses,
    streams,
)
from tests.dialects.laws import check, encoded, folded, said
from tests.dialects.tried import RESPONSES, answered, each, read_response, written

BY_ECHO = pytest.mark.parametrize("client", echoes.CLIENTS)


def states(blocks: list[ir.Block]) -> list[tuple[str, str, str]]:
    """(what it belongs to, its family, the state) of everything a provider wants back."""
    return sorted(
        (type(block).__name__, block.origin, block.signature)
        for block in blocks
        if isinstance(block, ir.Reasoning | ir.ToolCall | ir.Text) and block.signature
    )


def said_by_the_model(request: ir.Request) -> list[ir.Block]:
    turns = [message.content for message in request.messages if message.role == "assistant"]
    return [block for blocks in turns for block in blocks]


def comes_back(client: str, provider: str, next_request: bytes, blocks: list[ir.Block]) -> None:
    """What the model said is what is read, and what is written to the provider it came from, which takes it."""
    parse = codec(client).parse_request
    assert parse is not None
    request = parse(next_request)
    found = said_by_the_model(request)

    assert states(found) == states(blocks)
    before, after = (said(ir.Request(messages=[ir.Message("assistant", one)])) for one in (blocks, found))  # fmt: skip
    for feature in ("text", "thinking.text", "tool_call"):
        assert after.get(feature) == before.get(feature)

    model = MODELS[provider][-1 if provider != "bedrock.converse" else 0]
    body = written(provider, model, request, Loss())

    assert body is not None
    assert check(provider, "request")(body) == []
    if provider == "openai.chat":
        return  # it has no place for what Responses seals
    family = DIALECTS[provider].family
    own = {family, "anthropic"} if family == "bedrock" else {family}
    for _, origin, state in states(blocks):
        is_there = state.encode() in body or b64encode(state.encode()) in body
        assert is_there == (origin in own), (origin, state)


@each([one for one in RESPONSES if one.dialect in PROVIDERS])
def test_what_a_provider_wants_back_comes_back(fixture: Fixture) -> None:
    response = read_response(fixture)
    if not is_plain(response):
        return

    for client in echoes.CLIENTS:
        if client != fixture.dialect:
            body = answered(client, response, question(client))

            again = echoes.again(client, body)
            comes_back(client, fixture.dialect, again, response.choices[0].blocks)


def is_plain(response: ir.Response) -> bool:
    """Whether an answer holds what every dialect has, and something at all."""
    blocks = response.choices[0].blocks if len(response.choices) == 1 else []
    says = any(isinstance(block, ir.ToolCall) or getattr(block, "text", "") for block in blocks)
    return says and all(
        isinstance(block, ir.Text | ir.Reasoning)
        or (
            isinstance(block, ir.ToolCall)
            and not block.custom
            and is_object(block.arguments or "{}")
        )
        for block in blocks
    )


@BY_ECHO
@given(response=responses(), provider=st.sampled_from(PROVIDERS))
def test_what_a_made_up_provider_wants_back_comes_back(
    response: ir.Response, provider: str, client: str
) -> None:
    response.choices = response.choices[:1]
    response.origin = provider
    if client == provider:
        response.origin = "bedrock.converse"

    body = answered(client, response, question(client))

    comes_back(client, response.origin, echoes.again(client, body), response.choices[0].blocks)


@settings(max_examples=50)
@BY_ECHO
@given(events=streams(overlapping=(ir.ToolCall,)))
def test_what_is_streamed_comes_back(events: list[ir.Event], client: str) -> None:
    response = folded(events).response
    request = question(client, stream=True, include_usage=True, n=len(response.choices))

    raw = encoded(client, request, events, Loss())

    next_request = echoes.again_after(client, raw)
    comes_back(client, "openai.responses", next_request, response.choices[0].blocks)
