"""The configuration as it may be written: one class a section, one field an option.

Defaults come from `proxy.core.model`, so they exist once. A null is as good as leaving the line out. What is checked
here is one value at a time; what spans several is in `checks`.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from proxy.core import model, surfaces
from proxy.core.config import sources
from proxy.core.config.extensions import Hook
from proxy.core.config.fields import (
    Abilities,
    After,
    Dialects,
    Duration,
    Hidden,
    KeyStrategy,
    Ladder,
    Limit,
    LimitOf,
    MaxTokens,
    Method,
    ModelType,
    Moment,
    Names,
    Network,
    Number,
    OnePlace,
    Params,
    Place,
    Prefer,
    Require,
    Section,
    Size,
    Strategy,
    Template,
    TLSVersion,
    Where,
    Workers,
    blank_is_none,
    credential,
    lower,
    not_blank,
    section,
    some,
    switch,
)
from proxy.core.config.usage import (
    Budget,
    Ledger,
    Limits,
    Price,
    Prices,
    PriceUnknown,
    Quota,
    Shared,
    Teams,
)
from proxy.core.url import sqlite_file

_SERVER = model.Server()
_OPS = model.Ops()
_ADMIN = model.Admin()
_HEALTH = model.Health()
_LOGGING = model.Logging()
_TRACING = model.Tracing()
_TIMEOUTS = model.Timeouts()
_PERFORMANCE = model.Performance()
_RETRY = model.Retry()
_HEDGE = model.Hedge()
_SNAPSHOT = model.Snapshot()


# --- sections ---


class Ops(Section):
    """The listener of the supervisor."""

    host: str = Field(default=_OPS.host, description="Address to listen on.", min_length=1)
    port: int | None = Field(
        default=_OPS.port, description="Port; null: none; 0 takes a free one.", ge=0, le=65535
    )


class TLS(Section):
    """HTTPS for a listener. Files are in PEM, and read again when they change."""

    certificate: str = Field(
        description="Its certificate, and behind it those that lead to an authority.", min_length=1
    )
    key: str = Field(
        description="The certificate's private key, without a passphrase.", min_length=1
    )
    min_version: TLSVersion = Field(
        default="1.2", description="Oldest version of TLS that is spoken: 1.2 or 1.3."
    )
    client_ca: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        description="Authorities; only clients with a certificate of one of them are let in.",
    )


class Server(Section):
    """The listener for clients."""

    name: str = Field(
        default=_SERVER.name,
        description="What this installation calls itself: at /, and as the service of its traces.",
        min_length=1,
        max_length=200,
    )
    host: str = Field(default=_SERVER.host, description="Address to listen on.", min_length=1)
    port: int = Field(default=_SERVER.port, description="Port; 0 takes a free one.", ge=0, le=65535)
    workers: Workers = Field(
        default=_SERVER.workers, description="Processes, or auto: one a processor."
    )
    drain: Duration = Field(
        default=_SERVER.drain,
        description="How long running requests may go on after a stop signal.",
    )
    drain_delay: Duration | None = Field(
        default=_SERVER.drain_delay,
        description="From a stop signal until nobody is taken in; null: 5 s in Kubernetes, else none.",
    )
    watchdog: Duration | None = Field(
        default=_SERVER.watchdog,
        description="A worker without a sign of life for so long is killed; null: never.",
    )
    ops: Ops = Field(default_factory=Ops, description="Health and metrics of all workers together.")
    max_body: Size = Field(default=_SERVER.max_body, description="Largest request body.")
    metrics: bool = Field(default=_SERVER.metrics, description="Serve /metrics on this port too.")
    timing: bool = Field(
        default=_SERVER.timing,
        description="Send Server-Timing on every answer, not only when asked.",
    )
    head_timeout: Limit = Field(
        default=_SERVER.head_timeout, description="For a request's headers."
    )
    body_idle_timeout: Limit = Field(
        default=_SERVER.body_idle_timeout, description="Between two pieces of a request body."
    )
    body_timeout: Limit = Field(
        default=_SERVER.body_timeout, description="For a whole request body."
    )
    keepalive: Limit = Field(
        default=_SERVER.keepalive, description="How long an idle client stays."
    )
    write_timeout: Limit = Field(
        default=_SERVER.write_timeout,
        description="How long a client may not read what is sent to it.",
    )
    max_connections: int = Field(
        default=_SERVER.max_connections,
        description="Clients connected to each worker at once; 0 is as many as open files allow.",
        ge=0,
        le=10**6,
    )
    memory_limit: Size | None = Field(
        default=None,
        description="Of all workers together; null: the container's, if it has one.",
    )
    proxies: Annotated[list[Network], BeforeValidator(some)] = Field(
        default_factory=list,
        description="Networks of balancers that say in X-Forwarded-For whom a request is from.",
    )
    tls: TLS | None = Field(default=None, description="HTTPS; null: plain HTTP.")


class Admin(Section):
    """The listener for operators."""

    host: str = Field(default=_ADMIN.host, description="Address to listen on.", min_length=1)
    port: int = Field(
        default=_ADMIN.port, description="Port; the one of server serves both.", ge=0, le=65535
    )
    token: Annotated[Hidden | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        description="What a program presents; without it and a password, one is printed at the start.",
    )
    username: str = Field(
        default=_ADMIN.username, description="Whom the password lets in.", min_length=1
    )
    password: Annotated[Hidden | None, BeforeValidator(blank_is_none)] = Field(
        default=None, description="As it is, or its hash: $argon2id$…"
    )
    anonymous: bool = Field(
        default=_ADMIN.anonymous,
        description="true: nobody is asked who they are. Only on loopback.",
    )
    origins: Annotated[Names, BeforeValidator(some)] = Field(
        default_factory=list,
        description="Where browsers see it, behind a proxy that changes the host: https://ops.example.com.",
    )
    tls: TLS | None = Field(default=None, description="HTTPS; null: plain HTTP.")


class Store(Section):
    """The database."""

    url: Annotated[str, AfterValidator(str.strip)] = Field(
        default=_SNAPSHOT.store_url,
        description="sqlite:///path/to/file.db or postgresql://user:password@host/name; empty: none.",
    )
    poll: Limit = Field(
        default=1.0, description="How often workers ask for changes that nobody told them of."
    )
    snapshot: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        description="Encrypted copy on disk, for a start without the database. Usually beside an SQLite file.",
    )

    @property
    def copy_path(self) -> str:
        """Where the encrypted copy is."""
        if self.snapshot is not None:
            return self.snapshot
        file = self.file
        return "data/headrace.snapshot" if file is None else str(file.with_suffix(".snapshot"))

    @property
    def file(self) -> PurePath | None:
        """The SQLite file, where it is one."""
        found = sqlite_file(self.url) if self.url[:7].casefold() == "sqlite:" else ""
        return PurePath(found) if found else None


class Source(Section):
    """Where secrets come from: one of a command, a folder, a function in Python."""

    command: list[str] | None = Field(
        default=None,
        description="A program and its words. With {key} among them it prints that secret, else all, as a JSON object.",
    )
    timeout: Limit = Field(default=sources.TIMEOUT, description="For the command.")
    folder: str | None = Field(
        default=None, description="A folder with a file for each key: /run/secrets."
    )
    python: str | None = Field(
        default=None,
        description="module:function, or an entry point of headrace.secrets: from a key to its secret.",
    )


class Secrets(Section):
    """What secrets in the database are sealed with, and where those of this file come from."""

    keys: Annotated[list[Hidden], BeforeValidator(some), AfterValidator(not_blank)] = Field(
        default_factory=list,
        description="Master keys, 32 characters or more. The first seals, all open. Usually ${HEADRACE_MASTER_KEY}.",
    )
    file: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None, description="A file with more of them, one a line."
    )
    sources: dict[str, Source] = Field(
        default_factory=dict, description="Where secret:NAME/KEY comes from, by the name."
    )


class Auth(Section):
    """Which requests need a virtual key."""

    require: Require = Field(
        default=None, description="auto: as soon as one key exists.", validate_default=False
    )
    exempt: Names = Field(
        default=["/", "/health", "/docs"],
        description="Paths that never need a key, compared exactly.",
    )


class Timeouts(Section):
    """Limits of one attempt at a provider. What is left out comes from the next wider section."""

    connect: Limit | None = Field(
        default=None, description=f"DNS, TCP and TLS. Usually {_TIMEOUTS.connect:g} s."
    )
    ttft: Limit | None = Field(
        default=None, description=f"Until the first content. Usually {_TIMEOUTS.ttft:g} s."
    )
    idle: Limit | None = Field(
        default=None, description=f"Between two reads of a stream. Usually {_TIMEOUTS.idle:g} s."
    )
    event: Limit | None = Field(
        default=None,
        description=f"For one event to become complete. Usually {_TIMEOUTS.event:g} s.",
    )
    total: Limit | None = Field(
        default=None, description=f"For a whole stream. Usually {_TIMEOUTS.total:g} s."
    )
    request: Limit | None = Field(
        default=None,
        description=f"For an answer that is not streamed. Usually {_TIMEOUTS.request:g} s.",
    )
    content: Limit | None = Field(
        default=None,
        description="How long comments and pings alone keep a stream alive. "
        f"Usually {_TIMEOUTS.content:g} s.",
    )


class Fields(Section):
    """What a provider takes otherwise than its dialect has it, at the top level of a body."""

    rename: dict[str, str] = Field(
        default_factory=dict, description="The dialect's name: the provider's."
    )
    drop: Annotated[list[str], BeforeValidator(some)] = Field(
        default_factory=list, description="Left out: the provider refuses it."
    )
    clamp: dict[str, tuple[Number, Number]] = Field(
        default_factory=dict, description="A number's least and most: what is beyond is put there."
    )
    set: Params = Field(default_factory=dict, description="Put in, whatever the client sent.")


class Retry(Section):
    """When one request is tried again. What is left out comes from the next wider section."""

    count: int | None = Field(
        default=None,
        description=f"Further tries of one deployment. Usually {_RETRY.count}.",
        ge=0,
        le=20,
    )
    base: Duration | None = Field(
        default=None, description=f"First pause, doubled each time. Usually {_RETRY.base:g} s."
    )
    cap: Duration | None = Field(
        default=None, description=f"Longest pause. Usually {_RETRY.cap:g} s."
    )
    max_attempts: int | None = Field(
        default=None,
        description=f"Tries of one request, over all deployments. Usually {_RETRY.max_attempts}.",
        ge=1,
        le=100,
    )
    retry_after_max: Duration | None = Field(
        default=None,
        description=f"Longest Retry-After that is waited for. Usually {_RETRY.retry_after_max:g} s.",
    )
    budget: float | None = Field(
        default=None,
        description=f"Retries for each request, as a share. Usually {_RETRY.budget:g}.",
        ge=0,
        le=10,
    )


class Performance(Section):
    """What counts for how much, for the strategy of that name. What is left out comes from the next wider section."""

    latency: float | None = Field(
        default=None,
        description=f"How long an answer takes, as a part of the longest. Usually {_PERFORMANCE.latency:g}.",
        ge=0,
        le=1_000_000,
    )
    success: float | None = Field(
        default=None,
        description=f"How often there is none. Usually {_PERFORMANCE.success:g}.",
        ge=0,
        le=1_000_000,
    )


class Defaults(Section):
    """What applies where a provider, model or deployment says nothing else."""

    strategy: Strategy = Field(
        default=model.Strategy.P2C, description="How one of several equal deployments is chosen."
    )
    performance: Performance = section(Performance)
    timeouts: Timeouts = section(Timeouts)
    retry: Retry = section(Retry)
    param_defaults: Params = Field(
        default_factory=dict, description="Put into a request that does not have them."
    )
    param_overrides: Params = Field(
        default_factory=dict, description="Put into every request; null removes a parameter."
    )
    force_usage: bool = Field(
        default=True, description="Ask providers for usage, and hide it from clients that did not."
    )
    max_tokens: int = Field(
        default=model.MAX_TOKENS,
        description="Sent where a provider's dialect demands a limit and the client gave none.",
        ge=1,
        le=2**31 - 1,
    )
    owned_by: str = Field(
        default=_SNAPSHOT.owned_by,
        description="Whose models are, in OpenAI's list of them.",
        min_length=1,
        max_length=200,
    )
    price_unknown: PriceUnknown = Field(
        default=None,
        description="Where no price is known: refuse keys with a budget, or charge this.",
    )


class Health(Section):
    """When a deployment is taken out, and when it comes back."""

    enabled: bool = Field(
        default=_HEALTH.enabled, description="False: a failing deployment is never taken out."
    )
    max_errors: int = Field(
        default=_HEALTH.max_errors,
        description="Failures in a row that take a deployment out.",
        ge=1,
    )
    recover_after: int = Field(
        default=_HEALTH.recover_after, description="Successes in a row that bring it back.", ge=1
    )
    open_base: Limit = Field(
        default=_HEALTH.open_base,
        description="How long it is out the first time; doubled each time.",
    )
    open_max: Limit = Field(
        default=_HEALTH.open_max, description="How long it is out at most; 24 s in any case."
    )
    probe: Annotated[Literal["models", "completion", "off"], BeforeValidator(switch)] = Field(
        default="models",
        description="What a check asks a provider for: its models, one token of a completion, or nothing (off).",
    )
    interval: Limit = Field(
        default=_HEALTH.interval,
        description="After how long without a request a deployment that is well is checked.",
    )
    mask_above: float | None = Field(
        default=None,
        description="US dollars for a million output tokens, from which on deployments are not checked.",
        ge=0,
    )


class Logging(Section):
    """Where log lines go."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower)] = Field(
        default="info", description="The least important lines that are written."
    )
    format: Annotated[Literal["auto", "json", "console"], BeforeValidator(lower)] = Field(
        default="auto", description="auto: console on a terminal, else json."
    )
    requests: bool = Field(default=_LOGGING.requests, description="One line a request.")
    file: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None, description="Write to this file instead of standard error."
    )
    detailed: bool = Field(
        default=_LOGGING.detailed,
        description="Keep what was asked and answered, in the request log of the database.",
    )
    max_content: int = Field(
        default=_LOGGING.max_content,
        description="Characters of each that are kept.",
        ge=0,
        le=10_000_000,
    )
    sample: float = Field(
        default=_LOGGING.sample,
        description="Share of the lines of requests that went well; all others are written.",
        ge=0,
        le=1,
    )
    rotate: bool = Field(
        default=_LOGGING.rotate,
        description="Begin a new file each day (UTC); the others stay beside it.",
    )
    keep: int = Field(
        default=_LOGGING.keep,
        description="Days for which those stay; 0: for ever.",
        ge=0,
        le=36_500,
    )


