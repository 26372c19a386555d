"""What a request and an answer say, whatever format says it: the hub that every dialect translates to and from.

A message is a list of blocks, an answer is a list of choices made of the same blocks, and a stream is an answer told
block by block. Whoever writes a dialect knows this module and its own format, and no other.

The grammar of a stream, which decoders keep and encoders may rely on:

    ResponseStart  (BlockStart  delta*  BlockEnd)*  ChoiceEnd+  UsageReport?  ResponseEnd

Blocks of one stream may overlap (`sequence.Sequencer` puts them one after another for whoever needs that), their
`index` counts up from 0 in the order they start, and no index comes twice. `UsageReport` may come at any time and
more than once: the last one counts. `Ping` may come at any time. `StreamError` ends a stream wherever it stands.

Objects of the wire (`extras`, schemas, `Opaque.value`) are plain decoded JSON. `extras` keeps what a dialect has and
this hub has not, under its own names: whoever renders the same dialect puts it back, everybody else leaves it out and
says so (`loss.Loss`).
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

Json = dict[str, Any]
Role = Literal["system", "developer", "user", "assistant"]


class Usage(Struct, frozen=True):
    """Tokens in disjoint parts, whatever the provider's own convention: `input` are the uncached ones.

    `reasoning` is a part of `output`, audio a part of `input` and of `output`, `cache_write_1h` one of `cache_write`.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    suspect: Literal["", "absurd", "torn", "large"] = ""
    """What is odd about the provider's figures. `absurd`: one was none that can be counted (negative, a fraction, a word,
    beyond `usage.ABSURD`), and is 0 here; `torn`: a part was larger than what it is a part of, and has been cut to it;
    `large`: to be believed only by who knows the request."""
    images: int = 0
    seconds: float = 0.0
    """Audio that is charged by its length."""
    audio_input: int = 0
    audio_output: int = 0
    cache_write_1h: int = 0
    """What a cache keeps for an hour, which costs more than five minutes."""
    searches: int = 0
    """What a ranking is sold by, where it is not tokens: one for each hundred documents or so."""


# --- blocks -------------------------------------------------------------------------------------------------


class Cache(Struct, frozen=True):
    """A hint that everything up to and including this block should be cached. `ttl`: `5m`, `1h`; "" is the usual."""

    ttl: str = ""


class Citation(Struct):
    """Where a part of the answer comes from."""

    url: str = ""
    title: str = ""
    text: str = ""
    """The words cited, from the source."""
    start: int | None = None
    end: int | None = None
    """The part of the answer this is about: characters of its text block. None when nobody says."""
    file_id: str = ""
    origin: str = ""
    """The family of `own`."""
    own: Json = field(default_factory=dict)
    """The whole object as its own dialect has it."""


class Text(Struct):
    """Plain text."""

    text: str = ""
    citations: list[Citation] = field(default_factory=list)
    logprobs: list[Json] = field(default_factory=list)
    """A token each: `{token, logprob, bytes, top_logprobs: [{token, logprob, bytes}]}`."""
    cache: Cache | None = None
    signature: str = ""
    """Opaque state of `origin` that belongs to this very text (Gemini's thought signature)."""
    origin: str = ""
    extras: Json = field(default_factory=dict)


class Refusal(Struct):
    """The model says that it will not answer."""

    text: str = ""
    extras: Json = field(default_factory=dict)


class Media(Struct):
    """An image, document, sound or film: exactly one of `data`, `url`, `file_id` and `text` is not empty."""

    kind: Literal["image", "document", "audio", "video"]
    mime: str = ""
    """`image/png`, `application/pdf`, `audio/wav`, `text/plain`; "" when nobody says."""
    data: str = ""
    """Base64, standard alphabet."""
    url: str = ""
    """Never a `data:` URL: that is taken apart into `mime` and `data`."""
    file_id: str = ""
    """What the provider called an upload. Means nothing to another provider: see `origin`."""
    text: str = ""
    """A document that is plain text."""
    origin: str = ""
    """Family of `file_id`."""
    name: str = ""
    """File name or title."""
    context: str = ""
    detail: str = ""
    """`low`, `high`, `auto`, ...; "" when nobody says."""
    citations: bool = False
    """The model is asked to cite this document."""
    transcript: str = ""
    """What a sound in an answer says."""
    cache: Cache | None = None
    extras: Json = field(default_factory=dict)


class Reasoning(Struct):
    """Thoughts: what may be read of them, and the sealed state the provider wants back unchanged."""

    text: str = ""
    signature: str = ""
    """Opaque, of `origin`; only that family can use it."""
    origin: str = ""
    """Family of `signature`: `anthropic`, `gemini`, `openai`, `bedrock`."""
    redacted: bool = False
    """There are thoughts but none to read; `signature` is all there is."""
    id: str = ""
    raw: bool = False
    """The thoughts themselves, not a summary of them, where a dialect tells the two apart."""
    extras: Json = field(default_factory=dict)


