"""Tokens of Google: the assertion is verified as Google would, with the public half of the key."""

from __future__ import annotations

import base64

import orjson
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from proxy.core.clock import Hands
from proxy.upstream.minting import google
from proxy.upstream.minting.grant import Minted, Refused, Unreachable
from proxy.upstream.minting.minter import Minter
from tests.upstream.minting.issuer import issuing, refusal, token

KEY = rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def account(url: str, **more: str) -> str:
    found = {
        "type": "service_account",
        "client_email": "robot@project.iam.gserviceaccount.com",
        "private_key_id": "key-7",
        "private_key": pem(KEY),
        "token_uri": f"{url}/token",
        **more,
    }
    return orjson.dumps(found).decode()


def claims(assertion: str) -> tuple[dict[str, object], dict[str, object]]:
    """Head and claims of an assertion whose signature is good. Raises InvalidSignature."""
    signed, _, proof = assertion.rpartition(".")
    KEY.public_key().verify(decoded(proof), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    head, body = (orjson.loads(decoded(part)) for part in signed.split("."))
    return head, body


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def mint(credential: str, scope: str = "") -> Minted:
    minter = Minter()
    try:
        return await google.mint(credential, scope, minter._ask)
    finally:
        await minter.close()


async def test_a_service_account_signs_that_it_is_itself(hands: Hands) -> None:
    async with issuing(whatever=token("ya29.x")) as issuer:
        found = await mint(account(issuer.url))

    assert found == Minted("ya29.x", 3600.0)
    (asked,) = issuer.asked
    assert (asked.method, asked.path) == ("POST", "/token")
    assert asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, body = claims(asked.form["assertion"])
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "key-7"}
    assert body == {
        "iss": "robot@project.iam.gserviceaccount.com",
        "scope": google.SCOPE,
        "aud": f"{issuer.url}/token",
        "iat": int(hands.now()),
        "exp": int(hands.now()) + 3600,
    }


async def test_another_scope_is_asked_for() -> None:
    async with issuing(whatever=token()) as issuer:
        await mint(account(issuer.url), "https://www.googleapis.com/auth/generative-language")

    _, body = claims(issuer.asked[0].form["assertion"])
    assert body["scope"] == "https://www.googleapis.com/auth/generative-language"


async def test_a_user_has_a_refresh_token() -> None:
    user = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    async with issuing(whatever=token()) as issuer:
        await mint(orjson.dumps({**user, "token_uri": issuer.url + "/token"}).decode())

    assert issuer.asked[0].form == {
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
        "grant_type": "refresh_token",
    }


async def test_a_machine_asks_its_metadata_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async with issuing(whatever=token("machine", 120)) as issuer:
        monkeypatch.setenv("GCE_METADATA_HOST", issuer.url.removeprefix("http://"))
        found = await mint("ambient")

    assert found == Minted("machine", 120.0)
    (asked,) = issuer.asked
    assert asked.path == "/computeMetadata/v1/instance/service-accounts/default/token"
    assert asked.headers["metadata-flavor"] == "Google"
    assert asked.query == {"scopes": google.SCOPE}


@pytest.mark.parametrize(
    "credential",
    [
        "sk-plain",
        "{}",
        "[]",
        '{"type": "external_account"}',
        '{"type": "service_account"}',
        '{"type": "service_account", "client_email": "a", "private_key": "no pem"}',
    ],
)
async def test_what_is_no_credential_is_refused_without_asking(credential: str) -> None:
    async with issuing() as issuer:
        with pytest.raises(Refused):
            await mint(credential)

    assert not issuer.asked


async def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(Refused, match="RSA"):
        await mint(
            account("http://127.0.0.1:1", private_key=pem(ec.generate_private_key(ec.SECP256R1())))
        )


async def test_what_google_refuses_is_refused() -> None:
    async with issuing(whatever=refusal(error="invalid_grant")) as issuer:
        with pytest.raises(Refused, match="invalid_grant"):
            await mint(account(issuer.url))


async def test_nobody_there_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="ClientConnectorError"):
        await mint(account("http://127.0.0.1:1"))
