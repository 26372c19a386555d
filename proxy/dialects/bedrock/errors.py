"""Refusals of Bedrock: the status is there, but which exception it was is in a header."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from proxy.core.errors import Cause, UpstreamError
from proxy.dialects import errors
from proxy.dialects.lenient import object_at

_CAUSES: Mapping[str, Cause] = {
    "expiredtokenexception": Cause.AUTH,
    "incompletesignature": Cause.AUTH,
    "incompletesignatureexception": Cause.AUTH,
    "invalidsignatureexception": Cause.AUTH,
    "missingauthenticationtokenexception": Cause.AUTH,
    "unrecognizedclientexception": Cause.AUTH,
    "modelerrorexception": Cause.SERVER,
    "modelnotreadyexception": Cause.SERVER,
    "modelstreamerrorexception": Cause.SERVER,
    "modeltimeoutexception": Cause.SERVER,
    "servicequotaexceededexception": Cause.QUOTA,
}
"""Exceptions whose status says too little: 424 is a fault of the model, 429 may be one that is being loaded."""


def parse_error(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> UpstreamError:
    """An attempt's failure from a refusal. Takes any bytes, never raises."""
    kept = tuple(headers)
    failed = errors.parse_error(status, kept, body)
    word = exception_name(kept, body)
    if word == "accessdeniedexception" and b"access to the model" in body:
        # The credential is good, for other models.
        failed.cause = Cause.NOT_FOUND
    else:
        failed.cause = _CAUSES.get(word, failed.cause)
    return failed


def exception_name(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> str:
    """Lower case: `throttlingexception`. "" when nothing names it."""
    for name, value in headers:
        if name == b"x-amzn-errortype":
            return value.decode("latin-1").partition(":")[0].strip().lower()
    kind = (object_at(body) or {}).get("__type")
    return kind.rpartition("#")[2].lower() if isinstance(kind, str) else ""