class Tracing(Section):
    """Spans of requests, for OpenTelemetry. Needs the extra `otel`."""

    enabled: bool = Field(default=_TRACING.enabled, description="true: spans are made and sent.")
    endpoint: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        description="Of a collector that takes OTLP over HTTP: http://host:4318. Usually as OTEL_EXPORTER_OTLP_ENDPOINT says.",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
    )
    headers: dict[str, Hidden] = Field(
        default_factory=dict,
        description="Sent with the spans, for instance a key of the collector's.",
    )
    sample: float | None = Field(
        default=None,
        description="Share of the traces that begin here. Usually as OTEL_TRACES_SAMPLER says, else all.",
        ge=0,
        le=1,
    )
    follow: bool = Field(
        default=_TRACING.follow,
        description="A client's traceparent says whether its request is recorded; false: sample does.",
    )
    service_name: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        description="Usually as OTEL_SERVICE_NAME says, else headrace.",
        max_length=200,
    )
    content: bool = Field(
        default=_TRACING.content,
        description="true: spans hold what was asked and answered, as far as logging.max_content.",
    )
    metrics: Duration | None = Field(
        default=None,
        description="How often what is counted is sent too; 0: never. Usually as OTEL_METRICS_EXPORTER says, else never.",
    )


class Credential(Section):
    """What is presented to a provider. Text alone is the key."""

    key: Hidden = Field(description="The provider's key; ${NAME} is left out when NAME is not set.")
    weight: int = Field(
        default=1, description="Its share among the credentials.", ge=1, le=1_000_000
    )
    rpm: LimitOf = Field(default=None, description="Requests a minute.")
    tpm: LimitOf = Field(default=None, description="Tokens a minute.")
    concurrency: LimitOf = Field(default=None, description="Requests at once.")
    quota: Quota | None = Field(default=None, description="What may be used until a clock strikes.")


