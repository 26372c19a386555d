"""A prompt and its parameters: one message of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.dialects import ir
from proxy.dialects.asked import Fields, a_text, wrong

NAME = "openai.completions"

FIELDS: Mapping[str, str] = {
    "text": "prompt",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
    "n": "n",
    "user": "user",
}

_Take = Callable[[Fields, str], object]

_PLAIN: Mapping[str, tuple[str, _Take]] = {
    "model": ("model", Fields.text),
    "max_tokens": ("max_tokens", Fields.count),
    "temperature": ("temperature", Fields.number),
    "top_p": ("top_p", Fields.number),
    "top_k": ("top_k", Fields.count),
    "seed": ("seed", Fields.count),
    "presence_penalty": ("presence_penalty", Fields.number),
    "frequency_penalty": ("frequency_penalty", Fields.number),
    "logit_bias": ("logit_bias", Fields.object),
    "n": ("n", Fields.count),
    "stop": ("stop", Fields.texts),
    "user": ("user", Fields.text),
    "stream": ("stream", Fields.flag),
}
"""Field to attribute of the request, and its type."""
_USUAL: Mapping[str, object] = {"echo": False, "best_of": 1, "suffix": ""}
"""Fields that ask for nothing when they have this value."""


def parse_request(body: bytes) -> ir.Request:
    """The body of a `POST /v1/completions`."""
    fields = Fields.of_body(body)
    request = ir.Request(origin=NAME)
    request.messages = [ir.Message("user", [ir.Text(_prompt(fields.take("prompt")))])]
    for name, (attribute, take) in _PLAIN.items():
        if name in fields.rest:
            setattr(request, attribute, take(fields, name))
    if request.n is not None and request.n < 1:
        raise wrong("n", "at least 1", "invalid_value")
    others = fields.count("logprobs")
    if others is not None:
        # Here 0 asks for the tokens chosen, and chat has another field for that.
        request.logprobs, request.top_logprobs = True, others or None
    options = fields.inner("stream_options")
    if options is not None:
        request.include_usage = bool(options.flag("include_usage"))
    for name, usual in _USUAL.items():
        if name in fields.rest and fields.rest[name] == usual:
            request.aside[name] = fields.take(name)
    request.extras = fields.rest
    return request


def _prompt(value: object) -> str:
    """The one prompt there is."""
    if isinstance(value, str):
        return value
    if value is None:
        raise wrong("prompt", "a string", "missing_required_parameter")
    if not isinstance(value, list):
        raise wrong("prompt", "a string or an array of one string")
    if len(value) != 1:
        raise wrong("prompt", "a string or an array of one string", "translation_not_supported")
    # Tokens mean nothing to a model of another vendor.
    return a_text(value[0], "prompt[0]")
