"""What holds for every dialect, every pair of them and every fixture. A new one is tried unasked."""

from __future__ import annotations

import copy
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.dialects import DIALECTS, ir
from proxy.dialects.base import Target
from proxy.dialects.loss import Loss
from proxy.dialects.survey import features
from tests.dialects import echoes
from tests.dialects.checkers.reading import is_object
from tests.dialects.examples import (
    CLIENTS,
    MODELS,
    PROVIDERS,
    Fixture,
    codec,
    fixtures,
    question,
    requests,
    responses,
    streams,
)
from tests.dialects.laws import (
    Part,
    check,
    decoded,
    differences,
    encoded,
    folded,
    grammar,
    normal,
    said,
    settled,
    steady,
    unsealed,
)
from tests.dialects.streams import CUTS, cut

REQUESTS, RESPONSES, STREAMS = fixtures("request"), fixtures("response"), fixtures("stream")
BY_CLIENT = pytest.mark.parametrize("client", CLIENTS)
TO_PROVIDER = pytest.mark.parametrize(
    ("provider", "model"), [(name, model) for name in PROVIDERS for model in MODELS[name]]
)


def each(found: list[Fixture]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fixture", found, ids=[one.label for one in found])


def asked(fixture: Fixture) -> ir.Request:
    """The question of an answer: its own where it can be read, else the shortest."""
    parse = codec(fixture.dialect).parse_request
    if fixture.question is not None and parse is not None:
        try:
            return parse(fixture.question)
        except ProxyError:
            pass
    return question(fixture.dialect)


def read_request(fixture: Fixture) -> ir.Request:
    """The request of a fixture; a test about those that are refused is not for here."""
    parse = codec(fixture.dialect).parse_request
    if parse is None:
        pytest.skip("no client speaks it")
    try:
        return parse(fixture.data)
    except ProxyError as error:
        pytest.skip(f"is refused: {error.message}")


def read_response(fixture: Fixture) -> ir.Response:
    try:
        return codec(fixture.dialect).parse_response(fixture.data, asked(fixture))
    except ValueError:
        pytest.skip("is no answer")


def written(provider: str, model: str, request: ir.Request, loss: Loss) -> bytes:
    render = codec(provider).render_request
    assert render is not None
    try:
        return render(request, Target(model=model, stream=request.stream), loss)
    except ProxyError as error:
        if error.code != "translation_not_supported":
            raise
        pytest.skip(f"is refused: {error.message}")


def sentences(problems: list[str]) -> set[str]:
    """What is wrong, wherever it is."""
    return {
        re.sub(r"\d+|'[^']*'", "N", problem.partition(": ")[2] or problem) for problem in problems
    }


def legal_but_for(problems: list[str], before: list[str]) -> None:
    """Nothing is wrong that was not wrong before."""
    known = sentences(before)
    found = [problem for problem in problems if not sentences([problem]) <= known]
    assert found == []


# --- requests -----------------------------------------------------------------------------------------------


@each([one for one in REQUESTS if codec(one.dialect).render_request is not None])
def test_a_request_is_the_same_after_its_own_dialect(fixture: Fixture) -> None:
    request = read_request(fixture)
    model = request.model or MODELS[fixture.dialect][0]
    loss = Loss()

    body = written(fixture.dialect, model, request, loss)
    parse = codec(fixture.dialect).parse_request
    assert parse is not None
    again = normal(parse(body), model, request.stream)

    # State of another family, which a client gives back here, must not go to a provider.
    assert loss.names == {} or b"aHIxO" in fixture.data
    if not loss.names:
        assert differences(again, normal(request, model, request.stream)) == []


@TO_PROVIDER
@each(REQUESTS)
def test_a_request_is_legal_for_every_provider(fixture: Fixture, provider: str, model: str) -> None:
    request = read_request(fixture)
    before = check(fixture.dialect, "request")(fixture.data)
    if any("answers no" in one or "do not answer" in one for one in before):
        pytest.skip("has results of no call")

    body = written(provider, model, request, Loss())

    own = [*before, "x: is the same as before"] if provider == fixture.dialect else []
    legal_but_for(check(provider, "request")(body), own)
    assert b"aHIxO" not in body, "sealed state has gone to a provider"


@TO_PROVIDER
@each(REQUESTS)
def test_a_request_says_the_same_to_every_provider_or_reports_what_it_does_not(
    fixture: Fixture, provider: str, model: str
) -> None:
    says_the_same(read_request(fixture), provider, model)


def says_the_same(request: ir.Request, provider: str, model: str) -> None:
    parse = codec(provider).parse_request
    loss = Loss()
    body = written(provider, model, request, loss)
    if parse is None:
        return
    before, after = said(request), said(parse(body))
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


def said_in(parts: Counter[Part], after: dict[str, Counter[Part]]) -> bool:
    """Whether texts are still somewhere."""
    everything = "".join(str(part) for counter in after.values() for part in counter)
    flat = "".join(everything.replace("\\n", "").split())
    return all("".join(str(text).split()) in flat for (text,) in parts)


HANGS_ON = {
    "tool": ("tool_choice.allowed",),
    "tool_choice.tool": ("tool.custom", "tool_choice.allowed"),
    "tool_choice.none": ("tool.custom",),
    "text": ("prefill", "refusal", "document.text", "tool_result"),
    "top_logprobs": ("logprobs",),
    "tool_result": ("tool_result.image", "tool_result.document", "opaque"),
}
"""What goes, or changes, when another thing does, which is enough to report."""


@TO_PROVIDER
@each(REQUESTS)
def test_fields_are_honest(fixture: Fixture, provider: str, model: str) -> None:
    fields_are_honest(read_request(fixture), provider, model)


def fields_are_honest(request: ir.Request, provider: str, model: str) -> None:
    loss = Loss()
    body = written(provider, model, request, loss)
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


@TO_PROVIDER
@each(REQUESTS)
def test_a_request_is_not_changed_by_writing_it(
    fixture: Fixture, provider: str, model: str
) -> None:
    request = read_request(fixture)
    before = copy.deepcopy(request)

    body = written(provider, model, request, Loss())

    assert request == before
    assert written(provider, model, request, Loss()) == body


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
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

    assert check(provider, "request")(body) == []
    assert request == before
    says_the_same(request, provider, model)
    fields_are_honest(request, provider, model)


# --- answers ------------------------------------------------------------------------------------------------


@each([one for one in RESPONSES if codec(one.dialect).render_response is not None])
def test_an_answer_is_the_same_after_its_own_dialect(fixture: Fixture) -> None:
    with steady():
        response = read_response(fixture)
        before = copy.deepcopy(response)
        request = asked(fixture)
        render = codec(fixture.dialect).render_response
        assert render is not None
        loss = Loss()

        body = render(response, request, loss)

        assert response == before
        if any(
            "unknown field" not in one for one in check(fixture.dialect, "response")(fixture.data)
        ):
            return
        assert loss.names == {}
        again = codec(fixture.dialect).parse_response(body, request)
        assert differences(settled(again), settled(response)) == []


@BY_CLIENT
@each(RESPONSES)
def test_an_answer_is_legal_for_every_client(fixture: Fixture, client: str) -> None:
    response = read_response(fixture)
    own = client == fixture.dialect
    before = check(client, "response")(fixture.data) if own else []
    render = codec(client).render_response
    assert render is not None
    request = question(client, n=len(response.choices))
    kept = copy.deepcopy(response)

    body = render(response, request, Loss())

    legal_but_for(check(client, "response")(body), before)
    assert response == kept


@BY_CLIENT
@given(response=responses())
def test_a_made_up_answer_is_legal_for_every_client(response: ir.Response, client: str) -> None:
    render = codec(client).render_response
    assert render is not None
    kept = copy.deepcopy(response)

    body = render(response, question(client, n=len(response.choices)), Loss())

    assert check(client, "response")(body) == []
    assert response == kept


# --- streams ------------------------------------------------------------------------------------------------


@each(STREAMS)
def test_a_decoder_keeps_the_grammar(fixture: Fixture) -> None:
    assert grammar(decoded(fixture.dialect, asked(fixture), fixture.data)) == []


@each(STREAMS)
@given(cuts=CUTS)
@settings(max_examples=5)
def test_a_stream_says_the_same_however_it_is_cut(fixture: Fixture, cuts: list[int]) -> None:
    request, name = asked(fixture), fixture.dialect
    with steady():
        whole = decoded(name, request, fixture.data)
    for pieces in (
        [fixture.data[at : at + 1] for at in range(len(fixture.data))],
        cut(fixture.data, cuts),
    ):
        with steady():
            assert decoded(name, request, *pieces) == whole


@each(STREAMS)
def test_a_tap_and_a_decoder_agree(fixture: Fixture) -> None:
    tap = DIALECTS[fixture.dialect].tap()
    for event in DIALECTS[fixture.dialect].framing.events(fixture.data):
        if event.data is not None:
            tap.event(event.name, event.data)

    fold = folded(decoded(fixture.dialect, asked(fixture), fixture.data))

    assert (tap.error is not None) == (fold.error is not None)
    if fold.error is None:
        assert tap.usage == fold.response.usage
        assert fold.ended or not tap.complete()
        reasons = {choice.reason.lower() for choice in fold.response.choices} - {""}
        assert not reasons or str(tap.finish_reason).lower() in reasons


@each(RESPONSES)
def test_a_tap_and_a_reader_agree(fixture: Fixture) -> None:
    tap = DIALECTS[fixture.dialect].tap()
    tap.body(fixture.data)

    response = read_response(fixture)

    assert tap.error is None
    # A tap may miss what stands in odd places; it never says otherwise.
    assert tap.usage in (None, response.usage)
    reasons = {choice.reason for choice in response.choices} - {""}
    assert not reasons or tap.finish_reason in reasons


@each([one for one in STREAMS if codec(one.dialect).encoder is not None])
def test_a_stream_is_the_same_after_its_own_dialect(fixture: Fixture) -> None:
    request, name = asked(fixture), fixture.dialect
    request.stream = request.include_usage = True
    with steady():
        events = decoded(name, request, fixture.data)
        loss = Loss()

        raw = encoded(name, request, events, loss)
        again = folded(decoded(name, request, raw))

    first = folded(events)
    if any("unknown field" not in one for one in check(name, "stream")(fixture.data)):
        return
    assert loss.names == {}
    assert (again.error is None) == (first.error is None)
    if first.error is None and first.ended:
        assert differences(settled(again.response), settled(first.response)) == []


@BY_CLIENT
@each(STREAMS)
def test_a_stream_is_legal_for_every_client(fixture: Fixture, client: str) -> None:
    events = decoded(fixture.dialect, asked(fixture), fixture.data)
    fold = folded(events)
    if not fold.ended and fold.error is None:
        pytest.skip("is cut short")
    own = client == fixture.dialect
    before = check(client, "stream")(fixture.data) if own else []
    request = question(client, stream=True, include_usage=True, n=len(fold.response.choices))
    kept = copy.deepcopy(events)

    raw = encoded(client, request, events, Loss())

    legal_but_for(without_usage(check(client, "stream")(raw), events), before)
    assert events == kept


def without_usage(problems: list[str], events: list[ir.Event]) -> list[str]:
    """Nobody can tell the usage that was never told."""
    told = any(isinstance(event, ir.UsageReport) for event in events)
    return [problem for problem in problems if told or "no usageMetadata" not in problem]


@BY_CLIENT
@given(events=streams())
def test_a_made_up_stream_is_legal_for_every_client(events: list[ir.Event], client: str) -> None:
    assert grammar(events) == []
    request = question(client, stream=True, include_usage=True, n=2)
    kept = copy.deepcopy(events)

    raw = encoded(client, request, events, Loss())

    assert without_usage(check(client, "stream")(raw), events) == []
    assert events == kept


@BY_CLIENT
@given(events=streams())
def test_a_stream_says_what_the_whole_answer_says(events: list[ir.Event], client: str) -> None:
    """Told block by block or at once, an answer reads the same."""
    request = question(client, stream=True, include_usage=True, n=2)
    render = codec(client).render_response
    assert render is not None
    with steady():
        whole = codec(client).parse_response(
            render(folded(events).response, request, Loss()), request
        )
        raw = encoded(client, request, events, Loss())
        streamed = folded(decoded(client, request, raw)).response

    assert answer(streamed) == answer(whole)


def answer(response: ir.Response) -> object:
    """What an answer says, without names and times."""
    turns = [ir.Message("assistant", unsealed(choice.blocks)) for choice in response.choices]
    told = ir.Request(messages=turns)
    return said(told), [(c.finish, c.stop_sequence) for c in response.choices], response.usage


# --- given back -----------------------------------------------------------------------------------------------

BY_ECHO = pytest.mark.parametrize("client", [name for name in echoes.CLIENTS if name in CLIENTS])


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

    assert check(provider, "request")(body) == []
    if provider == "openai.chat":
        return  # it has no place for what Responses seals
    family = DIALECTS[provider].family
    own = {family, "anthropic"} if family == "bedrock" else {family}
    for _, origin, state in states(blocks):
        is_there = state.encode() in body or b64encode(state.encode()) in body
        assert is_there == (origin in own), (origin, state)


@BY_ECHO
@each(RESPONSES)
def test_what_a_provider_wants_back_comes_back(fixture: Fixture, client: str) -> None:
    response = read_response(fixture)
    render = codec(client).render_response
    assert render is not None
    if client == fixture.dialect or fixture.dialect not in PROVIDERS or not is_plain(response):
        pytest.skip("has what only its own dialect has")

    body = render(response, question(client), Loss())

    comes_back(client, fixture.dialect, echoes.again(client, body), response.choices[0].blocks)


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
    render = codec(client).render_response
    assert render is not None

    body = render(response, question(client), Loss())

    comes_back(client, response.origin, echoes.again(client, body), response.choices[0].blocks)


@BY_ECHO
@given(events=streams(overlapping=(ir.ToolCall,)))
def test_what_is_streamed_comes_back(events: list[ir.Event], client: str) -> None:
    response = folded(events).response
    request = question(client, stream=True, include_usage=True, n=len(response.choices))

    raw = encoded(client, request, events, Loss())

    next_request = echoes.again_after(client, raw)
    comes_back(client, "openai.responses", next_request, response.choices[0].blocks)


# --- damage -------------------------------------------------------------------------------------------------

BYTES = st.tuples(st.integers(0, 10**6), st.integers(0, 5), st.binary(max_size=3))
ODD: st.SearchStrategy[object] = st.sampled_from(
    [None, True, -1, 10**30, 1.5, "", "x", [], [None], {}, {"type": "x"}, [[]]]
)
SWAPS = st.tuples(st.integers(0, 10**6), ODD)
DAMAGE = st.lists(BYTES, max_size=4) | st.lists(SWAPS, min_size=1, max_size=3)
Damage = list[tuple[int, int, bytes]] | list[tuple[int, object]]


def damaged(data: bytes, damage: Damage) -> bytes:
    """`data` with a few bytes replaced, left out or put in, or with other types where some values were."""
    for one in damage:
        if len(one) == 2:
            data = swapped(data, *one)
        else:
            place, size, piece = one
            at = place % (len(data) + 1)
            data = data[:at] + piece + data[at + size :]
    return data


def swapped(data: bytes, place: int, value: object) -> bytes:
    """`data`, one JSON text or a stream of them, with one of its values replaced."""
    lines = data.split(b"\n") if data.startswith((b"data:", b"event:", b":")) else [data]
    texts = [at for at, line in enumerate(lines) if line[line.find(b"{") :].startswith(b"{")]
    if not texts:
        return data
    at = texts[place % len(texts)]
    start = lines[at].find(b"{")
    try:
        found = orjson.loads(lines[at][start:])
    except ValueError:
        return data
    places = list(inside(found))
    parent, key = places[place % len(places)] if places else ({}, "")
    parent[key] = value
    lines[at] = lines[at][:start] + msgspec.json.encode(found)
    return b"\n".join(lines)


def inside(value: object) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value in a JSON value."""
    pairs: Iterable[tuple[Any, object]] = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, item in pairs:
        yield value, key
        yield from inside(item)


@each([one for one in REQUESTS if codec(one.dialect).parse_request is not None])
@settings(max_examples=15)
@given(damage=DAMAGE)
def test_a_damaged_request_is_read_or_refused_and_then_written_or_refused(
    fixture: Fixture, damage: Damage
) -> None:
    parse = codec(fixture.dialect).parse_request
    assert parse is not None
    try:
        request = parse(damaged(fixture.data, damage))
        for provider in PROVIDERS:
            render = codec(provider).render_request
            assert render is not None
            render(request, Target(model=MODELS[provider][0]), Loss())
    except ProxyError as error:
        if error.row.status != 400:
            raise


@each(RESPONSES)
@settings(max_examples=15)
@given(damage=DAMAGE)
def test_a_damaged_answer_is_read_or_is_none(fixture: Fixture, damage: Damage) -> None:
    request = asked(fixture)
    try:
        response = codec(fixture.dialect).parse_response(damaged(fixture.data, damage), request)
    except ValueError:
        return
    for client in CLIENTS:
        render = codec(client).render_response
        assert render is not None
        assert orjson.loads(render(response, question(client), Loss()))


@each(STREAMS)
@settings(max_examples=15)
@given(damage=DAMAGE)
def test_a_damaged_stream_keeps_the_grammar(fixture: Fixture, damage: Damage) -> None:
    events = decoded(fixture.dialect, asked(fixture), damaged(fixture.data, damage))

    assert grammar(events) == []
    for client in CLIENTS:
        encoded(client, question(client, stream=True), events, Loss())
