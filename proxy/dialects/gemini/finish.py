"""Why an answer ended, and what it cost, in this dialect's words and the hub's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from proxy.dialects.base import Usage
from proxy.dialects.ir import Finish, Json

FINISH: Mapping[str, Finish] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "JAILBREAK": "content_filter",
    "MALFORMED_FUNCTION_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "NO_IMAGE": "error",
    "IMAGE_OTHER": "error",
    "OTHER": "error",
}
_WORDS: Mapping[Finish, str] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "pause": "OTHER",
    "error": "OTHER",
}
_NONE = ("", "FINISH_REASON_UNSPECIFIED")
_TIERS: Mapping[str, str] = {"standard": "default"}
_TIER_WORDS: Mapping[str, str] = {"default": "standard"}


def read_finish(reason: object) -> str:
    """The word of `finishReason`; "" when there is none."""
    return reason.upper() if isinstance(reason, str) and reason.upper() not in _NONE else ""


def finish_of(reason: str, *, calls: bool) -> Finish:
    """What the word means; `calls`: the answer holds calls."""
    finish = FINISH.get(reason, "stop")
    return "tool_calls" if calls and finish == "stop" else finish


def word_of(finish: Finish, reason: str) -> str:
    """`finishReason` for a client: the provider's own word if it is one here."""
    if FINISH.get(reason) == finish:
        return reason
    return _WORDS[finish]


def write_usage(usage: Usage, tier: str = "") -> Json:
    """`usageMetadata`: thoughts are beside the answer, the cached tokens in the prompt."""
    prompt = usage.input + usage.cache_read + usage.cache_write
    made: Json = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "totalTokenCount": prompt + usage.output,
    }
    if usage.cache_read:
        made["cachedContentTokenCount"] = usage.cache_read
    if usage.reasoning:
        made["thoughtsTokenCount"] = usage.reasoning
    if tier:
        made["serviceTier"] = _TIER_WORDS.get(tier, tier)
    return made


def read_time(text: object) -> int:
    """Unix seconds of a `createTime`; 0 when it is none."""
    if not isinstance(text, str):
        return 0
    try:
        # Nine digits of a second are more than Python reads.
        return int(datetime.fromisoformat(text[:19] + "+00:00").timestamp())
    except (ValueError, OverflowError):
        return 0


def write_time(created: int) -> str:
    """`createTime`."""
    try:
        moment = datetime.fromtimestamp(created, UTC)
    except (ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def read_tier(tier: object) -> str:
    """The class of service an answer was given in, in the words of the hub."""
    word = tier.lower() if isinstance(tier, str) else ""
    return _TIERS.get(word, word)
