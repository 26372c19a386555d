"""One request of an operator's to one deployment, as a client's would be made: does it work, what does it say, how soon.

It goes on a connection of its own (`aside`), so that what connecting takes is seen too, and those of clients stay as they
are. It is small, ends after `SECONDS`, and says nothing to the health of anybody: operators try what they doubt.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson
from msgspec import Struct
from msgspec.structs import replace

from proxy.control import asking
from proxy.core.clock import now
from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.surfaces import CONVERSATION, family
from proxy.core.url import join, variant
from proxy.dialects import ir, spoken_by
from proxy.dialects.base import ERROR, Target
from proxy.dialects.loss import Loss
from proxy.upstream import presented
from proxy.upstream.conversations import Limits
from proxy.upstream.pool import Upstream
from proxy.upstream.sigv4 import Scope, sign
from proxy.wire.envelope import Envelope
from proxy.wire.fitting import fit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from proxy.core.model import Credential, Deployment, Provider
    from proxy.dialects.base import Codec, Decoder, Dialect
    from proxy.upstream.connection import Headers, UpstreamConnection
    from proxy.upstream.pool import Release

SECONDS: Final = 30.0
"""For a whole answer, connecting included."""
TOKENS: Final = 128
"""Of the answer, at most: enough for one that thinks first to say something."""
_WORDLESS: Final[Mapping[str, tuple[str, ...]]] = {
    "embedding": ("openai.embeddings",),
    "completion": ("openai.completions",),
}
"""Kinds of models that answer otherwise than in a conversation, and in what they are asked."""
_TEXT: Final = 400
"""Characters of it that are kept."""
_BODY: Final = 256 * 1024
"""Bytes of a whole answer, or of an error."""


class Trial(Struct):
    """What came of it. Times are seconds since the beginning; None: it did not come so far."""

    dialect: str = ""
    status: int = 0
    connect: float | None = None
    ttft: float | None = None
    total: float = 0.0
    model: str = ""
    """As the answer names it."""
    text: str = ""
    """How the answer begins, thoughts left out."""
    finish: str = ""
    usage: ir.Usage | None = None
    models: int | None = None
    """How many models are listed, where that was asked for."""
    error: UpstreamError | None = None


class Spoken(Struct, frozen=True):
    """A dialect that a question can be put in."""

    name: str
    dialect: Dialect
    codec: Codec


def spoken(deployment: Deployment) -> Spoken | None:
    """In what a deployment is asked; None: its provider speaks nothing in which there are answers in words."""
    provider = deployment.provider
    for name in (*deployment.prefer, *provider.dialects):
        found = spoken_by(provider, name) if name in provider.dialects else None
        if found is not None and found.codec is not None and found.codec.render_request is not None:
            return Spoken(name, found, found.codec)
    return None


@asynccontextmanager
async def aside(provider: Provider) -> AsyncIterator[Upstream]:
    """Connections to a provider for one try."""
    upstream = Upstream(provider)
    try:
        yield upstream
    finally:
        await upstream.close()


async def answer(
    upstream: Upstream,
    deployment: Deployment,
    model: str,
    credential: Credential | None,
    prompt: str,
    kind: str = "",
) -> Trial:
    """Ask `deployment` for its `model`, which is of this kind (`Model.type`). What goes wrong is in the trial's `error`."""
    trial, begun = Trial(), perf_counter()
    how = spoken(deployment)
    if kind in _WORDLESS:
        how, deployment = None, replace(deployment, prefer=_WORDLESS[kind])
    try:
        async with asyncio.timeout(SECONDS):
            if how is None:
                await _small(trial, upstream, deployment, credential)
            else:
                await _Conversation(trial, begun, upstream, deployment, how).put(
                    model, credential, prompt
                )
    except UpstreamError as error:
        trial.error = error
        trial.status = trial.status or error.status
    except TimeoutError:
        trial.error = UpstreamError(Cause.TIMEOUT_TOTAL, status=trial.status)
    except ProxyError as refusal:
        trial.error = UpstreamError(Cause.UNTRANSLATABLE, sent=False)
        trial.error.refusal = refusal
    trial.total = perf_counter() - begun
    return trial


async def listed(upstream: Upstream, credential: Credential | None) -> Trial | None:
    """Ask a provider which models it has; None: nobody knows where it would say so."""
    question = asking.for_models(upstream.provider)
    if question is None:
        return None
    trial, begun = Trial(), perf_counter()
    try:
        async with asyncio.timeout(SECONDS):
            body = await _ask(trial, upstream, question, credential)
        trial.models = _count(body)
    except UpstreamError as error:
        trial.error = error
        trial.status = trial.status or error.status
    except TimeoutError:
        trial.error = UpstreamError(Cause.TIMEOUT_TOTAL)
    trial.total = perf_counter() - begun
    return trial


