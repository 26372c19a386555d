"""Keys of the role that AWS gives a container, a pod or a machine: `ACCESS_KEY_ID:SECRET:SESSION_TOKEN`.

Asked for where the AWS SDKs ask, in their order, of what needs no files of theirs:

web identity   AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN      EKS, by STS AssumeRoleWithWebIdentity
container      AWS_CONTAINER_CREDENTIALS_{RELATIVE,FULL}_URI  ECS, EKS Pod Identity
machine        the instance metadata service, version 2       EC2

https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from proxy.core.clock import now
from proxy.upstream.minting.grant import AMBIENT, Ask, Minted, Refused, Unreachable, answer

if TYPE_CHECKING:
    from collections.abc import Mapping

MACHINE = "http://169.254.169.254"
CONTAINER = "http://169.254.170.2"
_CONTAINERS = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|localhost|::1")
_ROLE = re.compile(rb"[\w+=,.@-]{1,64}")
_FIELDS = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
_SESSION = "21600"


async def mint(credential: str, scope: str, ask: Ask) -> Minted:
    """`scope` is `REGION[/SERVICE]` of the signature. Raises Refused or Unreachable."""
    if credential != AMBIENT:
        raise Refused("keys of AWS are minted for 'ambient' only")
    env = os.environ
    if env.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return await _of_identity(scope.partition("/")[0], ask)
    full, relative = (
        env.get(f"AWS_CONTAINER_CREDENTIALS_{kind}_URI") for kind in ("FULL", "RELATIVE")
    )
    if relative or full:
        return await _of_container(CONTAINER + relative if relative else str(full), ask)
    return await _of_machine(ask)


async def _of_identity(region: str, ask: Ask) -> Minted:
    env = os.environ
    query = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": env.get("AWS_ROLE_ARN", ""),
        "RoleSessionName": env.get("AWS_ROLE_SESSION_NAME") or "headrace",
        "WebIdentityToken": _read("AWS_WEB_IDENTITY_TOKEN_FILE"),
    }
    place = env.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.amazonaws.com"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    status, body = await ask("POST", place.rstrip("/") + "/", headers, urlencode(query).encode())
    if status != 200:
        why = re.search(rb"<Code>(\w{1,80})</Code>", body)
        said = f"STS: {why[1].decode() if why else status}"
        raise Refused(said) if 400 <= status < 500 else Unreachable(said)
    # XML, of which four texts are wanted, and no entity can stand in them.
    found = {}
    for name in _FIELDS:
        text = re.search(rb"<%b>([^<&]*)</%b>" % (name.encode(), name.encode()), body)
        found[name] = text[1].decode("ascii", "replace") if text else ""
    return _keys(found)


async def _of_container(url: str, ask: Ask) -> Minted:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and host not in _CONTAINERS and not _LOOPBACK.fullmatch(host):
        # As the SDKs have it: whoever can set a variable should not have keys sent to a place of theirs in the clear.
        raise Refused("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor of this machine")
    env = os.environ
    proof = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        proof = _read("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    headers = {"authorization": proof} if proof else {}
    return _keys(answer(*await ask("GET", url, headers, None)))


async def _of_machine(ask: Ask) -> Minted:
    place = (os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or MACHINE).rstrip("/")
    wanted = {"x-aws-ec2-metadata-token-ttl-seconds": _SESSION}
    status, session = await ask("PUT", f"{place}/latest/api/token", wanted, b"")
    if status != 200 or not session.isascii():
        raise Unreachable(f"the metadata service gives no session: status {status}")
    headers = {"x-aws-ec2-metadata-token": session.decode().strip()}
    roles = f"{place}/latest/meta-data/iam/security-credentials/"
    status, listed = await ask("GET", roles, headers, None)
    role = _ROLE.fullmatch((listed.split() or [b""])[0])
    if status != 200 or role is None:
        raise Refused("this machine has no role")
    name = quote(role[0].decode(), safe="")
    return _keys(answer(*await ask("GET", roles + name, headers, None)))


def _keys(found: Mapping[str, object]) -> Minted:
    token = found.get("Token") or found.get("SessionToken") or ""
    parts = [str(found.get(name) or "") for name in ("AccessKeyId", "SecretAccessKey")]
    try:
        until = datetime.fromisoformat(str(found.get("Expiration"))).timestamp()
    except (ValueError, OverflowError):
        until = 0.0
    life = until - now()
    text = ":".join((*parts, str(token)))
    fit = text.isascii() and text.isprintable() and ":" not in parts[0] + parts[1]
    if not fit or not all(parts) or life <= 0:
        raise Unreachable("an answer without keys, or without the end of their life")
    return Minted(text, life)


def _read(variable: str) -> str:
    """The text of the file that this variable names."""
    try:
        return Path(os.environ[variable]).read_text("ascii").strip()
    except (OSError, ValueError):
        raise Refused(f"{variable} cannot be read") from None
