"""What a translation could not say: named, counted, and where a model is `strict`, refused.

A feature is what a client can ask for or be given, whatever it is called in its dialect. The list is closed, because
it is the label of a metric and the rows of docs/translation.md; each dialect says in its `Codec.fields` how it spells
the features it has. A feature that is not there is dropped when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core.errors import ProxyError

FEATURES: Mapping[str, str] = {
    # parameters
    "max_tokens": "Most tokens in the answer",
    "temperature": "Sampling temperature",
    "top_p": "Nucleus sampling",
    "top_k": "Sampling from the k most likely tokens",
    "stop": "Stop sequences",
    "seed": "Seed of the random numbers",
    "presence_penalty": "Penalty for tokens that occurred",
    "frequency_penalty": "Penalty for tokens that occurred often",
    "logit_bias": "Bias for single tokens",
    "logprobs": "Probabilities of the tokens of the answer",
    "top_logprobs": "Probabilities of the tokens not chosen",
    "n": "Several answers",
    "modalities": "Answers in sound or images",
    "user": "The end user, for the provider's abuse detection",
    "metadata": "Labels kept with the answer",
    "service_tier": "Price and latency class",
    "cache_key": "Key of the prompt cache",
    "cache_retention": "How long the prompt is cached",
    "verbosity": "How long-winded the answer may be",
    "thinking.effort": "How much to think, as a word",
    "thinking.budget": "How much to think, in tokens",
    "thinking.off": "Not to think at all",
    "thinking.visible": "Whether thoughts are shown",
    "thinking.summary": "What kind of summary of the thoughts is shown",
    "format.json": "The answer is JSON",
    "format.schema": "The answer follows a JSON Schema",
    "format.strict": "Whether the schema is enforced to the letter",
    # messages
    "system": "Instructions before the conversation",
    "system.later": "Instructions between the turns",
    "message.name": "Name of who speaks",
    "prefill": "The beginning of the answer, given by the client",
    "text": "Text",
    "text.signature": "Sealed state that belongs to a text",
    "citations": "Where parts of the answer come from",
    "cache": "Marks up to where the prompt is cached",
    "cache.ttl": "How long such a mark lasts",
    "refusal": "The model's refusal, apart from text",
    "image.data": "An image as bytes",
    "image.url": "An image at an address",
    "image.file": "An image uploaded before",
    "image.detail": "How closely to look at an image",
    "document.data": "A document as bytes",
    "document.url": "A document at an address",
    "document.file": "A document uploaded before",
    "document.text": "A document of plain text",
    "document.name": "Name or title of a document",
    "document.context": "What is said about a document",
    "document.citations": "Whether a document is to be cited",
    "audio.data": "Sound as bytes",
    "audio.url": "Sound at an address",
    "audio.file": "Sound uploaded or made before",
    "video.data": "A film as bytes",
    "video.url": "A film at an address",
    "video.file": "A film uploaded before",
    "thinking.text": "Thoughts, given back or shown",
    "thinking.signature": "Sealed thoughts, given back or shown",
    # tools
    "tool": "Functions the model may call",
    "tool.strict": "Whether a function's schema is enforced to the letter",
    "tool.custom": "Tools that take free text",
    "tool_call": "A call",
    "tool_call.signature": "Sealed state that belongs to a call",
    "tool_result": "The result of a call",
    "tool_result.error": "That a call failed",
    "tool_result.image": "An image in a result",
    "tool_result.document": "A document in a result",
    "tool_choice.none": "Not to call a tool",
    "tool_choice.required": "To call some tool",
    "tool_choice.tool": "To call one tool by name",
    "tool_choice.allowed": "To call only some of the tools",
    "parallel_tool_calls": "Whether several calls may come at once",
    "server_tool.web_search": "The provider searches the web",
    "server_tool.web_fetch": "The provider reads pages",
    "server_tool.code_execution": "The provider runs code",
    "server_tool": "Other tools the provider runs itself",
    # the rest
    "opaque": "Blocks only their own dialect knows",
    "unknown": "Fields this version does not know",
}
"""Every feature with what it means."""


class Loss:
    """What one translation leaves out. One for each attempt; `names` is in the order of discovery."""

    __slots__ = ("names",)

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        """What was dropped, by the name the client knows it by, to its feature."""

    def drop(self, feature: str, name: str = "") -> None:
        """`feature`, a key of FEATURES, cannot be said; `name` is the client's word for it where that is another."""
        assert feature in FEATURES, feature
        self.names[name or feature] = feature

    def __bool__(self) -> bool:
        return bool(self.names)


def unsupported(name: str, why: str = "") -> ProxyError:
    """A 400 that names what the target does not have and that must not be dropped in silence."""
    message = f"'{name}' cannot be translated for the provider of this model."
    if why:
        message = f"{message} {why}"
    return ProxyError("bad_req", message, code="translation_not_supported", param=name)
