"""Token reports of every convention, made disjoint.

OpenAI's and Google's prompt counts include the cached tokens, Anthropic's does not; Google counts thoughts beside the
answer, OpenAI inside it, and some who speak OpenAI's dialect do as Google does. Where a total is given it settles
which. A negative or absurd figure is 0 here, and the report is marked; so is one that has to be compared with the
request and the answer before it is believed (`gateway.plausibility`).
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from proxy.dialects.base import Usage

ABSURD = 10**9
USUAL = 500_000
"""Tokens of a prompt, or of an answer, up to which nobody has to look."""
USUAL_SECONDS = 86_400.0
USUAL_IMAGES = 64

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

Count = Annotated[int, Meta(ge=0, le=USUAL)]


class _PromptDetails(Struct, gc=False):
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_creation_tokens: Count = 0
    audio_tokens: Count = 0


class _OutputDetails(Struct, gc=False):
    reasoning_tokens: Count = 0
    audio_tokens: Count = 0


class _Common(Struct, forbid_unknown_fields=True, gc=False):
    """What nearly every chat completion reports, and nothing else: read in one step."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: int
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


_decode_common = msgspec.json.Decoder(_Common).decode
_NO_PROMPT_DETAILS = _PromptDetails()
_NO_OUTPUT_DETAILS = _OutputDetails()


