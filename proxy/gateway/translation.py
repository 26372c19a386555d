"""One exchange in two languages: the client's request in the provider's words, the provider's answer in the client's.

Made for one attempt. Also where client and provider speak the same dialect but one of them streams and the other
does not: then the request passes as it came, and only the answer changes its form.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from proxy.core.errors import ProxyError
from proxy.dialects import DIALECTS, ir, spoken_by
from proxy.dialects.base import (
    Codec,
    Count,
    Decoder,
    Dialect,
    Encoder,
    Headers,
    Opened,
    Target,
)
from proxy.dialects.fold import Fold, unfold
from proxy.dialects.identity import SEALED
from proxy.dialects.loss import Loss, unsupported
from proxy.gateway.endpoints import TRANSLATED, Endpoint
from proxy.wire.quoted import has

if TYPE_CHECKING:
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.plan import Candidate


class Translation:
    """What stands between one client and one provider for the length of an attempt."""

    __slots__ = (
        "body",
        "client",
        "endpoint",
        "loss",
        "provider",
        "request",
        "streams",
        "target",
        "told",
        "verbatim",
    )

    def __init__(self, exchange: Exchange, candidate: Candidate) -> None:
        """Raises ProxyError when the request cannot be put into the provider's words, or is none."""
        deployment = candidate.deployment
        self.client = DIALECTS[exchange.endpoint.dialect]
        provider = spoken_by(deployment.provider, candidate.dialect)
        assert provider is not None
        self.provider = provider
        self.loss = Loss()
        self.streams = exchange.stream
        """Whether the client is given a stream."""
        self.verbatim = self.client is self.provider and not is_sealed(exchange)
        """The request is the client's own, but for whether to stream."""
        wants = deployment.streams if exchange.stream else not deployment.non_streams
        self.request = msgspec.structs.replace(
            asked(exchange, lenient=self.verbatim), model=candidate.upstream_model
        )
        if exchange.endpoint.operation == "count_tokens" and codec_of(provider).count is None:
            raise unsupported("count_tokens", "It does not count.")
        self.endpoint = _endpoint(provider, exchange.endpoint.operation, wants)
        self.body = b""
        """What the provider is sent; nothing when `verbatim`."""
        self.told: list[ir.Event] = []
        """A stream that is here as a whole."""
        self.target = Target(candidate.upstream_model, wants, deployment.max_tokens)
        if not self.verbatim:
            self._render()
            if self.loss and candidate.model.strict:
                raise ProxyError(
                    "bad_req",
                    f"The provider of this model has no equivalent of: {', '.join(self.dropped())}.",
                    code="translation_loss",
                    param=next(iter(self.dropped())),
                )

    def converse(self, opened: Opened) -> None:
        """Ask in this conversation."""
        self.target = msgspec.structs.replace(self.target, opened=opened)
        self._render()

    def _render(self) -> None:
        render = codec_of(self.provider).render_request
        count = self.counting
        if count is not None:
            render = count[1].render
        assert render is not None
        self.body = render(self.request, self.target, self.loss)

    @property
    def headers(self) -> Headers:
        """What the provider wants in the head of this one request."""
        headers = codec_of(self.provider).headers
        return [] if headers is None else headers(self.target)

    @property
    def content_type(self) -> bytes:
        """Of what the client is given."""
        if not self.streams or self.request.array:
            return b"application/json; charset=utf-8"
        return codec_of(self.client).stream_type

    @property
    def query(self) -> str:
        """What the provider wants in the query of a request for a stream."""
        return codec_of(self.provider).stream_query

    @property
    def counting(self) -> tuple[Count, Count] | None:
        """How client and provider count tokens, when that is what was asked for."""
        if self.endpoint.operation != "count_tokens":
            return None
        client, provider = codec_of(self.client).count, codec_of(self.provider).count
        assert client is not None
        assert provider is not None
        return client, provider

    def dropped(self) -> list[str]:
        """What was left out, each in the client's own word for it; one word may stand for several things."""
        fields = codec_of(self.client).fields
        told = (
            name if feature == "unknown" else fields.get(feature, name)
            for name, feature in self.loss.names.items()
        )
        return list(dict.fromkeys(told))

    def decoder(self) -> Decoder:
        """A reader of the provider's stream."""
        return codec_of(self.provider).decoder(self.request)

    def encoder(self) -> Encoder:
        """A writer of the client's stream."""
        encoder = codec_of(self.client).encoder
        assert encoder is not None
        return encoder(self.request, self.loss)

    def whole(self, body: bytes) -> bytes:
        """The client's answer from a provider's whole body. Raises ValueError for what is no answer."""
        if self.counting is not None:
            client, provider = self.counting
            number = provider.parse(body)
            if number is None:
                raise ValueError("no count")
            return client.answer(number)
        return self._say(codec_of(self.provider).parse_response(body, self.request))

    def folded(self, stream: bytes) -> bytes:
        """The client's answer from a provider's whole stream. Raises ValueError when it is not complete."""
        decoder = self.decoder()
        fold = Fold()
        for event in self.provider.framing.events(stream):
            if event.data is not None:
                fold.add(decoder.feed(event.name, event.data))
        fold.add(decoder.end())
        if fold.error is not None or not fold.ended:
            raise ValueError("incomplete")
        return self._say(fold.response)

    def _say(self, response: ir.Response) -> bytes:
        response.model = response.model or self.request.model
        if self.streams:
            encode, self.told = self.encoder().encode, list(unfold(response))
            return b"".join(map(encode, self.told))
        render = codec_of(self.client).render_response
        assert render is not None
        return render(response, self.request, self.loss)


