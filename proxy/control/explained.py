"""What went wrong with one request to a provider, for its operator: whose fault it is, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from proxy.core.errors import Cause
from proxy.core.redact import MASK, redact

if TYPE_CHECKING:
    from proxy.core.errors import UpstreamError
    from proxy.core.model import Credential

MOST: Final = 400
"""Characters of what a provider says."""
_DEEP: Final = 4
"""Steps into an error, at most."""

WORDS: Final[Mapping[Cause, str]] = {
    Cause.CONNECT: "There is no connection. Is the address right, can its name be resolved, and may this machine reach it? "
    "An address that is private needs allow_private.",
    Cause.TIMEOUT_CONNECT: "Nobody took the connection in time. A firewall on the way, or a wrong port, looks like this.",
    Cause.TLS: "Its certificate is not accepted, so nothing was sent.",
    Cause.STALE: "The connection was closed before the answer began. Try again.",
    Cause.POOL: "All connections to it that max_connections allows are in use.",
    Cause.TIMEOUT_TTFT: "It was asked, and no answer began in time.",
    Cause.TIMEOUT_IDLE: "The answer began and then stood still.",
    Cause.TIMEOUT_TOTAL: "There was no whole answer in 30 seconds.",
    Cause.RATE_LIMIT: "It takes no more requests from this credential for now (429).",
    Cause.AUTH: "It does not accept the credential. It is wrong or revoked, belongs to another vendor, or may not use this model.",
    Cause.QUOTA: "The account behind the credential has nothing left to spend.",
    Cause.NOT_FOUND: "It knows nothing there: no model of this name, or the address has a wrong path.",
    Cause.CONTEXT: "The prompt is too long for the model.",
    Cause.TOO_LARGE: "The request is too large for it.",
    Cause.CONTENT: "Its content filter refused the prompt.",
    Cause.CLIENT: "It does not take the request as it is. A parameter of the configuration may not suit this model.",
    Cause.REDIRECT: "It answers with another address. Redirects are not followed, as that would send the credential elsewhere: "
    "set the address it names.",
    Cause.SERVER: "It failed, and says so. That is the provider's to mend; try again later.",
    Cause.EMPTY: "The answer was empty.",
    Cause.MALFORMED: "What came back is no answer in this dialect. Is it the right address, and does the provider speak it?",
    Cause.TRUNCATED: "The answer broke off.",
    Cause.IN_BAND: "It accepted the request, and then sent an error instead of the rest of the answer.",
    Cause.UNTRANSLATABLE: "There is nothing it can be asked for a try: none of its dialects has answers in words.",
}
"""One for each cause an attempt of an operator can have."""


def explained(error: UpstreamError, credential: Credential | None) -> dict[str, Any]:
    """`cause`, `message` (what it means) and `detail` (the provider's own words, without secrets; may be empty)."""
    secret = "" if credential is None else credential.secret.reveal()
    return {
        "cause": str(error.cause),
        "message": WORDS.get(error.cause, "The request failed."),
        "detail": safe(said(error.body), secret),
    }


def said(body: bytes) -> str:
    """What a provider's error says to people, from any vendor's JSON or from plain text."""
    try:
        found: Any = orjson.loads(body)
    except ValueError:
        text = body[: 4 * MOST].decode("utf-8", "replace").strip()
        return "" if text.startswith("<") else text
    for _ in range(_DEEP):
        match found:
            case [first, *_]:
                found = first
            case {"error": inner} | {"message": inner} | {"detail": inner} | {"errors": inner}:
                found = inner
            case str():
                return found
            case _:
                return ""
    return found if isinstance(found, str) else ""


def safe(text: str, secret: str = "") -> str:
    """Of what somebody else wrote, what may be shown: short, and without secrets."""
    if len(secret) > 3:
        text = text.replace(secret, MASK)
    text = redact(text)
    return text if len(text) <= MOST else f"{text[:MOST]} …"
