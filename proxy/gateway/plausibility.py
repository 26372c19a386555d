"""Whether what a provider reports can be true.

A report is what is charged, so one figure of a broken or hostile provider could spend a budget in one answer. What is
impossible is therefore not believed. The bounds are far beyond what anybody has been seen to report, for much of what
is counted cannot be seen from here: thoughts, pictures and files that the provider fetches, what a conversation it
keeps has in it, and every turn of a model that uses the provider's own tools.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, cast

from proxy.gateway import sizing

if TYPE_CHECKING:
    from proxy.dialects.base import Usage
    from proxy.dialects.realtime import RealtimeTap
    from proxy.gateway.attempt import Attempt
    from proxy.gateway.exchange import Exchange


class Doubt(StrEnum):
    """What is odd about a report; the closed label set of `headrace_odd_usage_total`."""

    NO_NUMBER = "no_number"
    """Negative, a fraction, a word, or more than 10^9."""
    INPUT = "input"
    OUTPUT = "output"
    IMAGES = "images"
    SECONDS = "seconds"
    PARTS = "parts"
    """Parts larger than the whole: believed, cut to it."""
    MISSING = "missing"
    """A half that cannot be 0 is: it is estimated, the other believed."""


BELIEVED = frozenset({None, Doubt.PARTS, Doubt.MISSING})
"""With these, what is reported is charged as far as it goes."""

CHARGED: dict[Doubt, str] = {
    **dict.fromkeys(Doubt, "it cannot be true, and an estimate is charged"),
    Doubt.PARTS: "parts are larger than the whole; the whole is charged",
    Doubt.MISSING: "a half is missing, and is estimated",
}
"""What becomes of it, for the log."""

_WINDOW = 2_000_000
"""Tokens of the largest context that holds more than text, unless the configuration says that a model has a larger one. Of
text, there are not more tokens than bytes."""
_THOUGHTS = 512_000
"""Tokens of an answer that nobody sees, at most."""
_TURNS = 16
"""Times a model reads all of it again, at most, where it may use tools before it answers."""
_ANSWERS = 128
"""Answers to one request, at most."""
_INPUT_PER_BYTE, _OUTPUT_PER_BYTE = 2, 16
"""Tokens a byte: of text there is less than one."""
_SECONDS, _SECONDS_PER_BYTE = 86_400.0, 0.02
"""Of audio: a day, and what 400 bits a second give."""
_IMAGES = 64
_MUCH = 4096
"""Bytes of an answer that is not without a token."""
_TOOLS = (
    "tools",
    "web_search_options",
    "search_parameters",
    "plugins",
    "mcp_servers",
    "previous_response_id",
    "conversation",
    "prompt",
)
"""Fields by which a request may make a provider go round, or brings along what is not in its bytes."""


def doubt(
    usage: Usage, exchange: Exchange, attempt: Attempt, *, whole: bool = False
) -> Doubt | None:
    """What is wrong with a report, the worst first; None: nothing that can be seen. `whole`: it is the last one."""
    if usage.suspect:
        if usage.suspect == "absurd":
            return Doubt.NO_NUMBER
        most_input, most_output, most_images, most_seconds = bounds(exchange, attempt)
        if usage.input + usage.cache_read + usage.cache_write > most_input:
            return Doubt.INPUT
        if usage.output > most_output:
            return Doubt.OUTPUT
        if usage.images > most_images:
            return Doubt.IMAGES
        if usage.seconds > most_seconds:
            return Doubt.SECONDS
        if usage.suspect == "torn":
            return Doubt.PARTS
    return Doubt.MISSING if whole and _is_torn_off(usage, exchange, attempt) else None


def bounds(exchange: Exchange, attempt: Attempt) -> tuple[int, int, int, float]:
    """(tokens of the prompt, tokens of the answer, images, seconds): no more than these can be true."""
    size = len(exchange.body)
    wanted = answers(exchange)
    turns = _turns(exchange, attempt)
    window = max(_WINDOW, attempt.candidate.deployment.max_context)
    return (
        window * turns + _INPUT_PER_BYTE * size,
        _THOUGHTS * turns * wanted + _OUTPUT_PER_BYTE * received(exchange, attempt),
        _IMAGES + wanted,
        _SECONDS + _SECONDS_PER_BYTE * size,
    )


def _turns(exchange: Exchange, attempt: Attempt) -> int:
    """Times all of it may be read. A session is read again for each of its responses."""
    if exchange.endpoint.upgrades:
        return max(cast("RealtimeTap", attempt.gate.tap).responses, 1)
    return _TURNS if _has_tools(exchange, attempt) else 1


def answers(exchange: Exchange) -> int:
    """How many were asked for."""
    return max(1, min(sizing.size(exchange).answers, _ANSWERS))


def received(exchange: Exchange, attempt: Attempt) -> int:
    """Bytes of an answer, about, as far as they came."""
    return attempt.gate.received + exchange.bytes_out + attempt.late_bytes


def _is_torn_off(usage: Usage, exchange: Exchange, attempt: Attempt) -> bool:
    """Whether an answer that was written has a prompt of no token, or is long and has none itself."""
    if exchange.endpoint.operation not in sizing.WRITES:
        return False
    if not (usage.input or usage.cache_read or usage.cache_write):
        return True
    return not usage.output and received(exchange, attempt) > _MUCH


def _has_tools(exchange: Exchange, attempt: Attempt) -> bool:
    envelope, deployment = exchange.envelope, attempt.candidate.deployment
    return envelope is not None and any(
        name in envelope or name in deployment.param_defaults or name in deployment.param_overrides
        for name in _TOOLS
    )
