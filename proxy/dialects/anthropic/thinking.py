"""How much a model is to think: what a client asks for, and what is asked of a provider.

Two generations meet here. Older models are told to think with a budget of tokens that counts towards `max_tokens`;
newer ones think as they see fit and are told an effort. What is on when nothing is said differs too, so `thinking` is
sent whenever the client said something.

Who thinks may not be made to call a tool or to sample otherwise, and who thinks on a budget must be shown the thoughts
that began a turn still open, which a client of another dialect may not have kept. Then it is thinking that is left
out; effort can be said beside all of these, and is.
"""

from __future__ import annotations

from msgspec import Struct

from proxy.dialects import effort, ir
from proxy.dialects.anthropic.read import NAME, Fields
from proxy.dialects.claude import Model
from proxy.dialects.claude_thinking import budget, is_unsigned
from proxy.dialects.ir import Json
from proxy.dialects.loss import Loss


class Plan(Struct):
    """What goes into a body."""

    thinking: Json | None = None
    effort: str = ""
    max_tokens: int = 0

    @property
    def thinks(self) -> bool:
        """Whether thinking was asked for, and the rules of thinking hold."""
        return self.thinking is not None and self.thinking["type"] in ("enabled", "adaptive")


def parse_thinking(fields: Fields) -> ir.Thinking | None:
    """`thinking` and `output_config.effort`; both as they came are kept for whoever renders this dialect."""
    config = fields.inner("output_config")
    word = config.text("effort") if config is not None else ""
    if config is not None and config.rest():
        fields.values["output_config"] = config.rest()
    asked = fields.inner("thinking")
    if asked is None:
        return ir.Thinking(effort=word, extras={"effort": word}) if word else None
    own = dict(asked.values)
    kind = asked.need("type", str)
    budget = asked.take("budget_tokens", int)
    made = ir.Thinking(effort=word, extras={"thinking": own, "effort": word})
    display = asked.text("display")
    if display in ("summarized", "omitted"):
        made.visible = display == "summarized"
    made.usual = kind == "enabled"
    if kind in ("disabled", "between_tools"):
        made.effort, made.budget = "none", None
    elif kind == "enabled":
        made.budget = budget if budget is not None else -1
    elif not word:
        made.budget = -1
    return made


def plan(request: ir.Request, model: Model, limit: int, loss: Loss, *, forced: bool) -> Plan:
    """What to ask of `model` for this request.

    `limit` is the most tokens the answer may have; `forced`: a call is demanded.
    """
    asked = request.thinking
    made = Plan(max_tokens=limit)
    if asked is None:
        return made
    if request.origin == NAME and asked.extras:
        made.thinking, made.effort = asked.extras.get("thinking"), asked.extras.get("effort", "")
        return made
    if asked.effort == "none" or asked.budget == 0:
        _turn_off(made, model, loss)
    else:
        _turn_on(made, request, model, loss, forced=forced)
    return made


def _turn_off(made: Plan, model: Model, loss: Loss) -> None:
    if not model.thinks:
        return
    if model.off:
        made.thinking = {"type": model.off}
    else:
        loss.drop("thinking.off")
        made.effort = "low"


def _turn_on(made: Plan, request: ir.Request, model: Model, loss: Loss, *, forced: bool) -> None:
    asked = request.thinking
    assert asked is not None
    word = effort.effort(asked)
    if word and model.efforts:
        made.effort = effort.nearest(word, model.efforts)
    visible = asked.visible if asked.visible is not None else (bool(asked.summary) or None)
    if not word and asked.budget is None and not (visible and model.adaptive):
        # Nothing but whether thoughts are shown: that alone turns nothing on.
        if visible is not None:
            loss.drop("thinking.visible")
        return
    made.thinking = None if forced else _way(made, request, asked, model, loss)
    if made.thinking is None:
        loss.drop(_feature(asked))
    elif visible is not None:
        made.thinking["display"] = "summarized" if visible else "omitted"


def _feature(asked: ir.Thinking) -> str:
    if asked.effort:
        return "thinking.effort"
    return "thinking.visible" if asked.budget is None else "thinking.budget"


def _way(
    made: Plan, request: ir.Request, asked: ir.Thinking, model: Model, loss: Loss
) -> Json | None:
    """The kind of thinking that the model has and the conversation allows."""
    unsigned = is_unsigned(request)
    if model.adaptive:
        counted = asked.budget is not None and asked.budget > 0 and not asked.effort
        if counted and model.budgets and not unsigned:
            made.effort = ""
            return _budget(made, asked, model, loss)
        if counted:
            loss.drop("thinking.budget")
        return {"type": "adaptive"}
    if unsigned or not model.thinks:
        return None
    made.effort = ""
    return _budget(made, asked, model, loss)


def _budget(made: Plan, asked: ir.Thinking, model: Model, loss: Loss) -> Json:
    """A budget, and room for the answer beside it."""
    thoughts, made.max_tokens = budget(asked, made.max_tokens, model.most, loss)
    return {"type": "enabled", "budget_tokens": thoughts}
