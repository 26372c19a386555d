"""Every client dialect in front of every provider dialect: one proxy, one provider a dialect, and one exchange through it.

Pair        who asks whom, streamed or not, and whether the provider can do what is asked
Line        asks, checks every byte of the answer and of what the provider was asked by the rules of their vendors
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import orjson

from tests.dialects.checkers import bedrock, chat, completions, gemini, messages, responses
from tests.line.asking import assert_discreet
from tests.line.harness import Answer, Proxy, Raw, config, request
from tests.line.matrix_answers import READERS, Json, Said
from tests.line.matrix_asks import BODIES, Ask

PROVIDERS: Mapping[str, str] = {
    "chat": "openai.chat",
    "responses": "openai.responses",
    "messages": "anthropic.messages",
    "gemini": "gemini.generate",
    "bedrock": "bedrock.converse",
}
CLIENTS = ("chat", "responses", "messages", "gemini", "completions")
MODES: Mapping[str, Json] = {
    "": {},
    "never streams": {"stream": False},
    "only streams": {"non_stream": False},
}
"""What a provider can do, as a deployment says it."""
CHECKERS: Mapping[str, ModuleType] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
    "gemini": gemini,
    "bedrock": bedrock,
    "completions": completions,
}
LOST: Mapping[str, Mapping[str, str]] = {
    "chat": {
        "content[].file.filename": "Gemini's documents have no names.",
        "response_format.json_schema.strict": "Some follow every schema to the letter.",
    },
    "responses": {
        "content[].filename": "Gemini's documents have no names.",
        "text.format.strict": "Some follow every schema to the letter.",
        "reasoning.summary": "Who speaks chat shows what it likes.",
    },
    "messages": {
        "content[].tool_result.is_error": "OpenAI's results have no place for it.",
    },
    "gemini": {
        "contents[].parts[].functionResponse.response.error": "OpenAI's results have no place.",
        "generationConfig.thinkingConfig.includeThoughts": "Who speaks chat shows what it likes.",
        "refusal": "OpenAI's refusals have a place of their own.",
    },
    "completions": {
        "thinking.text": "It has no place for thoughts.",
    },
}
"""What somebody cannot say, in the client's word, and why; whatever else is left out is a fault."""
_MODELS = {
    "chat": "sim",
    "responses": "sim",
    "messages": "claude-sonnet-4-5",
    "gemini": "gemini-3-pro",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
}
"""Some of what can be asked for depends on the model: the names of such that can do it all."""
_PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "completions": "/v1/completions",
}

_ids = itertools.count(1)


class Pair(NamedTuple):
    """Who asks whom, and how."""

    client: str
    provider: str
    stream: bool
    mode: str = ""
    """A key of MODES."""

    @property
    def name(self) -> str:
        """As a test is called."""
        mode = f" that {self.mode}" if self.mode else ""
        return f"{self.client}-from-{self.provider}{mode}-{'stream' if self.stream else 'whole'}"

    @property
    def words(self) -> set[str]:
        """How tables call those who are in it."""
        return {self.client, f"to {self.provider}", f"{self.client} to {self.provider}"}


class Seen(NamedTuple):
    """One request that reached the provider."""

    target: str
    body: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return orjson.loads(self.body)


def configuration(url: str) -> Json:
    """A provider a dialect; a model's name begins with the provider's and with what it can do."""
    content = config(url, defaults={"retry": {"count": 0, "retry_after_max": 0}})
    base = content["providers"].pop("p0")
    content["health"] = {"enabled": False}
    content["providers"] = {
        name: {**base, "dialects": [dialect], "credentials": [f"upstream-secret-{name}"]}
        for name, dialect in PROVIDERS.items()
    }
    content["models"] = {
        f"{_prefix(name, mode)}.*": {
            "deployments": [{"provider": name, "model": "*", "max_tokens": 8192} | fields]
        }
        for name in PROVIDERS
        for mode, fields in MODES.items()
    }
    return content


def _prefix(provider: str, mode: str) -> str:
    return f"{provider}_{mode.replace(' ', '_')}" if mode else provider


class Line:
    """One exchange after another between one client and one provider."""

    def __init__(self, proxy: Proxy, provider_port: int, pair: Pair, steering: str) -> None:
        self.proxy = proxy
        self.pair = pair
        self._port = provider_port
        self.upstream = f"{_MODELS[pair.provider]}-{steering}-id{next(_ids)}"
        self.model = f"{_prefix(pair.provider, pair.mode)}.{self.upstream}"
        self.seen: list[Seen] = []

    async def ask(self, ask: Ask, *, checked: bool = True) -> Said:
        """A good answer; `checked`: event by event, which takes its time."""
        answer = await self.send(ask)
        assert answer.status == 200, answer
        assert answer.complete, answer
        dropped = set(answer.headers.get("x-headrace-dropped", "").split(", ")) - {""}
        assert not dropped - LOST.get(self.pair.client, {}).keys(), (dropped, answer)
        checker = CHECKERS[self.pair.client]
        if checked:
            check = checker.check_stream if self.pair.stream else checker.check_response
            # Google ends its lines with CR LF, and passes as it comes.
            verbatim = self.pair.client == self.pair.provider
            body = answer.body.replace(b"\r\n", b"\n") if verbatim else answer.body
            problems = check(body)
            assert not problems, (problems, answer)
        return READERS[self.pair.client](answer, self.pair.stream)

    async def send(self, ask: Ask) -> Answer:
        """Whatever comes of it; what the provider was asked is as its vendor wants it."""
        body = BODIES[self.pair.client](ask)
        answer = await self.post(body)
        self.seen = await self._requests()
        for one in self.seen[-1:]:
            if self.pair.client == self.pair.provider:
                # Nothing is read into it, and nothing is taken out.
                assert {name: one.json.get(name) for name in body} == body
                continue
            problems = CHECKERS[self.pair.provider].check_request(one.body)
            assert not problems, (problems, one)
        return answer

    async def post(self, body: Json, verb: str = "") -> Answer:
        """One request; `verb` for another question than the answer to a prompt."""
        if self.pair.client == "gemini":
            verb = verb or ("streamGenerateContent?alt=sse" if self.pair.stream else "generateContent")  # fmt: skip
            path = f"/v1beta/models/{self.model}:{verb}"
        else:
            path = _PATHS[self.pair.client] + (f"/{verb}" if verb else "")
            body = {"model": self.model, **body}
            if self.pair.stream:
                body["stream"] = True
            if self.pair.stream and self.pair.client in ("chat", "completions"):
                body["stream_options"] = {"include_usage": True}
        answer = await self.proxy.post(path, body)
        assert_discreet(answer)
        return answer

    @property
    def asked(self) -> Any:
        """The body the provider was sent last."""
        return self.seen[-1].json

    async def _requests(self) -> list[Seen]:
        client = await Raw.open(self._port)
        try:
            client.send(request("GET", "/ledger?last=4", None, None, key=None))
            ledger = (await client.answer()).json
        finally:
            client.close()
        return [
            Seen(one["target"], base64.b64decode(one["body"]))
            for one in ledger["requests"]
            if one["model"] == self.upstream
        ]

    def forget(self) -> None:
        """Nothing that has failed is held against anybody: no key rests, no circuit is open."""
        live = self.proxy.worker.state.live
        assert live.snapshot is not None
        live.accounts.clear()
        live.deployments.clear()
        live.swap(live.snapshot)