class ConversationCreate(Section):
    """The call that begins a conversation."""

    path: str = Field(description="Under base_url.")
    method: Method = Field(default="POST", description="GET, POST or PUT.")
    body: Template = Field(default=None, description="What is sent, if anything.")
    headers: dict[str, str] = Field(default_factory=dict, description="Sent with it.")
    id_path: Where = Field(description="Where the answer has the id: data.id.")


class ConversationDone(Section):
    """What makes an event the last one."""

    path: Where = Field(description="Where the event says so.")
    equals: Any = Field(
        default=None,
        description="What it says then; left out: anything but null, false, 0 and what is empty.",
    )


class Conversation(Section):
    """A chat service that is asked inside a conversation, which has to be begun first."""

    create: ConversationCreate = Field(description="The call that begins a conversation.")
    path: str = Field(description="Of the question, under base_url; may hold {conversation_id}.")
    body: Template = Field(description="Of the question: what is sent, with {names} in it.")
    referer: str = Field(default="", description="The header of that name, with the question.")
    headers: dict[str, str] = Field(default_factory=dict, description="Sent with the question.")
    text_path: Annotated[list[Where], BeforeValidator(some)] = Field(
        description="Where an event, or a whole answer, has its text; several: the first that does.",
        min_length=1,
    )
    delta: bool = Field(
        default=True, description="false: an event has all of the text so far, not its next piece."
    )
    done: ConversationDone | None = Field(
        default=None, description="What makes an event the last one; usually [DONE]."
    )
    done_at_end: bool = Field(
        default=False, description="true: there is no last event, the answer ends with its body."
    )
    error_path: Where = Field(
        default=("error",),
        description="Where an event or answer says what went wrong.",
        json_schema_extra={"default": "error"},
    )
    prefetch: int = Field(
        default=0,
        description="Conversations begun ahead of need, for each credential and worker.",
        ge=0,
        le=100,
    )
    expire: Limit = Field(default=60.0, description="How long one of those may wait.")


