"""What every request to a provider carries: who we are, the credential in its place, configured headers and query."""

from __future__ import annotations

from proxy import __version__
from proxy.core.model import Auth, Credential, Provider
from proxy.core.surfaces import AUTH

USER_AGENT = f"headrace/{__version__}"
_BEARERS = frozenset({"google", "entra"})
"""Schemes whose credential buys a token."""


def place(provider: Provider, family: str) -> Auth:
    """Where the provider expects its credential."""
    return provider.auth.get(family) or AUTH[family]


def headers(
    provider: Provider, family: str, credential: Credential | None, minted: str = ""
) -> dict[str, str]:
    """The header fields, their names in small letters. What is configured goes over the credential.

    `minted`: the token that was had for the credential, where that is not presented itself (`Upstream.minted`).
    """
    found = {"user-agent": USER_AGENT, "accept-encoding": "identity"}
    auth = place(provider, family)
    if credential is not None and auth.scheme == "bearer":
        found["authorization"] = f"Bearer {credential.secret.reveal()}"
    elif minted and auth.scheme in _BEARERS:
        found["authorization"] = f"Bearer {minted}"
    elif credential is not None and auth.scheme == "header":
        found[auth.name] = credential.secret.reveal()
    found.update({name.lower(): value for name, value in provider.headers.items()})
    return found


def query(provider: Provider, family: str, credential: Credential | None) -> list[tuple[str, str]]:
    """The pairs of the query."""
    pairs = list(provider.query.items())
    auth = place(provider, family)
    if auth.scheme == "query" and credential is not None:
        pairs.append((auth.name, credential.secret.reveal()))
    return pairs
