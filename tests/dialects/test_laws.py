"""What holds for the requests of every client and every provider. A new dialect or fixture is tried unasked."""

from __future__ import annotations

import copy
from collections import Counter

import orjson
from hypothesis import HealthCheck, given, settings

from proxy.dialects import DIALECTS, ir
from proxy.dialects.loss import Loss
from proxy.dialects.openai_chat.fields import is_openais
from proxy.dialects.survey import features
from tests.dialects.examples import MODELS, Fixture, codec, requests
from tests.dialects.laws import Part, check, differences, normal, said
from tests.dialects.tried import (
    REQUESTS,
    TO_PROVIDER,
    each,
    for_every_provider,
    legal_but_for,
    read_request,
    written,
)


@each([one for one in REQUESTS if codec(one.dialect).render_request is not None])
def test_a_request_is_the_same_after_its_own_dialect(fixture: Fixture) -> None:
    request = read_request(fixture)
    model = request.model or MODELS[fixture.dialect][0]
    loss = Loss()

    body = written(fixture.dialect, model, request, loss)
    parse = codec(fixture.dialect).parse_request
    assert body is not None
    assert parse is not None
    again = normal(parse(body), model, request.stream)

    # State of another family, which a client gives back here, must not go to a provider.
    assert loss.names == {} or b"aHIxO" in fixture.data
    if not loss.names:
        assert differences(again, normal(request, model, request.stream)) == []


@each(REQUESTS)
def test_a_request_is_legal_for_every_provider(fixture: Fixture) -> None:
    request = read_request(fixture)
    before = check(fixture.dialect, "request")(fixture.data)

    def judge(provider: str, model: str) -> None:
        body = written(provider, model, request, Loss()) or b"null"

        own = [*before, "x: is the same as before"] if provider == fixture.dialect else []
        if body != b"null":
            legal_but_for(check(provider, "request")(body), own)
        assert b"aHIxO" not in body, "sealed state has gone to a provider"

    for_every_provider(judge)


@each(REQUESTS)
def test_a_request_says_the_same_to_every_provider_or_reports_what_it_does_not(
    fixture: Fixture,
) -> None:
    request = read_request(fixture)

    for_every_provider(lambda provider, model: says_the_same(request, provider, model))


def says_the_same(request: ir.Request, provider: str, model: str) -> None:
    parse = codec(provider).parse_request
    loss = Loss()
    body = written(provider, model, request, loss)
    if parse is None or body is None:
        return
    asked = request if takes_text(request, provider, model) else as_functions(request)
    if provider == "openai.chat" != request.origin:
        fewer = as_offered(asked)
        if not is_openais(model) or fewer.tools == asked.tools:
            asked = fewer
    before, after = said(asked), said(parse(body))
    dropped = set(loss.names.values())
    if before.get("document.text"):
        # It may have become text.
        dropped |= {"document.text", "text", "tool_result"}
        assert said_in(before["document.text"], after)
    if request.format is not None and request.format.kind == "json":
        dropped.add("system")  # some refuse it unless the word is in the prompt
    if request.thinking is not None:
        dropped.add("max_tokens")  # some count thoughts in: raised by the budget
    for feature in sorted(before):
        if not dropped & {feature, *HANGS_ON.get(feature, ())}:
            assert after.get(feature) == before[feature], (feature, dropped)


def takes_text(request: ir.Request, provider: str, model: str) -> bool:
    """Whether a provider has tools which take free text; elsewhere each is a function with one text."""
    if provider == "openai.chat" != request.origin:
        return is_openais(model)
    return provider in ("openai.chat", "openai.responses")


def as_offered(request: ir.Request) -> ir.Request:
    """The same without tools that are not allowed."""
    choice = request.tool_choice
    if choice is None or choice.mode != "allowed":
        return request
    request = copy.deepcopy(request)
    request.tools = [
        tool
        for tool in request.tools
        if (tool.name in choice.names if isinstance(tool, ir.Tool) else choice.extras)
    ]
    left = ir.ToolChoice("required" if choice.required else "auto")
    request.tool_choice = left if request.tools else None
    return request


def as_functions(request: ir.Request) -> ir.Request:
    """The same without such tools."""
    request = copy.deepcopy(request)
    for tool in request.tools:
        if isinstance(tool, ir.Tool):
            tool.custom = False
    for message in request.messages:
        for block in message.content:
            if isinstance(block, ir.ToolCall) and block.custom:
                block.arguments = orjson.dumps({"input": block.arguments}).decode()
                block.custom = False
    return request


