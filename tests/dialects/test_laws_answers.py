"""What holds for the answers of every provider and every client. A new dialect or fixture is tried unasked."""

from __future__ import annotations

import copy

from hypothesis import given, settings

from proxy.dialects import DIALECTS, ir
from proxy.dialects.loss import Loss
from tests.dialects.examples import Fixture, codec, question, responses, streams
from tests.dialects.laws import (
    check,
    decoded,
    differences,
    encoded,
    folded,
    grammar,
    said,
    settled,
    steady,
    unsealed,
)
from tests.dialects.streams import CUTS, cut
from tests.dialects.tried import (
    BY_CLIENT,
    RESPONSES,
    STREAMS,
    answered,
    asked,
    each,
    for_every_client,
    legal_but_for,
    read_response,
)


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


@each(RESPONSES)
def test_an_answer_is_legal_for_every_client(fixture: Fixture) -> None:
    response = read_response(fixture)
    kept = copy.deepcopy(response)

    def judge(client: str) -> None:
        own = client == fixture.dialect
        before = check(client, "response")(fixture.data) if own else []

        body = answered(client, response, question(client, n=len(response.choices)))

        legal_but_for(check(client, "response")(body), before)
        assert response == kept

    for_every_client(judge)


@BY_CLIENT
@given(response=responses())
def test_a_made_up_answer_is_legal_for_every_client(response: ir.Response, client: str) -> None:
    kept = copy.deepcopy(response)

    body = answered(client, response, question(client, n=len(response.choices)))

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


@each(STREAMS)
def test_a_stream_is_legal_for_every_client(fixture: Fixture) -> None:
    events = decoded(fixture.dialect, asked(fixture), fixture.data)
    kept = copy.deepcopy(events)
    fold = folded(events)
    if not fold.ended and fold.error is None:
        return  # it is cut short, which is the relay's to tell

    def judge(client: str) -> None:
        own = client == fixture.dialect
        before = check(client, "stream")(fixture.data) if own else []
        request = question(client, stream=True, include_usage=True, n=len(fold.response.choices))

        raw = encoded(client, request, events, Loss())

        legal_but_for(without_usage(check(client, "stream")(raw), events), before)
        assert events == kept

    for_every_client(judge)


def without_usage(problems: list[str], events: list[ir.Event]) -> list[str]:
    """Nobody can tell the usage that was never told."""
    told = any(isinstance(event, ir.UsageReport) for event in events)
    return [problem for problem in problems if told or "no usageMetadata" not in problem]


@settings(max_examples=50)
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
    with steady():
        body = answered(client, folded(events).response, request)
        whole = codec(client).parse_response(body, request)
        raw = encoded(client, request, events, Loss())
        streamed = folded(decoded(client, request, raw)).response

    assert answer(streamed) == answer(whole)


def answer(response: ir.Response) -> object:
    """What an answer says, without names and times."""
    turns = [ir.Message("assistant", unsealed(choice.blocks)) for choice in response.choices]
    told = ir.Request(messages=turns)
    return said(told), [(c.finish, c.stop_sequence) for c in response.choices], response.usage
