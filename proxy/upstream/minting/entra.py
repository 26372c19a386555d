"""Access tokens of Microsoft Entra ID, for Azure OpenAI without a key.

An application proves itself with its secret, or with the token its pod was given (workload identity):
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow . A managed identity is asked of the
machine: https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from proxy.core.clock import now
from proxy.upstream.minting.grant import AMBIENT, Ask, Minted, Refused, answer, form, token

if TYPE_CHECKING:
    from collections.abc import Mapping

SCOPE = "https://cognitiveservices.azure.com/.default"
AUTHORITY = "https://login.microsoftonline.com"
MACHINE = "http://169.254.169.254/metadata/identity/oauth2/token"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def mint(credential: str, scope: str, ask: Ask) -> Minted:
    """`credential` is `TENANT:CLIENT_ID:SECRET`, or `ambient`. Raises Refused or Unreachable."""
    scope = scope or SCOPE
    if credential != AMBIENT:
        tenant, _, rest = credential.partition(":")
        client, _, secret = rest.partition(":")
        if not (tenant and client and secret):
            raise Refused(
                "a credential for Entra is TENANT:CLIENT_ID:SECRET, or the word 'ambient'"
            )
        return await _of_client(tenant, client, scope, {"client_secret": secret}, ask)
    env = os.environ
    file, client = env.get("AZURE_FEDERATED_TOKEN_FILE"), env.get("AZURE_CLIENT_ID", "")
    if file:
        proof = {"client_assertion_type": _ASSERTION, "client_assertion": _read(file)}
        return await _of_client(env.get("AZURE_TENANT_ID", ""), client, scope, proof, ask)
    resource = scope.removesuffix("/.default")
    query = {"resource": resource, **({"client_id": client} if client else {})}
    place, header = env.get("IDENTITY_ENDPOINT"), env.get("IDENTITY_HEADER")
    if place and header:  # App Service, Functions, Container Apps
        url = f"{place}?{urlencode({'api-version': '2019-08-01', **query})}"
        found = answer(*await ask("GET", url, {"x-identity-header": header}, None))
    else:
        url = f"{MACHINE}?{urlencode({'api-version': '2018-02-01', **query})}"
        found = answer(*await ask("GET", url, {"metadata": "true"}, None))
    life = found.get("expires_in")
    return token(found, _left(found.get("expires_on")) if life is None else life)


async def _of_client(
    tenant: str, client: str, scope: str, proof: Mapping[str, str], ask: Ask
) -> Minted:
    authority = (os.environ.get("AZURE_AUTHORITY_HOST") or AUTHORITY).rstrip("/")
    headers, body = form(
        {"grant_type": "client_credentials", "client_id": client, "scope": scope, **proof}
    )
    url = f"{authority}/{quote(tenant, safe='')}/oauth2/v2.0/token"
    found = answer(*await ask("POST", url, headers, body))
    return token(found, found.get("expires_in"))


def _read(file: str) -> str:
    try:
        return Path(file).read_text("ascii").strip()
    except (OSError, ValueError):
        raise Refused("AZURE_FEDERATED_TOKEN_FILE cannot be read") from None


def _left(until: object) -> object:
    """Seconds to a moment, in Unix seconds."""
    try:
        return float(str(until)) - now()
    except ValueError:
        return None
