"""Keys of AWS roles, asked for where the SDKs of AWS ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from proxy.core.clock import now
from proxy.upstream.minting import aws
from proxy.upstream.minting.grant import Minted, Refused, Unreachable
from proxy.upstream.minting.minter import Minter
from tests.upstream.minting.issuer import Answer, Asked, gone, issuing

VARIABLES = (
    "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL_STS", "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


async def mint(scope: str = "eu-west-1/bedrock") -> Minted:
    minter = Minter()
    try:
        return await aws.mint("ambient", scope, minter._ask)
    finally:
        await minter.close()


def ends(seconds: float = 3600) -> str:
    moment = datetime.fromtimestamp(now(), UTC) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def keys(**more: str | None) -> Answer:
    found = {
        "Code": "Success",
        "AccessKeyId": "ASIA1",
        "SecretAccessKey": "sec/ret",
        "Token": "tok==",
        "Expiration": ends(),
        **more,
    }
    return lambda _: web.json_response(found)


def machine(asked: Asked) -> web.Response:
    """The metadata service: it wants a session first."""
    if asked.method == "PUT":
        assert asked.headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600"
        return web.Response(text="session-1")
    if asked.headers.get("x-aws-ec2-metadata-token") != "session-1":
        return web.Response(status=401)
    if asked.path.endswith("/security-credentials/"):
        return web.Response(text="role-of-ours")
    return keys()(asked) if asked.path.endswith("/role-of-ours") else gone()


async def test_a_machine_has_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    async with issuing(whatever=machine) as issuer:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", issuer.url)
        found = await mint()

    assert found.text == "ASIA1:sec/ret:tok=="
    assert 3590 < found.life <= 3600
    assert [one.method for one in issuer.asked] == ["PUT", "GET", "GET"]


@pytest.mark.parametrize(("status", "roles"), [(404, ""), (200, ""), (200, "a/b"), (200, "<html>")])
async def test_a_machine_without_a_role_is_refused(
    monkeypatch: pytest.MonkeyPatch, status: int, roles: str
) -> None:
    def answer(asked: Asked) -> web.Response:
        if asked.method == "PUT":
            return web.Response(text="s")
        return web.Response(status=status, text=roles)

    async with issuing(whatever=answer) as issuer:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", issuer.url)
        with pytest.raises(Refused):
            await mint()


async def test_a_container_asks_where_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "proof").write_text("pod-proof\n")
    async with issuing(whatever=keys()) as issuer:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", issuer.url + "/v1/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "proof"))
        found = await mint()

    assert found.text == "ASIA1:sec/ret:tok=="
    assert issuer.asked[0].headers["authorization"] == "pod-proof"


async def test_a_task_asks_the_address_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    async with issuing(whatever=keys()) as issuer:
        monkeypatch.setattr(aws, "CONTAINER", issuer.url)
        monkeypatch.setattr(aws, "_CONTAINERS", frozenset({"127.0.0.1"}))
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1")
        await mint()

    assert issuer.asked[0].path == "/v2/credentials/1"


@pytest.mark.parametrize(
    "url", ["http://elsewhere.example/x", "http://127.0.0.1.example/x", "ftp://a"]
)
async def test_keys_are_not_asked_for_in_the_clear(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    with pytest.raises(Refused, match="neither https nor of this machine"):
        await mint()


XML = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA2</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
<SessionToken>t</SessionToken><Expiration>{ends}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


async def test_a_pod_assumes_a_role_with_its_identity(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("eyJ.web\n")
    async with issuing(whatever=lambda _: web.Response(text=XML.format(ends=ends()))) as issuer:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", issuer.url)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
        found = await mint()

    assert found.text == "ASIA2:s:t"
    assert issuer.asked[0].form == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": "arn:aws:iam::1:role/r",
        "RoleSessionName": "headrace",
        "WebIdentityToken": "eyJ.web",
    }


@pytest.mark.parametrize(("status", "kind"), [(403, Refused), (500, Unreachable)])
async def test_sts_says_why_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, kind: type[Exception]
) -> None:
    (tmp_path / "token").write_text("x")
    text = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
    async with issuing(whatever=lambda _: web.Response(status=status, text=text)) as issuer:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", issuer.url)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        with pytest.raises(kind, match="AccessDenied"):
            await mint()


@pytest.mark.parametrize(
    "wrong",
    [
        {"AccessKeyId": ""},
        {"AccessKeyId": "a:b"},
        {"SecretAccessKey": None},
        {"Token": "a\r\nb: c"},
        {"Expiration": "soon"},
        {"Expiration": "2001-01-01T00:00:00Z"},
    ],
)
async def test_keys_that_are_none(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str | None]
) -> None:
    async with issuing(whatever=keys(**wrong)) as issuer:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", issuer.url)
        with pytest.raises(Unreachable):
            await mint()


async def test_nothing_else_is_minted() -> None:
    minter = Minter()
    with pytest.raises(Refused):
        await aws.mint("AKIA:secret", "r", minter._ask)
    await minter.close()