class ToolCall(Struct):
    """The model calls a tool of the client's."""

    id: str = ""
    """Never empty in what `parse_request` and decoders give: see `identity`."""
    name: str = ""
    arguments: str = ""
    """JSON text of an object; "" is no arguments at all. Free text when `custom`."""
    custom: bool = False
    signature: str = ""
    """Opaque state of `origin` that belongs to this very call (Gemini's thought signature)."""
    origin: str = ""
    cache: Cache | None = None
    extras: Json = field(default_factory=dict)


class ToolResult(Struct):
    """The client answers a call."""

    id: str = ""
    """Of the call."""
    name: str = ""
    """Of the tool; "" where the dialect does not say (`identity.complete` fills it in from the call)."""
    content: list[Text | Media | Opaque] = field(default_factory=list)
    is_error: bool = False
    custom: bool = False
    cache: Cache | None = None
    extras: Json = field(default_factory=dict)


class Opaque(Struct):
    """What only its own family understands: a provider's own tool at work, a kind of block not known here."""

    origin: str
    kind: str
    """Its type there."""
    value: Json = field(default_factory=dict)
    cache: Cache | None = None


Block = Text | Refusal | Media | Reasoning | ToolCall | ToolResult | Opaque

# --- request ------------------------------------------------------------------------------------------------


class Message(Struct):
    """One turn, or a part of one: the same role may follow itself."""

    role: Role
    content: list[Block] = field(default_factory=list)
    name: str = ""
    extras: Json = field(default_factory=dict)


class Tool(Struct):
    """A function the client offers, or (`custom`) one that takes free text."""

    name: str
    description: str = ""
    schema: Json | None = None
    """JSON Schema of the arguments; None when there is none."""
    strict: bool | None = None
    custom: bool = False
    format: Json | None = None
    """The grammar of a custom tool's input, as OpenAI writes it."""
    cache: Cache | None = None
    extras: Json = field(default_factory=dict)


class ServerTool(Struct):
    """A tool the provider runs itself."""

    origin: str
    """Family whose `value` this is."""
    kind: str
    """`web_search`, `web_fetch`, `code_execution`, or the type in its own dialect where nobody else has one like it."""
    value: Json = field(default_factory=dict)
    """As its own dialect has it."""
    allowed_domains: list[str] = field(default_factory=list)
    blocked_domains: list[str] = field(default_factory=list)
    max_uses: int | None = None
    location: Json = field(default_factory=dict)
    """`{city, region, country, timezone}`, those that are known."""


class ToolChoice(Struct):
    """Whether tools must be called. `tool` and `allowed` name them in `names`."""

    mode: Literal["auto", "none", "required", "tool", "allowed"]
    names: list[str] = field(default_factory=list)
    required: bool = False
    """With `allowed`: one of them must be called."""
    extras: Json = field(default_factory=dict)


class Thinking(Struct):
    """How much to think. Several spellings may be given; `effort.py` turns one into another."""

    effort: str = ""
    """`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`; "" when nobody says."""
    budget: int | None = None
    """Tokens; 0 is no thinking, -1 is as the model sees fit."""
    visible: bool | None = None
    """Whether thoughts (or a summary) are shown; None when nobody says."""
    summary: str = ""
    """`auto`, `concise`, `detailed`."""
    usual: bool = False
    """In the client's dialect thoughts are shown unless somebody says otherwise."""
    extras: Json = field(default_factory=dict)


class Format(Struct):
    """What the answer must look like. `text` is a wish too: an explicit one."""

    kind: Literal["text", "json", "schema"]
    name: str = ""
    description: str = ""
    schema: Json | None = None
    strict: bool | None = None


