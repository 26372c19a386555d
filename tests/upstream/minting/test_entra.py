"""Tokens of Entra, asked for the way its documents say."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.core.clock import Hands
from proxy.upstream.minting import entra
from proxy.upstream.minting.grant import Minted, Refused, Unreachable
from proxy.upstream.minting.minter import Minter
from tests.upstream.minting.issuer import issuing, refusal, token

VARIABLES = (
    "AZURE_AUTHORITY_HOST", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


async def mint(credential: str, scope: str = "") -> Minted:
    minter = Minter()
    try:
        return await entra.mint(credential, scope, minter._ask)
    finally:
        await minter.close()


async def test_an_application_has_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    async with issuing(whatever=token("eyJ")) as issuer:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", issuer.url + "/")
        found = await mint("contoso.example:client-1:se:cret")

    assert found == Minted("eyJ", 3600.0)
    (asked,) = issuer.asked
    assert (asked.method, asked.path) == ("POST", "/contoso.example/oauth2/v2.0/token")
    assert asked.form == {
        "grant_type": "client_credentials",
        "client_id": "client-1",
        "client_secret": "se:cret",
        "scope": "https://cognitiveservices.azure.com/.default",
    }


async def test_a_pod_has_a_token_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("federated\n")
    async with issuing(whatever=token()) as issuer:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", issuer.url)
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AZURE_TENANT_ID", "t")
        monkeypatch.setenv("AZURE_CLIENT_ID", "c")
        await mint("ambient", "api://ours/.default")

    form = issuer.asked[0].form
    assert form["client_assertion"] == "federated"
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert (form["client_id"], form["scope"]) == ("c", "api://ours/.default")


async def test_a_service_asks_the_endpoint_it_is_given(
    monkeypatch: pytest.MonkeyPatch, hands: Hands
) -> None:
    ends = token("managed", None, expires_on=str(int(hands.now()) + 900))
    async with issuing(whatever=ends) as issuer:
        monkeypatch.setenv("IDENTITY_ENDPOINT", issuer.url + "/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "proof")
        monkeypatch.setenv("AZURE_CLIENT_ID", "c")
        found = await mint("ambient")

    assert found.text == "managed"
    assert 899 <= found.life <= 900
    (asked,) = issuer.asked
    assert (asked.path, asked.headers["x-identity-header"]) == ("/msi/token", "proof")
    assert asked.query == {
        "api-version": "2019-08-01",
        "resource": "https://cognitiveservices.azure.com",
        "client_id": "c",
    }


async def test_a_machine_asks_its_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    async with issuing(whatever=token("vm", "86399")) as issuer:
        monkeypatch.setattr(entra, "MACHINE", issuer.url + "/metadata/identity/oauth2/token")
        found = await mint("ambient")

    assert found == Minted("vm", 86399.0)
    (asked,) = issuer.asked
    assert asked.headers["metadata"] == "true"
    assert asked.query == {
        "api-version": "2018-02-01",
        "resource": "https://cognitiveservices.azure.com",
    }


@pytest.mark.parametrize("credential", ["key", "tenant:client", "::secret", "t:c:"])
async def test_what_is_no_credential_is_refused(credential: str) -> None:
    with pytest.raises(Refused, match="TENANT:CLIENT_ID:SECRET"):
        await mint(credential)


async def test_a_token_that_cannot_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(Refused, match="cannot be read"):
        await mint("ambient")


async def test_what_entra_refuses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = refusal(401, error="invalid_client", error_description="AADSTS7000215")
    async with issuing(whatever=wrong) as issuer:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", issuer.url)
        with pytest.raises(Refused, match="AADSTS7000215"):
            await mint("t:c:s")


async def test_a_token_without_an_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with issuing(whatever=token("x", None)) as issuer:
        monkeypatch.setattr(entra, "MACHINE", issuer.url)
        with pytest.raises(Unreachable):
            await mint("ambient")
