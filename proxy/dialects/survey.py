"""What a request asks for, feature by feature, held against what a dialect has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from proxy.dialects import ir
from proxy.dialects.loss import Loss, unsupported

Found = Iterator[tuple[str, str]]
"""(feature, name of an unknown field or "")."""

_PLAIN = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "user",
    "metadata",
    "cache_key",
    "cache_retention",
    "verbosity",
)
"""Attributes of a request that are features of the same name."""


def survey(request: ir.Request, dialect: str, fields: Mapping[str, str], loss: Loss) -> None:
    """Drop every feature of `request` that `fields`, of the dialect to render, does not have.

    What a dialect can only say in part is its own to report. Raises ProxyError for what must not be left out.
    """
    same = request.origin == dialect
    if request.musts and not same:
        name, why = next(iter(request.musts.items()))
        raise unsupported(name, why)
    family = dialect.partition(".")[0]
    for feature, name in features(request, family):
        if feature == "unknown":
            if not same:
                loss.drop(feature, name)
        elif feature not in fields:
            if feature.startswith("server_tool"):
                raise unsupported(name, "It is a tool that only some providers run.")
            loss.drop(feature)


def features(request: ir.Request, family: str) -> Found:
    """Every feature `request` makes use of, seen from `family`: what belongs to another is `opaque`, or sealed away."""
    for name in _PLAIN:
        value = getattr(request, name)
        # Nothing is 0 or 0.0 here, which say something, but is equal to False.
        if value is not False and value not in (None, "", [], {}):
            yield name, ""
    if request.n is not None and request.n > 1:
        yield "n", ""
    if any(modality != "text" for modality in request.modalities):
        yield "modalities", ""
    if request.service_tier not in ("", "auto", "default"):
        yield "service_tier", ""
    if request.parallel_tool_calls is False:
        yield "parallel_tool_calls", ""
    yield from _thinking(request.thinking)
    yield from _format(request.format)
    yield from _tools(request, family)
    leading = True
    for message in request.messages:
        is_system = message.role in ("system", "developer")
        leading = leading and is_system
        yield from _message(message, family, leading=leading)
    if request.messages and request.messages[-1].role == "assistant":
        yield "prefill", ""
    for name in request.extras:
        if name not in request.musts:
            yield "unknown", name


def _thinking(thinking: ir.Thinking | None) -> Found:
    if thinking is None:
        return
    if thinking.effort == "none" or thinking.budget == 0:
        yield "thinking.off", ""
    elif thinking.effort:
        yield "thinking.effort", ""
    elif thinking.budget is not None:
        yield "thinking.budget", ""
    if thinking.visible is not None:
        yield "thinking.visible", ""
    # Whichever the provider likes is what one without a choice gives.
    if thinking.summary not in ("", "auto"):
        yield "thinking.summary", ""


def _format(wanted: ir.Format | None) -> Found:
    if wanted is None or wanted.kind == "text":
        return
    yield f"format.{wanted.kind}", ""
    # Not to the letter is how everybody does it who has no choice.
    if wanted.strict:
        yield "format.strict", ""


def _tools(request: ir.Request, family: str) -> Found:
    for tool in request.tools:
        if isinstance(tool, ir.ServerTool):
            known = tool.kind in ("web_search", "web_fetch", "code_execution")
            if tool.origin != family:
                yield f"server_tool.{tool.kind}" if known else "server_tool", tool.kind
            continue
        yield "tool.custom" if tool.custom else "tool", ""
        if tool.strict:
            yield "tool.strict", ""
        if tool.cache is not None:
            yield "cache", ""
        for name in tool.extras:
            yield "unknown", f"tools.{name}"
    choice = request.tool_choice
    if choice is not None and choice.mode != "auto":
        yield f"tool_choice.{choice.mode}", ""


def _message(message: ir.Message, family: str, *, leading: bool) -> Found:
    if message.role in ("system", "developer"):
        yield "system" if leading else "system.later", ""
    if message.name:
        yield "message.name", ""
    for name in message.extras:
        yield "unknown", f"messages.{name}"
    for block in message.content:
        yield from _block(block, family)


def _block(block: ir.Block, family: str) -> Found:
    cache = getattr(block, "cache", None)
    if cache is not None:
        yield "cache", ""
        if cache.ttl:
            yield "cache.ttl", ""
    match block:
        case ir.Text():
            yield "text", ""
            if block.citations:
                yield "citations", ""
            if block.signature:
                yield "text.signature", ""
        case ir.Refusal():
            yield "refusal", ""
        case ir.Media():
            yield from _media(block)
        case ir.ToolResult():
            yield from _result(block)
        case ir.Opaque():
            yield from [("opaque", "")] if block.origin != family else []
        case ir.Reasoning() | ir.ToolCall():
            yield from _sealable(block)


def _sealable(block: ir.Reasoning | ir.ToolCall) -> Found:
    if isinstance(block, ir.ToolCall):
        kind = "tool_call"
        yield "tool.custom" if block.custom else "tool_call", ""
    else:
        kind = "thinking"
        if block.text:
            yield "thinking.text", ""
    if block.signature:
        yield f"{kind}.signature", ""


def _media(block: ir.Media) -> Found:
    source = "text" if block.text else "file" if block.file_id else "url" if block.url else "data"
    yield f"{block.kind}.{source}", ""
    if block.detail:
        yield "image.detail", ""
    if block.kind == "document":
        if block.name:
            yield "document.name", ""
        if block.context:
            yield "document.context", ""
        if block.citations:
            yield "document.citations", ""


def _result(block: ir.ToolResult) -> Found:
    yield "tool_result", ""
    if block.is_error:
        yield "tool_result.error", ""
    for part in block.content:
        if isinstance(part, ir.Media):
            yield "tool_result.image" if part.kind == "image" else "tool_result.document", ""