Basis = Literal["vendor", "sdk", "others"]
"""Who says what a preset holds: the vendor's pages, the vendor's own library, somebody else."""


class Provider(Section):
    """A vendor account."""

    preset: str | None = Field(
        default=None, description="A block of conf/providers.yaml to start from."
    )
    note: str | None = Field(default=None, description="For people; not used.")
    as_of: str | None = Field(
        default=None,
        description="The day on which a preset was last held against its sources: YYYY-MM-DD; not used.",
    )
    sources: dict[Basis, Annotated[Names, BeforeValidator(some)]] = Field(
        default_factory=dict,
        description="What says so of a preset: the vendor's pages, its own library, others; not used.",
    )
    unconfirmed: str | None = Field(
        default=None, description="What no source of a preset says, or only others do; not used."
    )
    enabled: bool = Field(default=True, description="false leaves out all its deployments.")
    base_url: str = Field(description="Where it is; may or may not end in /v1.")
    dialects: Dialects = Field(
        default_factory=lambda: {name: surfaces.DIALECTS[name] for name in surfaces.OPENAI},
        description="What it speaks: a list, or a mapping to paths. Usually all of openai.* but realtime and other.",
    )
    credentials: Annotated[
        list[Annotated[Credential, BeforeValidator(credential)]], BeforeValidator(some)
    ] = Field(
        default_factory=list, description="Several share the load and stand in for each other."
    )
    credential_env: Annotated[Names, BeforeValidator(some)] = Field(
        default_factory=list,
        description="Without credentials: the first of these variables that is set is the one.",
    )
    auth: Place = Field(
        default_factory=dict,
        description="bearer, header:NAME, query:NAME, sigv4:REGION, google, entra or none; a mapping for each family.",
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Sent with every request.")
    query: dict[str, str] = Field(default_factory=dict, description="Added to every URL.")
    force_usage: bool | None = Field(default=None, description="As in defaults.")
    max_tokens: MaxTokens = Field(default=None, description="As in defaults.")
    prefer: Prefer = Field(
        default_factory=list,
        description="Dialects to translate to before the others, where several would do.",
    )
    allow_private: bool = Field(default=False, description="Its address may be private or local.")
    allow_http: bool = Field(default=False, description="Its address may be public and plain http.")
    verify_tls: bool = Field(default=True, description="Check its certificate.")
    pass_deadline: bool = Field(
        default=False,
        description="Tell it what is left of x-request-deadline-ms: it is a Headrace.",
    )
    propagate: bool = Field(
        default=False, description="Tell it the trace of a request: traceparent and tracestate."
    )
    proxy: Annotated[str | None, BeforeValidator(blank_is_none)] = Field(
        default=None,
        description="HTTP proxy on the way to it: http://host:port.",
        pattern=r"^https?://[^\s/?#]+/?$",
    )
    max_connections: int = Field(default=0, description="Connections at once; 0 is no limit.", ge=0)
    data_collection: bool = Field(
        default=True,
        description="false: it keeps nothing it is sent; for clients who ask for such (data_collection: deny).",
    )
    json_edits: bool = Field(
        default=False,
        description="true: it takes image edits as JSON; else such a request is sent as a form.",
    )
    key_strategy: KeyStrategy = Field(
        default=model.KeyStrategy.LEAST_USED,
        description="Which credential is next: least_used, round_robin, random, failover.",
    )
    warm: int = Field(
        default=0,
        description="Connections that each worker keeps open ahead of need.",
        ge=0,
        le=100,
    )
    conversation: Conversation | None = Field(
        default=None, description="It is a chat service where a conversation is begun first."
    )
    timeouts: Timeouts = section(Timeouts)
    retry: Retry = section(Retry)
    param_defaults: Params = Field(default_factory=dict, description="As in defaults.")
    param_overrides: Params = Field(default_factory=dict, description="As in defaults.")
    fields: dict[str, Fields] = Field(
        default_factory=dict,
        description="By dialect: what it takes otherwise than the dialect has it.",
    )

    @property
    def usable(self) -> bool:
        """Whether a request can be sent to it: not switched off, and with a credential where one is needed."""
        if not self.enabled:
            return False
        return any(item.key.reveal() for item in self.credentials) or not self.needs_credential

    @property
    def needs_credential(self) -> bool:
        """Whether any dialect it speaks wants one."""
        families = {surfaces.family(dialect) for dialect in self.spoken}
        return any(self.place(name).scheme != "none" for name in families)

    @property
    def spoken(self) -> dict[str, str]:
        """Its dialects, a conversation among them. One that has that, and lists none, speaks no other."""
        if self.conversation is None:
            return self.dialects
        listed = self.dialects if "dialects" in self.model_fields_set else {}
        return {**listed, surfaces.CONVERSATION: self.conversation.path}

    def place(self, family: str) -> model.Auth:
        """Where the credential goes in a request of this family."""
        place: model.Auth = self.auth.get(family, surfaces.AUTH[family])
        return place


class Deployment(Section):
    """One way to serve a model."""

    provider: str = Field(description="Name of a provider.")
    model: str | None = Field(
        default=None,
        description="Its name there, usually the same; * stands for what the wildcard matched.",
        min_length=1,
    )
    enabled: bool = Field(default=True, description="false leaves it out.")
    priority: int = Field(default=1, description="Smaller is tried first.", ge=0, le=1_000_000)
    weight: int = Field(
        default=10,
        description="Its share among equal priorities; 0 leaves it out.",
        ge=0,
        le=1_000_000,
    )
    preferred: bool = Field(default=False, description="The same as priority: 0.")
    stream: bool = Field(
        default=True, description="false: it gives no streams; they are made of whole answers."
    )
    non_stream: bool = Field(
        default=True, description="false: it gives only streams; whole answers are made of them."
    )
    max_tokens: MaxTokens = Field(default=None, description="As in defaults.")
    max_context: MaxTokens = Field(
        default=None,
        description="Tokens it takes, prompt and answer: what is clearly longer goes elsewhere, if it can.",
    )
    prefer: Prefer | None = Field(default=None, description="As in its provider.")
    continuation: Abilities = Field(
        default_factory=list,
        description="prefill: it goes on with an answer that a request ends with. none: it does not.",
    )
    rpm: LimitOf = Field(default=None, description="Requests a minute.")
    tpm: LimitOf = Field(default=None, description="Tokens a minute.")
    concurrency: LimitOf = Field(default=None, description="Requests at once.")
    quota: Quota | None = Field(default=None, description="What may be used until a clock strikes.")
    price: Price | None = Field(
        default=None, description="What it costs, before what prices says of its model."
    )
    health_check: Annotated[Literal["auto", "on", "masked", "off"], BeforeValidator(switch)] = (
        Field(
            default="auto",
            description="auto: unless it is dearer than health.mask_above; on; masked: never, and it is said so; off.",
        )
    )
    timeouts: Timeouts = section(Timeouts)
    retry: Retry = section(Retry)
    param_defaults: Params = Field(default_factory=dict, description="As in defaults.")
    param_overrides: Params = Field(default_factory=dict, description="As in defaults.")


Which = Annotated[Literal["none", "deterministic", "all"], BeforeValidator(lower)]
Whose = Annotated[Literal["key", "team", "all"], BeforeValidator(lower)]


class ModelCache(Section):
    """Answers that are kept and given again."""

    ttl: Duration = Field(default=0.0, description="How long; 0: they are not kept.")
    requests: Which = Field(
        default="deterministic",
        description="Which: deterministic (temperature 0, embeddings, moderations, rerank), all, or none.",
    )
    scope: Whose = Field(
        default="key", description="Whose requests may be the same: of a key, of a team, of all."
    )


class Coalesce(Section):
    """Equal requests at the same time wait for one answer."""

    requests: Which = Field(default="none", description="Which: as of cache.")
    scope: Whose = Field(default="key", description="As of cache.")
    bill: Annotated[Literal["leader", "all"], BeforeValidator(lower)] = Field(
        default="leader", description="Who is charged: leader (who asked first) or all."
    )


class Hedge(Section):
    """A second attempt beside a first one that shows no content."""

    enabled: bool = Field(default=False, description="Begin one, at another deployment.")
    after: After = Field(
        default=_HEDGE.after,
        description="How long the first has shown nothing; p95: longer than in 95 of 100 requests.",
        json_schema_extra={"default": "p95"},
    )
    floor: Limit = Field(default=_HEDGE.floor, description="With p95: not before that.")
    share: float = Field(
        default=_HEDGE.share, description="Of the model's requests, at most.", gt=0, le=1
    )


class Overload(Section):
    """How many requests each of its deployments is given at once, and how long others wait."""

    enabled: bool = Field(
        default=False, description="true: how many a deployment takes at once is learned."
    )
    start: int = Field(
        default=model.Overload().start, description="So many, until more is known.", ge=1
    )
    least: int = Field(default=model.Overload().least, description="Never fewer.", ge=1)
    most: int = Field(default=model.Overload().most, description="Never more.", ge=1)
    queue: Duration = Field(
        default=0.0, description="How long a request waits for a place; 0: it does not."
    )
    depth: int = Field(
        default=model.Overload().depth, description="Requests that wait at once.", ge=1
    )


Texts = dict[str, Annotated[list[str], BeforeValidator(some)]]


class Shadow(Section):
    """Requests that are sent to another model too, after they were answered."""

    model: str | None = Field(
        default=None, description="The other model; null: none.", min_length=1
    )
    share: float = Field(default=0.01, description="How many of them, at random.", ge=0, le=1)


class When(Section):
    """What a request has to be like; all that is said has to be so."""

    keys: Annotated[list[str], BeforeValidator(some)] = Field(
        default_factory=list, description="Names of virtual keys: one of these."
    )
    teams: Annotated[list[str], BeforeValidator(some)] = Field(
        default_factory=list, description="Teams of virtual keys: one of these."
    )
    metadata: Texts = Field(
        default_factory=dict,
        description="Names in its metadata, or in the header x-headrace-metadata, to their values: one of these each.",
    )
    headers: Texts = Field(
        default_factory=dict, description="Names of headers to their values: one of these each."
    )
    min_tokens: int = Field(default=0, description="Of its prompt, about.", ge=0)
    max_tokens: int = Field(default=0, description="Of its prompt, about; 0: any.", ge=0)
    tools: bool | None = Field(default=None, description="It offers tools, or it does not.")
    images: bool | None = Field(default=None, description="It has images, or it does not.")
    stream: bool | None = Field(default=None, description="It wants a stream, or it does not.")


class Rule(Section):
    """Requests that go to another model."""

    use: str = Field(description="The model they go to.", min_length=1)
    when: When = section(When)
    share: float = Field(default=1.0, description="How many of them, at random.", ge=0, le=1)


Modality = Literal["text", "image", "audio", "video", "file"]


class Capabilities(Section):
    """What clients are told of a model, in the list of models. Nothing is decided by it."""

    context: MaxTokens = Field(
        default=None,
        description="Tokens of a prompt and its answer; null: as max_context, else as the price list has it.",
    )
    max_output: MaxTokens = Field(default=None, description="Tokens of an answer.")
    input: Annotated[list[Modality], BeforeValidator(some)] = Field(
        default_factory=list, description="What it takes: text, image, audio, video, file."
    )
    output: Annotated[list[Modality], BeforeValidator(some)] = Field(
        default_factory=list, description="What it gives: the same."
    )
    tools: bool | None = Field(default=None, description="It calls tools.")
    reasoning: bool | None = Field(default=None, description="It thinks before it answers.")
    structured: bool | None = Field(default=None, description="It answers as a schema wants it.")


class Model(Section):
    """A name clients ask for."""

    aliases: Names = Field(default_factory=list, description="Further names for it.")
    strategy: Strategy | None = Field(default=None, description="As in defaults.")
    performance: Performance = section(Performance)
    models: Names = Field(
        default_factory=list,
        description="Models whose deployments serve it too: the strategy chooses among all of them.",
    )
    fallbacks: Names = Field(
        default_factory=list, description="Models to try when all its deployments failed."
    )
    fallbacks_context: Names = Field(
        default_factory=list, description="Models to try when the prompt is too long for it."
    )
    fallbacks_content: Names = Field(
        default_factory=list, description="Models to try when its content filter refused."
    )
    hedge: Hedge = section(Hedge, "A second attempt beside a slow first one.")
    force_usage: bool | None = Field(default=None, description="As in defaults.")
    max_tokens: MaxTokens = Field(default=None, description="As in defaults.")
    strict: bool = Field(
        default=False, description="true: what a translation would leave out is an error instead."
    )
    continuation: Ladder = Field(
        default_factory=list,
        description="How a stream that breaks off goes on elsewhere, tried in order: match, anchor, prefill; or none.",
    )
    rules: list[Rule] = Field(
        default_factory=list,
        description="Which other model a request is for, by what it is like: the first that holds.",
    )
    preferences: bool = Field(
        default=False,
        description="true: a client may say which deployments, in which order, and what after them.",
    )
    echo_alias: bool = Field(
        default=False,
        description="true: answers name the model as the client did, not as its provider does.",
    )
    shadow: Shadow = section(Shadow, "Requests that are sent to another model too.")
    overload: Overload = section(Overload, "How many requests its deployments are given at once.")
    cache: ModelCache = section(ModelCache, "Answers that are kept and given again.")
    coalesce: Coalesce = section(Coalesce, "Equal requests that wait for one answer.")
    type: Annotated[ModelType | None, BeforeValidator(lower)] = Field(
        default=None,
        description="What it is for: chat, completion, embedding, image, audio or rerank.",
    )
    description: str | None = Field(default=None, description="For people.", max_length=2000)
    capabilities: Capabilities = section(Capabilities, "What clients are told of it.")
    rpm: LimitOf = Field(default=None, description="Requests a minute.")
    tpm: LimitOf = Field(default=None, description="Tokens a minute.")
    concurrency: LimitOf = Field(default=None, description="Requests at once.")
    timeouts: Timeouts = section(Timeouts)
    retry: Retry = section(Retry)
    param_defaults: Params = Field(default_factory=dict, description="As in defaults.")
    param_overrides: Params = Field(default_factory=dict, description="As in defaults.")
    deployments: list[Deployment] = Field(default_factory=list, description="Where it is served.")


class Key(Section):
    """A virtual key: what a client presents."""

    name: str = Field(description="Its name in logs and metrics.", min_length=1, max_length=200)
    key: Hidden = Field(description="The key itself.")
    models: Names = Field(default=["*"], description="Names, or beginnings of names followed by *.")
    routes: Annotated[Names, BeforeValidator(some)] = Field(
        default_factory=list,
        description="Routes (/v1/chat/completions) or operations (chat), or their beginnings followed by *; "
        "empty: all.",
    )
    cidrs: Annotated[list[Network], BeforeValidator(some)] = Field(
        default_factory=list, description="Networks of its clients, 10.0.0.0/8; empty: all."
    )
    enabled: bool = Field(default=True, description="false refuses it.")
    expires: Moment | None = Field(
        default=None, description="Refused from then on. UTC unless it says else."
    )
    owner: str | None = Field(default=None, description="Whose it is.", max_length=200)
    team: str | None = Field(default=None, description="Whom it is counted for.", max_length=200)
    rpm: LimitOf = Field(default=None, description="Requests a minute.")
    tpm: LimitOf = Field(default=None, description="Tokens a minute.")
    concurrency: LimitOf = Field(default=None, description="Requests at once.")
    budget: Budget | None = Field(default=None, description="What it may spend.")
    metadata: dict[str, str] = Field(
        default_factory=dict, description="For other programs; not used."
    )


class McpServer(Section):
    """A server of tools (Model Context Protocol, Streamable HTTP)."""

    enabled: bool = Field(default=True, description="false leaves it out.")
    url: str = Field(description="Where it is, with its path: https://mcp.example.com/mcp.")
    credential: Annotated[Hidden | None, BeforeValidator(blank_is_none)] = Field(
        default=None, description="What is presented there; null: nothing."
    )
    auth: OnePlace = Field(
        default="bearer",
        validate_default=True,
        description="Where that goes: bearer, header:NAME, query:NAME.",
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Sent with every request.")
    allow_private: bool = Field(default=False, description="Its address may be private or local.")
    allow_http: bool = Field(default=False, description="Its address may be public and plain http.")
    idle: Limit = Field(default=3600.0, description="How long a stream may say nothing.")


class Cache(Section):
    """Room for answers that are kept, in each worker."""

    size: Size = Field(default=model.CacheRoom().size, description="For all of them.")
    entry: Size = Field(default=model.CacheRoom().entry, description="For one of them, at most.")
    header: bool = Field(
        default=False,
        description="true: clients may ask for it, with x-headrace-cache and x-headrace-coalesce.",
    )


class Config(Section):
    """Headrace configuration."""

    server: Server = section(Server, "The listener for clients.")
    admin: Admin = section(Admin, "The listener for operators.")
    store: Store = section(Store, "The database.")
    secrets: Secrets = section(Secrets, "What secrets in the database are sealed with.")
    auth: Auth = section(Auth, "Which requests need a virtual key.")
    defaults: Defaults = section(Defaults, "What applies where nothing else is said.")
    health: Health = section(Health, "When deployments are taken out.")
    logging: Logging = section(Logging, "Where log lines go.")
    tracing: Tracing = section(Tracing, "Spans of requests, for OpenTelemetry.")
    limits: Limits = section(Limits, "What all clients together may take.")
    teams: Teams = section(Teams, "What teams may take.")
    prices: Prices = section(Prices, "What providers charge, where it is not known or not so.")
    ledger: Ledger = section(Ledger, "How what was used is written down.")
    shared: Shared = section(Shared, "Limits that several hosts hold together.")
    cache: Cache = section(Cache, "Room for answers that are kept and given again.")
    hooks: list[Hook] = Field(
        default_factory=list, description="Code of the installation's own, in order."
    )
    providers: dict[str, Provider] = Field(default_factory=dict, description="Vendor accounts.")
    models: dict[str, Model] = Field(default_factory=dict, description="Names clients ask for.")
    mcp: dict[str, McpServer] = Field(
        default_factory=dict, description="Servers of tools, each at /mcp/NAME."
    )
    keys: list[Key] = Field(default_factory=list, description="Virtual keys.")

    @property
    def ledger_path(self) -> str:
        """The folder of what waits for the database; empty where there is none to wait for."""
        if not self.store.url:
            return ""
        if self.ledger.path is not None:
            return self.ledger.path.strip()
        file = self.store.file
        return "data/ledger" if file is None else str(file.with_name("ledger"))
