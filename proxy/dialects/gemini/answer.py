"""The parts of an answer for a client, and the end of a candidate: the same in a whole answer and in a stream."""

from __future__ import annotations

from proxy.dialects import ir
from proxy.dialects.arguments import as_object
from proxy.dialects.gemini.finish import word_of, write_time
from proxy.dialects.gemini.grounding import Written, write_grounding
from proxy.dialects.gemini.media import write_media
from proxy.dialects.gemini.names import FAMILY
from proxy.dialects.gemini.parts import with_extras
from proxy.dialects.gemini.probabilities import write_probabilities
from proxy.dialects.identity import sealed, tool_id
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss


def part_of(block: ir.Block, loss: Loss, *, same: bool) -> Json | None:
    """The part a whole block is; None when there is nothing to say, or no way."""
    match block:
        case ir.Text():
            made = _sealed({"text": block.text, **(block.extras if same else {})}, block)
            return made if block.text or len(made) > 1 else None
        case ir.Refusal(text=text):
            loss.drop("refusal")
            return {"text": text} if text else None
        case ir.Reasoning():
            made = _sealed({"text": block.text, **(block.extras if same else {})}, block)
            return {**made, "thought": True} if block.text or len(made) > 1 else None
        case ir.ToolCall():
            arguments = as_object(block.arguments, custom=block.custom)
            call: Json = {"id": tool_id(block.id), "name": block.name, "args": arguments}
            part = _sealed({"functionCall": call}, block)
            return with_extras(part, block.extras, "functionCall") if same else part
        case ir.Media():
            return write_media(block, loss, same=same, looks=False)
        case ir.Opaque(origin=origin, value=value):
            if origin == FAMILY:
                return value
        case ir.ToolResult():
            pass
    loss.drop("opaque")
    return None


def _sealed(part: Json, block: ir.Text | ir.Reasoning | ir.ToolCall) -> Json:
    signature = sealed(block.signature, block.origin, FAMILY)
    if signature:
        part["thoughtSignature"] = signature
    return part


def candidate_end(
    end: ir.ChoiceEnd, cited: list[Written], tokens: list[Json], *, same: bool
) -> Json:
    """A candidate's fields beside its content."""
    made: Json = {"finishReason": word_of(end.finish, end.reason), "index": end.choice}
    if same:
        made.update(end.extras)
    if cited and "groundingMetadata" not in made and "citationMetadata" not in made:
        made["groundingMetadata"] = write_grounding(cited)
    if tokens and "logprobsResult" not in made:
        made["logprobsResult"] = write_probabilities(tokens)
    return made


def write_top(created: int, extras: Json) -> Json:
    """Fields of a whole response that are in no chunk but the last."""
    return {"createTime": write_time(created), **extras} if created else dict(extras)