class Request(Struct):
    """One request for an answer. None, "" and empty: the client did not say."""

    model: str = ""
    messages: list[Message] = field(default_factory=list)
    tools: list[Tool | ServerTool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    thinking: Thinking | None = None
    format: Format | None = None
    verbosity: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Json = field(default_factory=dict)
    logprobs: bool = False
    top_logprobs: int | None = None
    n: int | None = None
    modalities: list[str] = field(default_factory=list)
    """`text`, `image`, `audio`, lower case."""
    user: str = ""
    """The end user, for the provider's abuse detection."""
    metadata: Json = field(default_factory=dict)
    service_tier: str = ""
    """In the words of OpenAI: `auto`, `default`, `flex`, `priority`."""
    cache_key: str = ""
    cache_retention: str = ""
    stream: bool = False
    include_usage: bool = False
    """The client wants usage in its stream, where a dialect sends it only when asked."""
    origin: str = ""
    """Name of the dialect it was written in."""
    musts: dict[str, str] = field(default_factory=dict)
    """Fields that mean too much to be left out (an earlier answer the provider keeps, say), with the reason."""
    array: bool = False
    """Gemini's stream without `alt=sse`: one JSON array that grows."""
    functions: bool = False
    """The client speaks of functions, as OpenAI did before there were tools, and is answered in the same words."""
    extras: Json = field(default_factory=dict)
    """Top-level fields of that dialect that have no place above, those of `musts` among them."""
    aside: Json = field(default_factory=dict)
    """More of them, which ask for nothing that is not so everywhere (`store: false`): nobody misses those."""


# --- answer -------------------------------------------------------------------------------------------------

Finish = Literal[
    "stop",  # the model was done, or met a stop sequence
    "length",  # max_tokens
    "context",  # the window is full
    "tool_calls",
    "content_filter",  # the provider stopped it
    "refusal",  # the model did
    "pause",  # a long turn of the provider's own tools: send it back to go on
    "error",
]


class Choice(Struct):
    """One answer. There are several only when `n` asked for them."""

    blocks: list[Block] = field(default_factory=list)
    finish: Finish | None = None
    stop_sequence: str = ""
    """Which one was met, where the dialect says."""
    reason: str = ""
    """The provider's own word for `finish`."""
    extras: Json = field(default_factory=dict)


class Response(Struct):
    """A whole answer."""

    id: str = ""
    model: str = ""
    created: int = 0
    """Unix seconds; 0 when nobody says."""
    choices: list[Choice] = field(default_factory=list)
    usage: Usage | None = None
    service_tier: str = ""
    origin: str = ""
    """Name of the dialect it was written in."""
    extras: Json = field(default_factory=dict)


# --- stream -------------------------------------------------------------------------------------------------


class TextDelta(Struct, frozen=True, gc=False):
    """More of a `Text` or `Refusal`, or of a `Media`'s transcript."""

    index: int
    text: str


class ReasoningDelta(Struct, frozen=True, gc=False):
    """More of a `Reasoning`'s text."""

    index: int
    text: str


class ArgumentsDelta(Struct, frozen=True, gc=False):
    """More of a `ToolCall`'s arguments: a fragment of JSON text, cut anywhere."""

    index: int
    text: str


class SignatureDelta(Struct, frozen=True, gc=False):
    """The signature of a `Reasoning`, `Text` or `ToolCall`: whole, it replaces what was known."""

    index: int
    signature: str
    origin: str


class DataDelta(Struct, frozen=True, gc=False):
    """More of a `Media`'s base64 data."""

    index: int
    data: str


class CitationDelta(Struct, frozen=True):
    """One more citation of a `Text`."""

    index: int
    citation: Citation


class LogprobsDelta(Struct, frozen=True):
    """Probabilities of the tokens that make up the delta before or after it."""

    index: int
    tokens: list[Json]


class BlockStart(Struct, frozen=True):
    """A block begins. `block` holds what is known of it already, which may be all of it; deltas add to that.

    Whoever gets the event must not change `block`.
    """

    index: int
    block: Block
    choice: int = 0


class BlockEnd(Struct, frozen=True, gc=False):
    """A block is complete."""

    index: int


class ResponseStart(Struct, frozen=True):
    """The answer begins."""

    id: str = ""
    model: str = ""
    created: int = 0
    service_tier: str = ""
    origin: str = ""
    extras: Json = field(default_factory=dict)
    usage: Usage | None = None
    """What is known of the prompt already, where the dialect says so at the start."""


class ChoiceEnd(Struct, frozen=True):
    """A choice is complete, and why. All of its blocks have ended."""

    finish: Finish
    choice: int = 0
    stop_sequence: str = ""
    reason: str = ""
    extras: Json = field(default_factory=dict)


class UsageReport(Struct, frozen=True, gc=False):
    """Tokens so far; the last report is the right one."""

    usage: Usage


class ResponseEnd(Struct, frozen=True):
    """The answer is complete."""

    extras: Json = field(default_factory=dict)


class StreamError(Struct, frozen=True):
    """The provider says that it failed. No ResponseEnd follows."""

    status: int
    """The HTTP status it stands for."""
    message: str
    code: str = ""


class Ping(Struct, frozen=True, gc=False):
    """Nothing, to keep the connection alive."""


Event = (
    TextDelta
    | ReasoningDelta
    | ArgumentsDelta
    | SignatureDelta
    | DataDelta
    | CitationDelta
    | LogprobsDelta
    | BlockStart
    | BlockEnd
    | ResponseStart
    | ChoiceEnd
    | UsageReport
    | ResponseEnd
    | StreamError
    | Ping
)
