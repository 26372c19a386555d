"""Access tokens of Google Cloud, for Vertex AI and whatever else takes them.

A service account proves itself with a signed assertion (RFC 7523), as in
https://developers.google.com/identity/protocols/oauth2/service-account ; a user with a refresh token (what
`gcloud auth application-default login` writes); a machine of theirs by asking its metadata server,
https://cloud.google.com/compute/docs/access/authenticate-workloads
"""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import orjson

from proxy.core.clock import now
from proxy.upstream.minting.grant import AMBIENT, Ask, Minted, Refused, answer, form, token

if TYPE_CHECKING:
    from collections.abc import Mapping

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKENS = "https://oauth2.googleapis.com/token"
METADATA = "metadata.google.internal"
LIFE = 3600


async def mint(credential: str, scope: str, ask: Ask) -> Minted:
    """`credential` is the JSON of a service account or of a user, or `ambient`. Raises Refused or Unreachable."""
    scope = scope or SCOPE
    if credential == AMBIENT:
        return await _of_machine(scope, ask)
    try:
        account = orjson.loads(credential)
    except orjson.JSONDecodeError:
        account = None
    kind = account.get("type") if isinstance(account, dict) else None
    if kind == "service_account":
        fields = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            # Reading the key takes 50 ms, in which nobody else may stand still.
            "assertion": await asyncio.to_thread(assertion, account, scope, now()),
        }
    elif kind == "authorized_user":
        names = ("client_id", "client_secret", "refresh_token")
        fields = {name: str(account.get(name, "")) for name in names}
        fields["grant_type"] = "refresh_token"
    else:
        raise Refused(
            "a credential for Google is the JSON of a service account, that of a user, or the word 'ambient'"
        )
    headers, body = form(fields)
    found = answer(*await ask("POST", str(account.get("token_uri") or TOKENS), headers, body))
    return token(found, found.get("expires_in"))


async def _of_machine(scope: str, ask: Ask) -> Minted:
    host = os.environ.get("GCE_METADATA_HOST") or METADATA
    query = urlencode({"scopes": scope})
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token?{query}"
    found = answer(*await ask("GET", url, {"metadata-flavor": "Google"}, None))
    return token(found, found.get("expires_in"))


def assertion(account: Mapping[str, object], scope: str, at: float) -> str:
    """A JWT by which a service account asks for a token; `at` in Unix seconds. Raises Refused for a key that is none."""
    # Takes 10 ms to import, and hardly anybody needs it.
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        pem = str(account["private_key"]).encode()
        email = str(account["client_email"])
        key = serialization.load_pem_private_key(pem, None)
    except (KeyError, ValueError, TypeError):
        raise Refused("the service account has no client_email, or no usable private_key") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Refused("the private_key of a service account is an RSA key")
    head = {"alg": "RS256", "typ": "JWT", "kid": str(account.get("private_key_id", ""))}
    claims = {
        "iss": email,
        "scope": scope,
        "aud": str(account.get("token_uri") or TOKENS),
        "iat": int(at),
        "exp": int(at) + LIFE,
    }
    signed = b".".join(_base64(orjson.dumps(part)) for part in (head, claims))
    proof = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return b".".join((signed, _base64(proof))).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
