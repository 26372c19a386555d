"""What must come back in the next turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.simulator.raw import Answer, Simulator

HI: dict[str, Any] = {"role": "user", "content": "hi"}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}


def refusal(answer: Answer) -> str:
    assert answer.status == 400
    message: str = answer.json()["error"]["message"]
    return message


def messages(sim: Simulator, *told: Any, **more: Any) -> Answer:
    tools = [{"name": "weather", "input_schema": CITY}]
    body = {
        "model": "sim-n4-tool-signed",
        "max_tokens": 4096,
        "messages": [HI, *told],
        "tools": tools,
    }
    thinking = {"type": "enabled", "budget_tokens": 1024}
    return sim.post("/v1/messages", {**body, "thinking": thinking, **more})


def test_messages_want_their_thoughts_back(sim: Simulator) -> None:
    content = messages(sim).json()["content"]
    call = content[-1]
    results = {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": call["id"], "content": "rain"}]}  # fmt: skip

    good = messages(sim, {"role": "assistant", "content": content}, results)
    without = messages(sim, {"role": "assistant", "content": [call]}, results)
    altered = [{**content[0], "thinking": "else"}, call]
    off = {"thinking": {"type": "disabled"}}

    assert "rain" in good.json()["content"][-1]["text"]
    assert "Expected `thinking`" in refusal(without)
    assert "Invalid `signature`" in refusal(
        messages(sim, {"role": "assistant", "content": altered}, results)
    )
    assert messages(sim, {"role": "assistant", "content": [call]}, results, **off).status == 200


def test_redacted_thoughts_are_wanted_too(sim: Simulator) -> None:
    model = {"model": "sim-tool-signed-redact"}
    content = messages(sim, **model).json()["content"]
    results = {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": content[1]["id"], "content": "rain"}]}  # fmt: skip
    altered = [{**content[0], "data": "x"}, content[1]]

    assert content[0]["type"] == "redacted_thinking"
    assert messages(sim, {"role": "assistant", "content": content}, results, **model).status == 200
    assert "Invalid `data`" in refusal(
        messages(sim, {"role": "assistant", "content": altered}, results, **model)
    )


def responses(sim: Simulator, told: list[Any], **more: Any) -> Answer:
    tools = [{"type": "function", "name": "weather", "parameters": CITY}]
    body = {"model": "sim-n4-tool-signed", "input": told, "tools": tools, "store": False}
    return sim.post("/v1/responses", {**body, "include": ["reasoning.encrypted_content"], **more})


def test_responses_want_the_reasoning_of_a_call_back(sim: Simulator) -> None:
    reasoning, call = responses(sim, [HI]).json()["output"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
    renamed = [{**call, "call_id": "other"}, {**result, "call_id": "other"}]
    bare = {key: reasoning[key] for key in ("id", "type", "summary")}

    assert (
        "rain"
        in responses(sim, [HI, reasoning, call, result]).json()["output"][1]["content"][0]["text"]
    )
    assert responses(sim, [HI, reasoning, *renamed]).status == 200
    assert "without its required 'reasoning' item" in refusal(responses(sim, [HI, call, result]))
    assert "without its required 'reasoning' item" in refusal(responses(sim, [HI, *renamed]))
    assert "could not be verified" in refusal(
        responses(sim, [HI, {**reasoning, "encrypted_content": "x"}, call, result])
    )
    assert "not found" in refusal(responses(sim, [HI, bare, call, result]))


def test_stored_reasoning_is_known_by_its_id(sim: Simulator) -> None:
    kept = {"store": True, "include": []}
    reasoning, call = responses(sim, [HI], **kept).json()["output"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}

    assert "encrypted_content" not in reasoning
    assert responses(sim, [HI, reasoning, call, result], **kept).status == 200
    assert responses(sim, [result], previous_response_id="resp_1", **kept).status == 200


def contents(sim: Simulator, *told: Any) -> Answer:
    tools = [{"functionDeclarations": [{"name": "weather", "parameters": CITY}]}]
    said = {"role": "user", "parts": [{"text": "hi"}]}
    path = "/v1beta/models/gemini-3-sim-tool-signed:generateContent"
    return sim.post(path, {"contents": [said, *told], "tools": tools})


def test_gemini_wants_the_signature_of_a_call_back(sim: Simulator) -> None:
    turn = contents(sim).json()["candidates"][0]["content"]
    result = {"role": "user", "parts": [
        {"functionResponse": {"name": "weather", "response": {"output": "rain"}}}]}  # fmt: skip

    def again(signature: str | None) -> Answer:
        call = {"functionCall": turn["parts"][0]["functionCall"]}
        kept = call if signature is None else {**call, "thoughtSignature": signature}
        return contents(sim, {"role": "model", "parts": [kept]}, result)

    assert (
        "rain" in contents(sim, turn, result).json()["candidates"][0]["content"]["parts"][0]["text"]
    )
    assert again("skip_thought_signature_validator").status == 200
    assert "missing a thought_signature" in refusal(again(None))
    assert "Corrupted" in refusal(again("c2lt"))


@pytest.mark.parametrize("kept", [True, False])
def test_chat_wants_the_reasoning_of_a_call_back(sim: Simulator, kept: bool) -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
    body = {"model": "sim-tool-think-signed", "tools": tools}
    path = "/v1/chat/completions"
    turn = sim.post(path, {**body, "messages": [HI]}).json()["choices"][0]["message"]
    if not kept:
        del turn["reasoning_content"]
    result = {"role": "tool", "tool_call_id": turn["tool_calls"][0]["id"], "content": "rain"}

    answer = sim.post(path, {**body, "messages": [HI, turn, result]})

    if kept:
        assert "rain" in answer.json()["choices"][0]["message"]["content"]
    else:
        assert "reasoning_content" in refusal(answer)