class Report:
    """One usage object, read with suspicion."""

    __slots__ = ("absurd", "fields")

    def __init__(self, fields: dict[str, object]) -> None:
        self.fields = fields
        self.absurd = False

    @classmethod
    def read(cls, raw: Raw | bytes) -> Report | None:
        """The report in a JSON text; None when that is no object with anything in it."""
        try:
            fields = _decode(raw)
        except (ValueError, RecursionError):
            return None
        return cls(fields) if isinstance(fields, dict) and fields else None

    def has(self, *names: str) -> bool:
        """Whether any of these is given."""
        return any(self.fields.get(name) is not None for name in names)

    def count(self, *names: str) -> int:
        """The first of these that is given; 0 if none is."""
        for name in names:
            value = self.fields.get(name)
            if value is not None:
                return self._sane(value)
        return 0

    def detail(self, group: str, *names: str) -> int:
        """The same, inside an object of details."""
        fields = self.fields.get(group)
        if not isinstance(fields, dict):
            return 0
        inner = Report(fields)
        found = inner.count(*names)
        self.absurd |= inner.absurd
        return found

    def details(self, groups: tuple[str, ...], *names: str) -> int:
        """The same in the first of these objects that counts any."""
        for group in groups:
            if found := self.detail(group, *names):
                return found
        return 0

    def listed(self, group: str, kind: str, of: str, count: str) -> int:
        """The sum of `count` in those members of a list whose `kind` is `of`."""
        members = self.fields.get(group)
        if not isinstance(members, list):
            return 0
        chosen = [Report(m) for m in members if isinstance(m, dict) and m.get(kind) == of]
        found = sum(member.count(count) for member in chosen)
        self.absurd |= any(member.absurd for member in chosen)
        return found

    def seconds(self) -> float:
        """Of audio that was heard or said; 0 where nothing says so."""
        value = self.fields.get("seconds")
        if value is None:
            return 0.0
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and 0 <= value <= ABSURD:  # type: ignore[operator]
            return float(value)  # type: ignore[arg-type]
        self.absurd = True
        return 0.0

    def _sane(self, value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= ABSURD:
            return value
        self.absurd = True
        return 0


_NO_REPORT = Report({})


def openai(raw: Raw | bytes, images: int = 0) -> Usage | None:
    """`usage` of any OpenAI endpoint, and of the many that imitate one."""
    if not images:
        common = _common(raw)
        if common is not None:
            return common
    report = Report.read(raw)
    if report is None:
        return _disjoint(_NO_REPORT, 0, 0, 0, 0, 0, images=images) if images else None
    prompt = report.count("prompt_tokens", "input_tokens")
    output = report.count("completion_tokens", "output_tokens")
    total = report.count("total_tokens")
    cached = report.details(_ASKED, "cached_tokens") or report.count(
        "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens"
    )
    written = report.details(_ASKED, "cache_write_tokens", "cache_creation_tokens") or report.count(
        "cache_creation_input_tokens"
    )
    reasoning = report.details(_SAID, "reasoning_tokens")
    if total and not prompt and not output:
        prompt = total  # rerankers report nothing else
    beside = total - prompt - output
    if beside > 0 and beside in (reasoning, cached + written):
        # A total larger than its parts: what fills the gap was not counted in them.
        if beside == reasoning:
            output += beside
        else:
            prompt += beside
    elif beside > 0 and not reasoning:
        output += beside  # Google's own imitation: thoughts are in the total and nowhere else
        reasoning = beside
    return _disjoint(
        report,
        prompt,
        cached,
        written,
        output,
        reasoning,
        images=images,
        # Where nobody says which of the cached ones are audio they are taken for text while there is enough of it.
        audio_input=max(report.details(_ASKED, "audio_tokens") - _cached_audio(report), 0),
        audio_output=report.details(_SAID, "audio_tokens"),
    )


def _cached_audio(report: Report) -> int:
    """As sessions of the Realtime API say it."""
    asked = report.fields.get(_ASKED[-1])
    if not isinstance(asked, dict):
        return 0
    inner = Report(asked)
    found = inner.detail("cached_tokens_details", "audio_tokens")
    report.absurd |= inner.absurd
    return found


_ASKED = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_SAID = ("completion_tokens_details", "output_tokens_details", "output_token_details")
"""Details of chats, of responses, and of transcriptions."""


def added(one: Raw | bytes, more: Raw | bytes) -> bytes:
    """The reports of two parts of an answer, as one."""
    total: dict[str, Any] = {}
    for report in (Report.read(one), Report.read(more)):
        if report is not None:
            add(total, report.fields)
    return _encode(total)


def add(total: dict[str, Any], more: dict[str, Any], depth: int = 8) -> None:
    """Numbers are added up, those in objects too, down to this depth; anything else is nothing."""
    for name, value in more.items():
        if isinstance(value, dict):
            under = total.setdefault(name, {})
            if isinstance(under, dict) and depth:
                add(under, value, depth - 1)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            before = total.get(name, 0)
            if isinstance(before, int | float):
                total[name] = before + value


def completion(usage: Usage) -> dict[str, object]:
    """A report as `/v1/chat/completions` and `/v1/completions` give it."""
    prompt = usage.input + usage.cache_read + usage.cache_write
    details = {"cached_tokens": usage.cache_read, "audio_tokens": usage.audio_input}
    if usage.cache_write:
        details["cache_write_tokens"] = usage.cache_write
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.output,
        "total_tokens": prompt + usage.output,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_output,
        },
    }


def _common(raw: Raw | bytes) -> Usage | None:
    """The usual report when all of it adds up; None: look closer."""
    try:
        found = _decode_common(raw)
    except ValueError:
        return None
    prompt, output = found.prompt_tokens, found.completion_tokens
    details = found.prompt_tokens_details or _NO_PROMPT_DETAILS
    cached = details.cached_tokens
    answer = found.completion_tokens_details or _NO_OUTPUT_DETAILS
    reasoning = answer.reasoning_tokens
    if found.total_tokens != prompt + output or not output or cached > prompt or reasoning > output:
        return None
    if details.cache_write_tokens or details.cache_creation_tokens:
        return None
    if details.audio_tokens or answer.audio_tokens:
        return None
    return Usage(prompt - cached, cached, 0, output, reasoning)


