"""Which method and path gets which answer; matched by the end of the path, so that any prefix works."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote

from msgspec import Struct

from proxy.simulator import anthropic, bedrock, gemini, openai_chat, openai_other, openai_responses
from proxy.simulator.answers import Answer, Call

Operation = Callable[[Call], Answer | None]
"""None: there is no such thing (404)."""


class Route(Struct, frozen=True):
    """An operation and the dialect family its errors are in."""

    family: str
    operation: Operation
    parameter: str = ""
    model: str = ""
    """A model named in the path."""


_POST: dict[str, Route] = {
    "/chat/completions": Route("openai", openai_chat.chat),
    "/completions": Route("openai", openai_chat.completions),
    "/responses": Route("openai", openai_responses.create),
    "/responses/input_tokens": Route("openai", openai_responses.count_tokens),
    "/embeddings": Route("openai", openai_other.embeddings),
    "/moderations": Route("openai", openai_other.moderations),
    "/rerank": Route("openai", openai_other.rerank),
    "/images/generations": Route("openai", openai_other.images, "generations"),
    "/images/edits": Route("openai", openai_other.images, "edits"),
    "/audio/speech": Route("openai", openai_other.speech),
    "/audio/transcriptions": Route("openai", openai_other.transcriptions, "transcriptions"),
    "/audio/translations": Route("openai", openai_other.transcriptions, "translations"),
    "/messages": Route("anthropic", anthropic.messages),
    "/messages/count_tokens": Route("anthropic", anthropic.count_tokens),
}

_BEDROCK = {
    "converse": bedrock.converse,
    "converse-stream": bedrock.converse_stream,
    "count-tokens": bedrock.count_tokens,
}

_CONVERSE = re.compile(r"/model/(.+)/(converse|converse-stream|count-tokens)$")
_GEMINI = re.compile(r"/models/(.+):([A-Za-z]+)$")
_RESPONSE = re.compile(r"/responses/([^/]+)$")
_MODEL = re.compile(r"/models/(.+)$")


@lru_cache(4096)
def find(method: bytes, path: bytes) -> Route | None:
    """The route of a path without its query."""
    text = unquote(path.decode("latin-1"))
    if method == b"POST":
        return _post(text)
    if match := _RESPONSE.search(text):
        reading = {b"GET": openai_responses.read, b"DELETE": openai_responses.delete}
        operation = reading.get(method)
        return Route("openai", operation, match[1]) if operation else None
    if method != b"GET":
        return None
    parameter = "gemini" if "/v1beta" in text else ""
    family = parameter or "openai"
    if text.endswith("/models"):
        return Route(family, openai_other.models, parameter)
    if match := _MODEL.search(text):
        return Route(family, openai_other.model, parameter, match[1])
    return None


def _post(path: str) -> Route | None:
    if match := _GEMINI.search(path):
        return Route("gemini", gemini.verb, match[2], match[1])
    if match := _CONVERSE.search(path):
        return Route("bedrock", _BEDROCK[match[2]], model=match[1])
    for suffix, route in _POST.items():
        if path.endswith(suffix):
            return route
    return None
