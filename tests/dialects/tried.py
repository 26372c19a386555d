"""What the laws are tried on, and for whom: fixtures that can be read, every provider, every client."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.base import Target
from proxy.dialects.loss import Loss
from tests.dialects.examples import CLIENTS, MODELS, PROVIDERS, Fixture, codec, fixtures, question

TARGETS = [(provider, model) for provider in PROVIDERS for model in MODELS[provider]]
BY_CLIENT = pytest.mark.parametrize("client", CLIENTS)
TO_PROVIDER = pytest.mark.parametrize(("provider", "model"), TARGETS)


def each(found: list[Fixture]) -> pytest.MarkDecorator:
    """A test for every fixture."""
    return pytest.mark.parametrize("fixture", found, ids=[one.label for one in found])


def for_every_provider(judge: Callable[[str, str], None]) -> None:
    """Judge each provider and model. In one test, because there are hundreds of fixtures for each."""
    for provider, model in TARGETS:
        try:
            judge(provider, model)
        except Exception as error:
            error.add_note(f"for {provider}, {model}")
            raise


def for_every_client(judge: Callable[[str], None]) -> None:
    """The same for clients."""
    for client in CLIENTS:
        try:
            judge(client)
        except Exception as error:
            error.add_note(f"for {client}")
            raise


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
    """The request of a fixture."""
    parse = codec(fixture.dialect).parse_request
    assert parse is not None
    return parse(fixture.data)


def read_response(fixture: Fixture) -> ir.Response:
    """The answer of a fixture."""
    return codec(fixture.dialect).parse_response(fixture.data, asked(fixture))


def _can(read: Callable[[Fixture], object], fixture: Fixture) -> bool:
    """Whether there is anything to read: some fixtures are refusals, errors, or written for providers alone."""
    try:
        read(fixture)
    except (ProxyError, ValueError):
        return False
    return True


REQUESTS = [
    one
    for one in fixtures("request")
    if codec(one.dialect).parse_request is not None and _can(read_request, one)
]
RESPONSES = [one for one in fixtures("response") if _can(read_response, one)]
STREAMS = fixtures("stream")


def written(provider: str, model: str, request: ir.Request, loss: Loss) -> bytes | None:
    """The request for a provider; None: it is refused, because it cannot be said there."""
    render = codec(provider).render_request
    assert render is not None
    try:
        return render(request, Target(model=model, stream=request.stream), loss)
    except ProxyError as error:
        if error.code != "translation_not_supported":
            raise
        return None


def answered(client: str, response: ir.Response, request: ir.Request) -> bytes:
    """The answer for a client."""
    render = codec(client).render_response
    assert render is not None
    return render(response, request, Loss())


def _sentences(problems: list[str]) -> set[str]:
    """What is wrong, wherever it is."""
    return {
        re.sub(r"\d+|'[^']*'", "N", problem.partition(": ")[2] or problem) for problem in problems
    }


def legal_but_for(problems: list[str], before: list[str]) -> None:
    """Nothing is wrong that was not wrong before."""
    known = _sentences(before)
    assert [problem for problem in problems if not _sentences([problem]) <= known] == []
