"""Azure, Vertex AI and Bedrock on this machine: their addresses and their ways to let somebody in, before the simulated provider.

Each request is let in only with what that cloud would accept, and is then answered by the simulated provider. What a cloud
would not understand is a 400 that says what was wrong.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from unittest import mock

import aiohttp
import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from proxy.core.clock import now
from tests.upstream.minting.test_google import claims

VERTEX = "/v1/projects/our-project/locations/europe-west4"
_VERTEX = re.compile(re.escape(VERTEX) + r"/publishers/(google|anthropic)/models/([^:/]+):(\w+)")
_AZURE = re.compile(r"/openai/deployments/([^/]+)/chat/completions")
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/bedrock/aws4_request, SignedHeaders=([^,]+), Signature=(\w{64})"
)
_KEEPS = {"content-type", "accept"}


class Wrong(Exception):
    """What the cloud does not understand, or does not let in."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


class Clouds:
    """All of them at one address."""

    def __init__(self, simulator: str) -> None:
        self.url = ""
        self.tokens: set[str] = set()
        """Those that are good."""
        self.keys: dict[str, tuple[str, str]] = {}
        """Access keys that are good, to their secret and their session token."""
        self.given = 0
        """Tokens and keys, ever."""
        self._simulator = simulator
        self._session: aiohttp.ClientSession | None = None

    def expire(self) -> None:
        """What has been given is not good any more, whatever its life was to be."""
        self.tokens.clear()
        self.keys.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            for path, give in self._gives.items():
                if re.fullmatch(path, request.path):
                    return web.json_response(give(self, request, body))
            if request.path.startswith("/latest/"):
                return self._machine(request)
            where, body = self._understood(request, body)
        except Wrong as wrong:
            return web.json_response({"error": {"message": str(wrong)}}, status=wrong.status)
        return await self._answered(request, where, body)

    # --- who gives ---

    def _token(self, kind: str) -> dict[str, Any]:
        self.given += 1
        text = f"{kind}-{self.given}"
        self.tokens.add(text)
        return {"access_token": text, "token_type": "Bearer", "expires_in": 3600}

    def _google(self, request: web.Request, body: bytes) -> dict[str, Any]:
        assertion = re.fullmatch(rb"grant_type=[^&]+&assertion=([\w.-]+)", body)
        if assertion is None:
            raise Wrong("no assertion")
        _, found = claims(assertion[1].decode())
        if found["aud"] != f"{self.url}/google/token":
            raise Wrong("an assertion for somebody else")
        return self._token("google")

    def _entra(self, request: web.Request, body: bytes) -> dict[str, Any]:
        if b"client_secret=the-secret" not in body or b"grant_type=client_credentials" not in body:
            raise Wrong("invalid_client", 401)
        return self._token("entra")

    _gives: ClassVar[dict[str, Callable[[Clouds, web.Request, bytes], dict[str, Any]]]] = {
        "/google/token": _google,
        "/our-tenant/oauth2/v2.0/token": _entra,
    }

    def _machine(self, request: web.Request) -> web.Response:
        if request.method == "PUT":
            return web.Response(text="session")
        if request.headers.get("x-aws-ec2-metadata-token") != "session":
            return web.Response(status=401)
        if request.path.endswith("/security-credentials/"):
            return web.Response(text="our-role")
        self.given += 1
        key, secret, token = (f"{name}{self.given}" for name in ("ASIA", "secret", "session"))
        self.keys[key] = secret, token
        until = datetime.fromtimestamp(now(), UTC) + timedelta(hours=6)
        found = {"AccessKeyId": key, "SecretAccessKey": secret, "Token": token}
        return web.json_response({**found, "Expiration": until.isoformat()})

    # --- who answers ---

    def _understood(self, request: web.Request, body: bytes) -> tuple[str, bytes]:
        """Where the simulated provider has it, and what it is sent there. Raises Wrong."""
        path = request.path
        if request.path.startswith("/model/"):
            self._signed(request, body)
            return request.raw_path, body
        self._let_in(request)
        azure = _AZURE.fullmatch(path)
        if azure is not None:
            if request.query.get("api-version") != "2024-10-21":
                raise Wrong("api-version", 404)
            return "/v1/chat/completions", orjson.dumps({**orjson.loads(body), "model": azure[1]})
        vertex = _VERTEX.fullmatch(path)
        if vertex is None:
            raise Wrong(f"nothing is at {path}", 404)
        publisher, model, verb = vertex.groups()
        if publisher == "google":
            return f"/v1beta/models/{model}:{verb}?{request.query_string}", body
        found = orjson.loads(body)
        if found.pop("anthropic_version", None) != "vertex-2023-10-16" or "model" in found:
            raise Wrong("anthropic_version belongs into the body, and model does not")
        if verb != ("streamRawPredict" if found.get("stream") else "rawPredict"):
            raise Wrong(f"{verb} for stream={found.get('stream')}")
        return "/v1/messages", orjson.dumps({**found, "model": model})

    def _let_in(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            raise Wrong("not a token of ours", 401)

    def _signed(self, request: web.Request, body: bytes) -> None:
        """Sign the same with the library of AWS. Raises Wrong unless that gives the same signature."""
        found = _SIGNED.fullmatch(request.headers.get("authorization", ""))
        if found is None or found[1] not in self.keys:
            raise Wrong("not signed with a key of ours", 403)
        secret, token = self.keys[found[1]]
        if request.headers.get("x-amz-security-token") != token:
            raise Wrong("another session", 403)
        moment = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(
            tzinfo=UTC
        )
        names = set(found[4].split(";")) - {"x-amz-date", "x-amz-security-token"}
        headers = {name: request.headers[name] for name in names}
        url = f"http://{request.host}{request.raw_path}"
        again = AWSRequest("POST", url, data=body, headers=headers)
        with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
            SigV4Auth(Credentials(found[1], secret, token), "bedrock", found[3]).add_auth(again)
        if again.headers["Authorization"].rpartition("=")[2] != found[5]:
            raise Wrong("the signature is another one", 403)

    async def _answered(self, request: web.Request, where: str, body: bytes) -> web.StreamResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False)
        headers = {k: v for k, v in request.headers.items() if k.lower() in _KEEPS}
        headers |= {"x-api-key": "any", "authorization": "Bearer any", "x-goog-api-key": "any"}
        headers["anthropic-version"] = request.headers.get("anthropic-version", "2023-06-01")
        async with self._session.post(
            self._simulator + where, data=body, headers=headers
        ) as answer:
            response = web.StreamResponse(status=answer.status)
            response.content_type = answer.content_type
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


@asynccontextmanager
async def clouds(simulator: str) -> AsyncIterator[Clouds]:
    """They run."""
    found = Clouds(simulator)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    async with TestServer(app) as server:
        found.url = str(server.make_url("/")).rstrip("/")
        yield found
    await found.close()