def needed(exchange: Exchange, candidate: Candidate) -> bool:
    """Whether the candidate's answer, or the request to it, takes another form than the client's."""
    endpoint, envelope = exchange.endpoint, exchange.envelope
    if candidate.dialect != endpoint.dialect or (
        endpoint.operation in TRANSLATED
        and has(exchange.body if envelope is None else envelope.sought, SEALED)
    ):
        return True
    if exchange.hooks is not None and exchange.hooks.screens and exchange.stream:
        return True  # text is screened in events of the hub
    deployment = candidate.deployment
    serves = deployment.streams if exchange.stream else deployment.non_streams
    return not serves and endpoint.operation in TRANSLATED and endpoint.operation != "count_tokens"


def is_sealed(exchange: Exchange) -> bool:
    """Whether the client gives back another family's state, which its own would refuse: then it is taken out."""
    envelope = exchange.envelope
    return exchange.endpoint.operation in TRANSLATED and has(
        exchange.body if envelope is None else envelope.sought, SEALED
    )


def codec_of(dialect: Dialect) -> Codec:
    """Of a dialect that has one; the plan asks no other."""
    assert dialect.codec is not None
    return dialect.codec


def asked(exchange: Exchange, *, lenient: bool = False) -> ir.Request:
    """The client's request, read once an exchange. `lenient`: one that cannot be read still says enough."""
    if exchange.asked is not None:
        return exchange.asked
    codec = codec_of(DIALECTS[exchange.endpoint.dialect])
    parse = codec.parse_request
    if exchange.endpoint.operation == "count_tokens" and codec.count is not None:
        parse = codec.count.parse_request or parse
    assert parse is not None
    try:
        request = parse(exchange.body)
    except ProxyError:
        if not lenient:
            raise
        return ir.Request(origin=exchange.endpoint.dialect, stream=exchange.stream)
    request.stream = exchange.stream
    request.array = exchange.array
    exchange.asked = request
    return request


@lru_cache(maxsize=256)
def _endpoint(dialect: Dialect, operation: str, stream: bool) -> Endpoint:
    """What a provider is asked at in its own dialect. The same object each time: heads are kept by it."""
    codec, name = codec_of(dialect), dialect.name
    suffix = codec.stream_suffix if stream else codec.suffix
    if operation == "count_tokens":
        assert codec.count is not None
        suffix, stream = codec.count.suffix, False
    return Endpoint(f"{name} {operation}", "POST", name, operation, suffix, stream=stream)