async def _small(
    trial: Trial, upstream: Upstream, deployment: Deployment, credential: Credential | None
) -> None:
    """The smallest question there is, where no conversation can be had: an embedding, say."""
    question = asking.for_token(deployment)
    if question is None:
        raise UpstreamError(Cause.UNTRANSLATABLE, sent=False)
    await _ask(trial, upstream, question, credential)


async def _ask(
    trial: Trial, upstream: Upstream, question: asking.Question, credential: Credential | None
) -> bytes:
    trial.dialect = question.dialect
    await upstream.mint(family(question.dialect), credential, asking.SECONDS)
    trial.status, headers, body = await asking.put(upstream, question, credential)
    if not 200 <= trial.status < 300:
        dialect = spoken_by(upstream.provider, question.dialect)
        if dialect is None:
            raise UpstreamError(Cause.CLIENT, status=trial.status, body=body)
        raise dialect.parse_error(trial.status, headers, body)
    return body


def _count(body: bytes) -> int | None:
    """How many things a list has, in the words of any vendor."""
    try:
        found: Any = orjson.loads(body)
    except ValueError:
        raise UpstreamError(Cause.MALFORMED, status=200) from None
    if isinstance(found, dict):
        found = next((each for each in found.values() if isinstance(each, list)), None)
    return len(found) if isinstance(found, list) else None