def anthropic(start: Raw | bytes, delta: Raw | bytes) -> Usage | None:
    """`usage` of a message: the report at its start, overridden by whatever the last later one states."""
    first, last = Report.read(start), Report.read(delta)
    if first is None or last is None:
        report = first or last
        if report is None:
            return None
    else:
        if not any(last.count(name) for name in _PROMPT):
            # A later report without a prompt says nothing about it, even where it says 0.
            silent = (*_PROMPT, _WRITTEN)
            last = Report({k: v for k, v in last.fields.items() if k not in silent})
        given = {name: value for name, value in last.fields.items() if value is not None}
        report = Report({**first.fields, **given})
    uncached, cached, written = (report.count(name) for name in _PROMPT)
    output = report.count("output_tokens")
    reasoning = report.detail("output_tokens_details", "thinking_tokens")
    return _disjoint(
        report,
        uncached + cached + written,
        cached,
        written,
        output,
        reasoning,
        written_1h=report.detail(_WRITTEN, "ephemeral_1h_input_tokens"),
    )


_WRITTEN = "cache_creation"
_PROMPT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def gemini(raw: Raw | bytes) -> Usage | None:
    """`usageMetadata`: thoughts come beside the answer, results of the provider's own tools beside the prompt."""
    report = Report.read(raw)
    if report is None or not report.has(
        "promptTokenCount", "candidatesTokenCount", "totalTokenCount"
    ):
        return None
    prompt = report.count("promptTokenCount") + report.count("toolUsePromptTokenCount")
    cached = report.count("cachedContentTokenCount")
    reasoning = report.count("thoughtsTokenCount")
    output = report.count("candidatesTokenCount", "responseTokenCount") + reasoning
    heard = report.listed("promptTokensDetails", *_AUDIO)
    return _disjoint(
        report,
        prompt,
        cached,
        0,
        output,
        reasoning,
        audio_input=max(0, heard - report.listed("cacheTokensDetails", *_AUDIO)),
        audio_output=report.listed("candidatesTokensDetails", *_AUDIO),
    )


_AUDIO = ("modality", "AUDIO", "tokenCount")


def bedrock(raw: Raw | bytes) -> Usage | None:
    """`usage` of Converse: cached tokens are no part of `inputTokens`, as with Anthropic."""
    report = Report.read(raw)
    if report is None or not report.has("inputTokens", "outputTokens"):
        return None
    cached = report.count("cacheReadInputTokens", "cacheReadInputTokenCount")
    written = report.count("cacheWriteInputTokens", "cacheWriteInputTokenCount")
    prompt = report.count("inputTokens") + cached + written
    return _disjoint(
        report,
        prompt,
        cached,
        written,
        report.count("outputTokens"),
        0,
        written_1h=report.listed("cacheDetails", "ttl", "1h", "inputTokens"),
    )


def _disjoint(
    report: Report,
    prompt: int,
    cached: int,
    written: int,
    output: int,
    reasoning: int,
    *,
    images: int = 0,
    audio_input: int = 0,
    audio_output: int = 0,
    written_1h: int = 0,
) -> Usage:
    seconds = report.seconds()
    torn = (
        cached + written > prompt
        or written_1h > written
        or audio_input > prompt
        or max(reasoning, audio_output) > output
    )
    large = max(prompt, output) > USUAL or images > USUAL_IMAGES or seconds > USUAL_SECONDS
    cached = min(cached, prompt)
    written = min(written, prompt - cached)
    uncached = prompt - cached - written
    return Usage(
        input=uncached,
        cache_read=cached,
        cache_write=written,
        output=output,
        reasoning=min(reasoning, output),
        suspect="absurd" if report.absurd else "torn" if torn else "large" if large else "",
        images=images,
        seconds=seconds,
        audio_input=min(audio_input, uncached),
        audio_output=min(audio_output, output),
        cache_write_1h=min(written_1h, written),
    )


def heard(duration: float) -> Usage | None:
    """What a recording took, by its length alone; None where that is 0."""
    return _disjoint(Report({"seconds": duration}), 0, 0, 0, 0, 0) if duration else None
