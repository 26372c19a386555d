"""Clouds, where an address is made of a region and a project, and a credential of several fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from proxy.core.config.foreign.tree import Reference

if TYPE_CHECKING:
    from proxy.core.config.foreign.source import Said

_ROUTE = re.compile(r"^(?:converse|converse_like|invoke|async_invoke)/")
_REGION = re.compile(r"([a-z]{2}(?:-[a-z]+)+-\d)/")
_ARN = re.compile(r"^[^/:]+/(?=arn:)")


def bedrock_model(written: str) -> tuple[str, str | None]:
    """The id of a model and the region said with it, of `converse/ID`, `us-west-2/ID` or `nova/arn:…`."""
    rest, region = _ROUTE.sub("", written), None
    found = _REGION.match(rest)
    if found is not None:
        region, rest = found[1], rest[found.end() :]
    return _ARN.sub("", rest), region


def bedrock(at: Said, region: str, *keys: Said | None) -> dict[str, Any]:
    """Address and credential. `region` may hold references; `keys`: access key, its secret, a session token."""
    block: dict[str, Any] = {
        "base_url": _written(at, f"https://bedrock-runtime.{region}.amazonaws.com")
    }
    access, secret = keys[0], keys[1]
    if access is not None and secret is not None:
        block["auth"] = _written(at, f"sigv4:{region}")
        parts = [bare(key) for key in keys if key is not None]
        block["credentials"] = [access.as_(Reference(":".join(parts)))]
    return block


def vertex_preset(model: str) -> str | None:
    """Whose models they are, as far as they are asked for on Vertex AI here."""
    if model.startswith("claude"):
        return "vertex-anthropic"
    return "vertex" if model.startswith(("gemini", "*")) else None


def vertex(at: Said, project: str, region: str, account: Said | None) -> dict[str, Any]:
    """The same. `account`: the JSON of a service account, or the path of a file that holds it."""
    host = "aiplatform" if region == "global" else f"{region}-aiplatform"
    url = f"https://{host}.googleapis.com/v1/projects/{project}/locations/{region}"
    credential = at.as_("ambient") if account is None else account
    if account is not None and isinstance(account.value, str) and not account.value.startswith("{"):
        credential = account.as_(Reference(f"file:{account.value}"))
    return {"base_url": _written(at, url), "credentials": [credential]}


def bare(said: Said) -> str:
    """As a part of a text with references."""
    if isinstance(said.value, Reference):
        return said.value.text
    return str(said.value).replace("${", "$${")


def _written(at: Said, text: str) -> Said:
    return at.as_(Reference(text) if "${" in text else text)
