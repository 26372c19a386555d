"""Reading JSON that is odd, damaged, or only partly there. For what goes wrong, never for every event."""

from __future__ import annotations

import re

import msgspec

_decode = msgspec.json.Decoder().decode
_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
"""Of a surrogate pair, in JSON."""


def object_at(raw: bytes) -> dict[str, object] | None:
    """The object `raw` is the JSON text of; None if it is anything else."""
    try:
        found = _decode(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def probabilities(value: object) -> list[dict[str, object]]:
    """Of a list of tokens with their probabilities those that are some, each with the rivals that are."""
    found: list[dict[str, object]] = []
    for token in value if isinstance(value, list) else ():
        if _is_token(token):
            rivals = token.get("top_logprobs")
            listed = rivals if isinstance(rivals, list) else []
            good = [rival for rival in listed if _is_token(rival)]
            is_whole = rivals == good or "top_logprobs" not in token
            found.append(token if is_whole else {**token, "top_logprobs": good})
    return found


def _is_token(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("token"), str):
        return False
    probability, spelled = value.get("logprob"), value.get("bytes") or []
    is_number = isinstance(probability, int | float) and not isinstance(probability, bool)
    is_spelled = isinstance(spelled, list) and all(type(byte) is int for byte in spelled)
    return is_number and is_spelled


def count_at(raw: bytes, name: str) -> int | None:
    """The number of tokens at `name` of such an object."""
    found = (object_at(raw) or {}).get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def is_idle(data: bytes) -> bool:
    """Whether an event says nothing at all. Some send one to keep the connection alive."""
    return not data.strip()


def mended(raw: bytes) -> bytes:
    """`raw` with what is wrong inside its strings replaced: broken UTF-8, halves of surrogate pairs.

    Providers that cut text anywhere send both. Halves are replaced by escapes, so that whatever else was well-formed
    still is.
    """
    text = raw.decode("utf-8", "replace").encode()
    # Two backslashes are one in a string: behind them there is no escape.
    parts = text.split(rb"\\")
    return rb"\\".join([_HALF.sub(rb"\\u0020", part) if rb"\u" in part else part for part in parts])


def last_object(tail: bytes, key: str) -> bytes | None:
    """The last object in `tail`, the end of a longer JSON text, that stands at `key`, nested three levels at most."""
    pattern = rb'(?<!\\)"%b"\s*:\s*(\{(?:[^{}]++|\{(?:[^{}]++|\{[^{}]*+\})*+\})*+\})' % key.encode()
    found: list[bytes] = re.findall(pattern, tail)
    return found[-1] if found else None


def last_word(tail: bytes, key: str) -> str | None:
    """The last plain string in `tail` that stands at `key`."""
    found: list[bytes] = re.findall(rb'(?<!\\)"%b"\s*:\s*"(\w+)"' % key.encode(), tail)
    return found[-1].decode("ascii") if found else None
