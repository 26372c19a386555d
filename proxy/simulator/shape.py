"""What one answer consists of: thoughts, then words or tool calls; the same decision in every dialect."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import Struct

from proxy.simulator import resuming, talk, words
from proxy.simulator.answers import ABSENT, Call, decoded, member

SENTENCE = "I will not help with that."
"""What a refusal says."""


class Shape(Struct, frozen=True):
    """How many tokens of what."""

    tools: tuple[str, ...]
    """The functions to call; none means text."""
    thought: int
    said: int
    arguments: tuple[words.Text, ...] = ()
    """Of each call."""
    text: words.Text | None = None
    """What to say instead of plain words."""

    @property
    def output(self) -> int:
        """All tokens of an answer, thought ones included, as every vendor bills them."""
        return self.thought + self.said


class Offer(NamedTuple):
    """A tool the request offers."""

    name: str
    schema: Any
    """Of its arguments; None: it takes none."""


def shape(call: Call, *, think: bool = False, wanted: Any = None) -> Shape:
    """What to answer; `think`: the request asks for thoughts (the word `think` does too); `wanted`: a JSON Schema."""
    ask, steer = call.ask, call.steer
    thought = max(1, steer.tokens // 2) if think or steer.think else 0
    # What follows reads the whole request: nothing of it is done for plain words.
    if steer.noprefill:
        resuming.refuse_prefill(call)
    if steer.resume and (rest := resuming.resumed(call)) is not None:
        return Shape((), thought, rest.count, text=rest)
    if steer.tools or ask.tool_choice is not ABSENT or ask.tool_config is not ABSENT:
        told = talk.read(call.content())
        if called := _called(call, told):
            arguments = tuple([words.fitting(steer, offer.schema) for offer in called])
            names = tuple([offer.name for offer in called])
            return Shape(names, thought, sum(text.count for text in arguments), arguments)
    if steer.tools or steer.look or steer.refuse or wanted is not None:
        text = _text(call, wanted)
        if text is not None:
            return Shape((), thought, text.count, text=text)
    return Shape((), thought, steer.tokens)


def call_id(prefix: str, serial: bytes, index: int) -> str:
    """The id of one tool call."""
    return f"{prefix}_{serial.decode()}{index}"


def whole(steer: Any, made: Shape) -> str:
    """The text of a whole answer; with a mark where the stamp of a stamped one goes."""
    if made.text is not None:
        return made.text.whole(steer)
    text = words.whole(steer, made.said)
    return "@STAMP" + text[20:] if steer.stamp else text


def source(steer: Any, made: Shape) -> words.Source:
    """The tokens of the text."""
    return words.source(steer) if made.text is None else made.text.source(steer)


def _text(call: Call, wanted: Any) -> words.Text | None:
    steer = call.steer
    if steer.refuse:
        return words.cut(SENTENCE)
    told = talk.read(call.content())
    quote = words.quoted(results) if steer.tools and (results := told.results()) else ""
    if steer.look:
        counts = [f"{count} {kind}" for kind, count in told.media().items() if count]
        quote = f"{quote} I see {', '.join(counts) or 'nothing'}.".strip()
    if wanted is not None:
        return words.fitting(steer, wanted, quote)
    return words.cut(quote) if quote else None


def _called(call: Call, told: talk.Talk) -> list[Offer]:
    """The tools to call: as many as steered or forced, none when the request offers none or forbids them."""
    offered = offers(call.content())
    must, names = _choice(call)
    if names:
        offered = [offer for offer in offered if offer.name in names]
    if must is False or not offered:
        return []
    count = call.steer.tools
    if must is not True and count and told.results() and told.rounds() >= call.steer.rounds:
        return []
    # One tool alone is called twice: parallel calls of one function are what `tool2` is about.
    return [offered[index % len(offered)] for index in range(count or int(must is True))]


_SERVERS = ("web_search", "web_fetch", "code_execution", "mcp", "advisor", "tool_search")
"""Anthropic's typed tools that are not the client's to run."""


def offers(body: Any) -> list[Offer]:
    """The functions a request offers, in any dialect."""
    if not isinstance(body, dict):
        return []
    config = member(body, "toolConfig", "tool_config")
    declared = [body.get("tools"), body.get("functions"), member(config, "tools", "tools")]
    found: list[Offer] = []
    for tools in declared:
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict):
                found += _offered(tool)
    return found


def _offered(tool: dict[str, Any]) -> list[Offer]:
    """OpenAI chat nests under `function`, Gemini lists `functionDeclarations`, the others are flat."""
    declared = member(tool, "functionDeclarations", "function_declarations")
    if isinstance(declared, list):
        return [_offer(entry) for entry in declared if isinstance(entry, dict)]
    kind = str(tool.get("type", ""))
    if kind.startswith(_SERVERS) or (kind == "custom" and "input_schema" not in tool):
        return []
    inner = tool.get("function", tool.get("toolSpec", tool))
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return []
    return [_offer(inner)]


_SCHEMAS = (
    "parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema"
)  # fmt: skip


def _offer(declared: dict[str, Any]) -> Offer:
    schema = next((declared[name] for name in _SCHEMAS if declared.get(name) is not None), None)
    if isinstance(schema, dict) and isinstance(schema.get("json"), dict):
        schema = schema["json"]
    return Offer(str(declared.get("name")), schema)


def _choice(call: Call) -> tuple[bool | None, list[str]]:
    """Whether a tool must be called (None: as the model likes), and which ones may be."""
    config = decoded(call.ask.tool_config)
    calling = member(config, "functionCallingConfig", "function_calling_config")
    mode = member(calling, "mode", "mode")
    if mode is not None:
        names = member(calling, "allowedFunctionNames", "allowed_function_names") or []
        return {"NONE": False, "ANY": True}.get(str(mode)), names
    choice = decoded(call.ask.tool_choice)
    if choice is None and isinstance(config, dict):
        # Bedrock: {"any": {}} or {"tool": {"name": …}}
        choice = config.get("toolChoice")
        if isinstance(choice, dict) and choice:
            kind = next(iter(choice))
            choice = {"type": kind} | (choice[kind] if isinstance(choice[kind], dict) else {})
    if not isinstance(choice, dict):
        return {"none": False, "required": True, "any": True}.get(str(choice)), []
    kind = str(choice.get("type"))
    if kind == "allowed_tools":
        allowed = choice.get("allowed_tools", choice)
        names = [str(offer.name) for one in allowed.get("tools", ()) for offer in _offered(one)]
        return True if allowed.get("mode") == "required" else None, names
    inner = choice.get("function", choice)
    name = inner.get("name") if isinstance(inner, dict) else None
    if kind in ("function", "tool", "custom") and isinstance(name, str):
        return True, [name]
    return {"none": False, "any": True, "required": True}.get(kind), []