def said_in(parts: Counter[Part], after: dict[str, Counter[Part]]) -> bool:
    """Whether texts are still somewhere."""
    everything = "".join(str(part) for counter in after.values() for part in counter)
    flat = "".join(everything.replace("\\n", "").split())
    return all("".join(str(text).split()) in flat for (text,) in parts)


HANGS_ON = {
    "tool": ("tool_choice.allowed", "tool.custom"),
    "tool_choice.tool": ("tool.custom", "tool_choice.allowed"),
    "tool_choice.none": ("tool.custom",),
    "text": ("prefill", "refusal", "document.text", "tool_result"),
    "top_logprobs": ("logprobs",),
    "tool_result": ("tool_result.image", "tool_result.document", "opaque"),
}
"""What goes, or changes, when another thing does, which is enough to report."""


@each(REQUESTS)
def test_fields_are_honest(fixture: Fixture) -> None:
    request = read_request(fixture)

    for_every_provider(lambda provider, model: fields_are_honest(request, provider, model))


def fields_are_honest(request: ir.Request, provider: str, model: str) -> None:
    loss = Loss()
    body = written(provider, model, request, loss)
    if body is None:
        return
    family = DIALECTS[provider].family
    wanted = {feature for feature, _ in features(request, family)} - {"unknown"}
    for name in ("temperature", "top_p"):
        if getattr(request, name) == 1:
            wanted.discard(name)  # what is the default anyway need not be said
    dropped = set(loss.names.values())
    has = codec(provider).fields

    parse = codec(provider).parse_request
    # Seen from nowhere, so that its own tools count too.
    kept = {feature for feature, _ in features(parse(body), "")} if parse else wanted & {*has}
    if not takes_text(request, provider, model) and kept & {"tool", "tool_call"}:
        kept.add("tool.custom")
    # What only some who speak a dialect have is given back to whoever speaks it.
    beside = SPELLED_OTHERWISE if provider == request.origin else set()
    missing = {feature for feature in wanted - dropped - kept - beside if feature not in has}
    assert missing == set(), "is neither in fields nor reported"
    lost = {
        feature
        for feature in wanted - dropped - kept - SPELLED_OTHERWISE
        if not dropped & {*HANGS_ON.get(feature, ())}
    }
    assert lost == set(), "is in fields, and lost without a word"


SPELLED_OTHERWISE = {
    # A word may be written as a number, and the other way round.
    "thinking.effort", "thinking.budget", "thinking.visible", "thinking.summary",
    # A model that never thinks need not be told.
    "thinking.off",
    # A place further up or down.
    "system.later", "tool_result.image", "tool_result.document",
    # State that only its own family is given back, and what only its own family understands.
    "opaque", "tool_call.signature", "text.signature", "thinking.signature",
    # Asked for in another way: a tool that takes the answer, tools that are not there.
    "format.json", "tool_choice.none", "tool_choice.allowed", "tool_choice.tool",
    "document.text", "document.name", "document.context", "image.file", "document.file", "document.url", "video.url", "audio.url",
    "prefill", "text", "citations", "format.strict", "cache.ttl",
}  # fmt: skip
"""Features that come back as another, or that the next law looks at more closely."""


@each(REQUESTS)
def test_a_request_is_not_changed_by_writing_it(fixture: Fixture) -> None:
    request = read_request(fixture)
    before = copy.deepcopy(request)

    def judge(provider: str, model: str) -> None:
        body = written(provider, model, request, Loss())

        assert request == before
        assert written(provider, model, request, Loss()) == body

    for_every_provider(judge)


# For each of eleven providers: 550 requests.
@settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@TO_PROVIDER
@given(request=requests())
def test_a_made_up_request_is_legal_and_says_the_same(
    request: ir.Request, provider: str, model: str
) -> None:
    if request.origin == provider:
        # What a client says in the provider's own words is for the provider to refuse.
        request.origin = "openai.completions"
    before = copy.deepcopy(request)

    body = written(provider, model, request, Loss())

    assert body is not None
    assert check(provider, "request")(body) == []
    assert request == before
    says_the_same(request, provider, model)
    fields_are_honest(request, provider, model)
