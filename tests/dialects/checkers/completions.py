"""`/v1/completions`: the legacy endpoint, a prompt and its continuation."""

from __future__ import annotations

from collections.abc import Iterator

from openai.types import Completion
from openai.types.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from tests.dialects.checkers import openai_rules as rules
from tests.dialects.checkers.reading import Json, decode_object, events, within
from tests.dialects.checkers.shape import invalid, is_readable, violations


def check_request(body: bytes) -> list[str]:
    """Every reason for which a request would be refused."""
    request, problems = decode_object(body)
    streamed = request.get("stream") is True
    kind = CompletionCreateParamsStreaming if streamed else CompletionCreateParamsNonStreaming
    problems += violations(request, kind)
    if problems:
        return problems
    return [*rules.parameters(request), *_parameters(request)]


def _parameters(request: Json) -> Iterator[str]:
    if request.get("stream_options") and request.get("stream") is not True:
        yield "stream_options: only with stream"
    yield from within("logprobs", request.get("logprobs"), 0, 5)
    yield from within("n", request.get("n"), 1, 128)
    yield from within("best_of", request.get("best_of"), request.get("n") or 1, 20)
    stop = request.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        yield "stop: has more than 4 sequences"
    if request.get("prompt") == []:
        yield "prompt: must not be empty"


def check_response(body: bytes) -> list[str]:
    """Every way in which an answer is none."""
    response, problems = decode_object(body)
    problems += violations(response, Completion)
    problems = problems or invalid(response, Completion)
    if problems:
        return problems
    return [*_head(response), *_logprobs(response), *rules.usage(response.get("usage"))]


def _head(response: Json) -> Iterator[str]:
    if not response["id"]:
        yield "id: must not be empty"
    if not 0 < response["created"] < 1e11:
        yield f"created: {response['created']} is no time in seconds"
    indexes = [choice["index"] for choice in response["choices"]]
    if not indexes:
        yield "choices: must not be empty"
    if indexes != list(range(len(indexes))):
        yield "choices: the indexes do not count up from 0"


def _logprobs(response: Json) -> Iterator[str]:
    """Parallel lists."""
    for number, choice in enumerate(response["choices"]):
        found = choice.get("logprobs") or {}
        lengths = {len(value) for value in found.values() if isinstance(value, list)}
        if len(lengths) > 1:
            yield f"choices[{number}].logprobs: the lists differ in length"


def check_stream(raw: bytes) -> list[str]:
    """Every way in which a stream is none: chunks like answers, one finish_reason a choice, `[DONE]` at the end."""
    found, problems = events(raw)
    problems += [f"stream: event {event.name!r} has a name" for event in found if event.name]
    if not found:
        return [*problems, "stream: has no events"]
    stream = _Stream()
    for number, event in enumerate(found):
        where = f"chunk {number}"
        if stream.ended:
            problems.append(f"{where}: comes after the end")
        if event.data == "[DONE]":
            stream.ended = True
            problems += stream.close()
            continue
        chunk, broken = decode_object(event.data)
        if "error" in chunk:
            stream.ended = True
            problems += rules.error(where, chunk)
            continue
        broken = broken or violations(_finished(chunk), Completion)
        problems += [f"{where}{problem}" for problem in broken]
        if is_readable(broken):
            problems += [f"{where}: {problem}" for problem in stream.chunk(chunk)]
    if not stream.ended:
        problems.append("stream: has no [DONE]")
    return problems


def _finished(chunk: Json) -> Json:
    """A chunk as the SDK's type has it, which does not know that all but the last say null."""
    choices = chunk.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        return chunk
    said = [
        {**choice, "finish_reason": choice["finish_reason"] or "stop"}
        if "finish_reason" in choice
        else choice
        for choice in choices
    ]
    return {**chunk, "choices": said}


class _Stream:
    """What has been seen of a stream."""

    def __init__(self) -> None:
        self.ended = False
        self.head: tuple[object, ...] | None = None
        self.usage = False
        self.finish: dict[int, str | None] = {}

    def chunk(self, chunk: Json) -> Iterator[str]:
        head = (chunk["id"], chunk["model"], chunk["created"])
        if self.head is not None and head != self.head:
            yield f"id, model and created have become {head}"
        self.head = head
        if self.usage:
            yield "comes after the usage"
        if chunk.get("usage") is not None:
            self.usage = True
            if chunk["choices"]:
                yield "usage comes together with choices"
            yield from rules.usage(chunk["usage"])
        elif not chunk["choices"]:
            yield "has neither choices nor usage"
        for choice in chunk["choices"]:
            index = choice["index"]
            if self.finish.get(index):
                yield f"choice {index} goes on after its finish_reason"
            self.finish[index] = choice.get("finish_reason")

    def close(self) -> Iterator[str]:
        if not self.finish:
            yield "stream: has no choices"
        for index, reason in self.finish.items():
            if not reason:
                yield f"stream: choice {index} has no finish_reason"