class _Conversation(Struct):
    """A question in words, and its answer."""

    trial: Trial
    begun: float
    upstream: Upstream
    deployment: Deployment
    how: Spoken

    async def put(self, model: str, credential: Credential | None, prompt: str) -> None:
        """Ask, and wait for the end. Raises UpstreamError, ProxyError."""
        upstream, deployment, codec = self.upstream, self.deployment, self.how.codec
        self.trial.dialect = self.how.name
        kind = family(self.how.name)
        limit = deployment.timeouts.connect
        await upstream.mint(kind, credential, limit)
        opened = None
        if upstream.conversations is not None and self.how.name == CONVERSATION:
            opened = await upstream.conversations.take(credential, model, Limits(limit, SECONDS))
        message = ir.Message("user", [ir.Text(prompt)])
        request = ir.Request(
            model=model,
            messages=[message],
            max_tokens=TOKENS,
            stream=deployment.streams,
            include_usage=True,
        )
        target = Target(model, deployment.streams, TOKENS, opened)
        assert codec.render_request is not None
        body = self._fitted(codec.render_request(request, target, Loss()))
        head = self._head(target, credential, body)
        connection, release = await upstream.connect(limit)
        self.trial.connect = perf_counter() - self.begun
        listener = _Listener(self.trial, self.begun, self.how, request)
        await _exchange(connection, release, head, body, listener)

    def _fitted(self, body: bytes) -> bytes:
        """With what is configured of parameters, as of a client's request."""
        deployment = self.deployment
        edited = Envelope.parse(body)
        if deployment.streams and not deployment.force_usage:
            edited.drop("stream_options")
        edited.merge_defaults(deployment.param_defaults)
        edited.merge_overrides(deployment.param_overrides)
        how = deployment.provider.fields.get(self.how.name)
        if how is not None:
            fit(edited, how)
        return edited.encode()

    def _head(self, target: Target, credential: Credential | None, body: bytes) -> bytes:
        provider, codec, upstream = self.deployment.provider, self.how.codec, self.upstream
        kind = family(self.how.name)
        auth = presented.place(provider, kind)
        root = variant(provider.dialects[self.how.name], streamed=target.stream)
        suffix = codec.stream_suffix if target.stream else codec.suffix
        quoted = quote(target.model, safe="" if kind == "bedrock" else "/-._~:@")
        url = (join(provider.base_url, root) + suffix).replace("{model}", quoted)
        if target.opened is not None:
            id = quote(str(target.opened.id), safe="-._~")
            url = url.replace("{conversation_id}", id)
        parts = urlsplit(url)
        path = url if provider.proxy and parts.scheme == "http" else parts.path
        asked = [codec.stream_query] if target.stream and codec.stream_query else []
        pairs = presented.query(provider, kind, credential)
        query = "&".join([*asked, *([urlencode(pairs)] if pairs else [])])
        path += f"?{query}" if query else ""
        minted = upstream.minted(auth, credential)
        headers = {
            "host": parts.netloc,
            **asking.DEMANDED.get(kind, {}),
            **presented.headers(provider, kind, credential, minted),
            "content-type": "application/json",
        }
        for name, value in codec.headers(target) if codec.headers is not None else ():
            headers[name.decode()] = value.decode()
        if auth.scheme == "sigv4" and minted:
            signed = [("host", parts.netloc)]
            headers.update(sign(minted, Scope.parse(auth.name), "POST", path, signed, body, now()))
        headers["content-length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode()


async def _exchange(
    connection: UpstreamConnection, release: Release, head: bytes, body: bytes, listener: _Listener
) -> None:
    try:
        connection.exchange(head, body, listener, release)
    except UpstreamError:
        release()
        raise
    try:
        await listener.done
    finally:
        if connection.consumer is listener:
            connection.cancel()
    if listener.error is not None:
        raise listener.error


class _Listener:
    """Consumes one answer, event by event or as a whole."""

    unparsed = None

    def __init__(self, trial: Trial, begun: float, how: Spoken, request: ir.Request) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.error: UpstreamError | None = None
        self._trial = trial
        self._begun = begun
        self._how = how
        self._request = request
        self._decoder: Decoder | None = None
        """Of a stream; None: it comes as a whole."""
        self._headers: Headers = []
        self._held = b""
        self._tap = how.dialect.tap()
        self._over = False

    # Consumer

    def head(self, status: int, headers: Headers) -> None:
        self._trial.status, self._headers = status, headers
        kind = dict(headers).get(b"content-type", b"").partition(b";")[0].strip().lower()
        if 200 <= status < 300 and kind == self._how.dialect.framing.content_type:
            self._decoder = self._how.codec.decoder(self._request)

    def body(self, data: bytes) -> None:
        self._held += data
        if self._decoder is not None:
            self._events(self._decoder)
        elif len(self._held) > _BODY:
            self.end()

    def end(self) -> None:
        if self.done.done():
            return
        if self._decoder is not None:
            self._take(self._decoder.end())
            if not self._tap.complete() and self.error is None:
                self.error = UpstreamError(Cause.TRUNCATED, status=self._trial.status)
        else:
            self._end_whole()
        self._finish()

    def lost(self, error: UpstreamError) -> None:
        self.error = self.error or error
        self._finish()

    # what it says

    def _events(self, decoder: Decoder) -> None:
        framing = self._how.dialect.framing
        end = framing.last_boundary(self._held)
        if end <= 0:
            if len(self._held) > _BODY:
                self.lost(UpstreamError(Cause.MALFORMED, status=self._trial.status))
            return
        block, self._held = self._held[:end], self._held[end:]
        for event in framing.events(block):
            if event.data is None:
                continue
            if self._tap.event(event.name, event.data) & ERROR:
                self.error = self._tap.error
            self._take(decoder.feed(event.name, event.data))
        if self.error is not None or self._over:
            self._finish()

    def _take(self, events: Iterable[ir.Event]) -> None:
        trial = self._trial
        for event in events:
            match event:
                case ir.ResponseStart(model=model):
                    trial.model = model
                case ir.TextDelta(text=text):
                    self._shown(text)
                case ir.ReasoningDelta(text=text):
                    self._shown("", bool(text))
                case ir.BlockStart(block=ir.Text(text=text)):
                    self._shown(text)
                case ir.ChoiceEnd(finish=finish):
                    trial.finish = finish
                case ir.UsageReport(usage=usage):
                    trial.usage = usage
                case ir.StreamError(status=status, message=message):
                    body = orjson.dumps({"error": {"message": message}})
                    self.error = self.error or UpstreamError(
                        Cause.IN_BAND, status=status, body=body
                    )
                case ir.ResponseEnd():
                    self._over = True
                case _:
                    pass

    def _shown(self, text: str, content: bool = False) -> None:
        trial = self._trial
        if (text or content) and trial.ttft is None:
            trial.ttft = perf_counter() - self._begun
        if len(trial.text) < _TEXT:
            trial.text = (trial.text + text)[:_TEXT]

    def _end_whole(self) -> None:
        trial, dialect = self._trial, self._how.dialect
        if not 200 <= trial.status < 300:
            self.error = dialect.parse_error(trial.status, self._headers, self._held)
            return
        try:
            response = self._how.codec.parse_response(self._held, self._request)
        except ValueError:
            self._tap.body(self._held)
            self.error = self._tap.error or UpstreamError(Cause.MALFORMED, status=trial.status)
            return
        trial.model, trial.usage = response.model, response.usage
        for choice in response.choices:
            trial.finish = choice.finish or trial.finish
            for text in _texts(choice):
                self._shown(text)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _texts(choice: ir.Choice) -> Iterator[str]:
    return (block.text for block in choice.blocks if isinstance(block, ir.Text))
