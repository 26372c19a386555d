"""What a worker knows about providers, models and keys: plain values, compiled once, never changed.

Configuration is compiled into these records; the data plane reads them and nothing else. A change of
configuration makes a new `Snapshot` and swaps one pointer, so a running request keeps the one it began with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from msgspec import Struct, field

from proxy.core import jsonpath
from proxy.core.secret import Secret
from proxy.core.url import masked
from proxy.core.virtual_key import Pepper
from proxy.hooks.chain import Hooks

MAX_TOKENS = 4096
"""The limit of an answer where somebody has to name one and nobody does."""


class Strategy(StrEnum):
    """How one deployment is chosen among the equal ones of a tier."""

    P2C = "p2c"
    ROUND_ROBIN = "round_robin"
    WEIGHTED_ROUND_ROBIN = "weighted_round_robin"
    RANDOM = "random"
    WEIGHTED_RANDOM = "weighted_random"
    LEAST_USED = "least_used"
    LEAST_INFLIGHT = "least_inflight"
    TTFT = "ttft"
    PERFORMANCE = "performance"
    COST = "cost"
    PARETO = "pareto"
    STICKY = "sticky"
    PREFIX = "prefix"


class KeyStrategy(StrEnum):
    """Which of a provider's credentials is next, among those that may be used."""

    LEAST_USED = "least_used"
    """By weight, the one that is furthest behind."""
    ROUND_ROBIN = "round_robin"
    """In turn, whatever they weigh."""
    RANDOM = "random"
    """By weight, at random."""
    FAILOVER = "failover"
    """The first of the list, as long as it may be used."""


class Performance(Struct, frozen=True):
    """What counts for how much where `performance` chooses: how long an answer takes, how often there is none."""

    latency: float = 0.5
    success: float = 0.5


class Timeouts(Struct, frozen=True):
    """Limits of one attempt, in seconds."""

    connect: float = 5.0
    ttft: float = 60.0
    idle: float = 60.0
    event: float = 300.0
    total: float = 3600.0
    request: float = 600.0
    content: float = 600.0
    """How long comments and pings alone keep a stream alive."""


class Retry(Struct, frozen=True):
    """How often, and after what pause (seconds), one request may be tried again."""

    count: int = 2
    base: float = 0.25
    cap: float = 2.0
    max_attempts: int = 6
    retry_after_max: float = 3.0
    budget: float = 0.2


class Health(Struct, frozen=True):
    """When a deployment is taken out, and for how long (seconds); when it is checked though nobody asks for it."""

    enabled: bool = True
    max_errors: int = 5
    recover_after: int = 2
    open_base: float = 1.0
    open_max: float = 3600.0
    probe: str = "models"
    """What a check asks for: the list of `models`, one token of a `completion`, or nothing: `off`."""
    interval: float = 300.0
    """Seconds without a request after which a deployment that is well is checked."""
    mask_above: float | None = None
    """US dollars for a million tokens of an answer, from which on nobody is checked; None: no price is too high."""


class Auth(Struct, frozen=True):
    """Where a credential goes in an upstream request: `bearer`, `header`, `query`, `none`; `sigv4`: it signs; `google` and
    `entra`: it buys a token, which goes where `bearer` does."""

    scheme: str = "bearer"
    name: str = ""
    """Of the header or the parameter; the region (and, after a slash, the service) of a signature; the scope of a token."""


class Price(Struct, frozen=True):
    """What a provider charges, in US dollars for a million of each: micro-dollars for one.

    None is as the wider part it belongs to.
    """

    input: float = 0.0
    cached: float | None = None
    """Tokens read from a cache; None: as input."""
    cache_write: float | None = None
    output: float = 0.0
    reasoning: float | None = None
    """None: as output, of which it is a part."""
    audio_input: float | None = None
    audio_output: float | None = None
    image: float = 0.0
    """One image that was made, in micro-dollars."""
    second: float = 0.0
    """One second of audio, in micro-dollars."""
    character: float = 0.0
    """One character of what is read aloud."""
    request: float = 0.0
    """One request, in micro-dollars."""
    above: tuple[tuple[int, Price], ...] = ()
    """(tokens of the prompt, the prices that hold for all of the request from one more on), smallest first."""
    cache_write_1h: float | None = None
    """Tokens written to a cache that keeps them for an hour; None: as `cache_write`, of which they are a part."""


class Quota(Struct, frozen=True):
    """What may be used until a clock strikes: requests and tokens (0: no limit) between two times of a cron expression."""

    requests: int = 0
    tokens: int = 0
    cron: str = "0 0 * * *"
    """Five fields: minute, hour, day of month, month, day of week."""
    tz: str = "UTC"


class Budget(Struct, frozen=True):
    """What may be spent in a period: `day`, `week`, `month` (in `tz`), `total` for all time, or as `cron` says."""

    usd: float
    period: str = "month"
    cron: str = ""
    """Five fields, on a quarter of an hour; not empty: instead of a period."""
    tz: str = "UTC"
    strict: bool = False
    """Nothing is begun that could end beyond it; while nobody knows what was spent, nothing at all."""


class Limits(Struct, frozen=True):
    """What one subject may take; 0 and None are no limit."""

    rpm: int = 0
    """Requests a minute."""
    tpm: int = 0
    """Tokens a minute."""
    concurrency: int = 0
    """Requests at once."""
    burst: int = 0
    """Requests that may come in one instant; 0: a tenth of `rpm`, at least one."""
    budget: Budget | None = None


class Credential(Struct, frozen=True):
    """What we present to a provider. `id` is safe to print: `<provider>#<position>`."""

    id: str
    secret: Secret
    weight: int = 1
    limits: Limits | None = None
    quota: Quota | None = None


class Create(Struct, frozen=True, eq=False):
    """The call that begins a conversation. Texts in `path`, `body` and `headers` are templates (`core.template`)."""

    path: str
    id: jsonpath.Path
    """Where the answer has the id of the conversation."""
    method: str = "POST"
    body: Any = None
    """None: nothing is sent."""
    headers: Mapping[str, str] = field(default_factory=dict)


class Done(Struct, frozen=True, eq=False):
    """What makes an event the last one."""

    path: jsonpath.Path
    equals: Any = None
    """None: anything but null, false, 0 and what is empty."""


class Conversation(Struct, frozen=True, eq=False):
    """A chat service that is asked inside a conversation, which has to be begun first."""

    create: Create
    body: Any
    """The template of the question."""
    text: tuple[jsonpath.Path, ...]
    """Where an event, or a whole answer, has its text: the first of these places that has one."""
    referer: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delta: bool = True
    """An event has the next piece of the text; False: all of it so far."""
    done: Done | None = None
    """None: `[DONE]` ends a stream."""
    done_at_end: bool = False
    """There is no such event: the end of the body is the end of the answer."""
    error: jsonpath.Path = ("error",)
    prefetch: int = 0
    """Conversations begun ahead of need, for each credential."""
    expire: float = 60.0
    """Seconds after which one of those is not used any more."""


class Fit(Struct, frozen=True, eq=False):
    """What a provider takes otherwise than the dialect has it: fields at the top level of a request's body."""

    rename: Mapping[str, str] = field(default_factory=dict)
    """The dialect's name to the provider's."""
    drop: tuple[str, ...] = ()
    clamp: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The least and the most of a number."""
    set: Mapping[str, Any] = field(default_factory=dict)


class Provider(Struct, frozen=True, eq=False):
    """A vendor account: where it is, what it speaks, how it is paid."""

    name: str
    base_url: str
    """`scheme://host[:port][/path]` without a trailing slash."""
    dialects: Mapping[str, str]
    """Dialect name to root path under `base_url`; may hold `{model}`, and `{whole|streamed}` (`core.url.variant`)."""
    credentials: tuple[Credential, ...] = ()
    auth: Mapping[str, Auth] = field(default_factory=dict)
    """Dialect family (`openai`, `anthropic`, `gemini`) to the place of the credential."""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    force_usage: bool = True
    allow_private: bool = False
    verify_tls: bool = True
    pass_deadline: bool = False
    """It takes `x-request-deadline-ms`, as we do."""
    propagate: bool = False
    """It is told the trace a request belongs to (`traceparent`, `tracestate`)."""
    proxy: str | None = None
    max_connections: int = 0
    """Connections to one host at once; 0 is no limit."""
    warm: int = 0
    """Connections that are kept open ahead of need, by each worker."""
    timeouts: Timeouts = Timeouts()
    param_defaults: Mapping[str, Any] = field(default_factory=dict)
    param_overrides: Mapping[str, Any] = field(default_factory=dict)
    conversation: Conversation | None = None
    """Behind `conversation.chat`, when that is among its dialects."""
    fields: Mapping[str, Fit] = field(default_factory=dict)
    """By dialect."""
    key_strategy: KeyStrategy = KeyStrategy.LEAST_USED
    collects: bool = True
    """It may keep what it is sent, and learn from it."""
    json_edits: bool = False
    """It takes image edits as JSON; else they are put into a form."""
    runs: bool = False
    """It runs models itself: what that costs is in no price list."""


class Deployment(Struct, frozen=True, eq=False):
    """One routable thing: a provider and the name a model has there."""

    id: str
    """`<public model>/<position>:<provider>`, unique in a snapshot; used in logs and metrics."""
    provider: Provider
    model: str
    """The upstream's name; `*` is whatever the wildcard of the public name matched."""
    priority: int = 1
    weight: int = 10
    timeouts: Timeouts = Timeouts()
    retry: Retry = Retry()
    param_defaults: Mapping[str, Any] = field(default_factory=dict)
    param_overrides: Mapping[str, Any] = field(default_factory=dict)
    """Both already merged: global < provider < deployment."""
    force_usage: bool = True
    streams: bool = True
    non_streams: bool = True
    """Whether it gives streamed and whole answers; never neither."""
    max_tokens: int = MAX_TOKENS
    """The limit sent where a dialect demands one and the client gave none."""
    prefer: tuple[str, ...] = ()
    """Dialects of its provider to translate to, the first first; the others follow as the provider lists them."""
    limits: Limits | None = None
    quota: Quota | None = None
    price: Price | None = None
    """None: unknown, which is not the same as nothing. Of a wildcard: what the configuration says for all of it."""
    health_check: str = "auto"
    """`auto`, `on` (whatever it costs), `masked` (never, and it is said so), `off` (never)."""
    prefills: bool = False
    """A request may end with the beginning of its answer, and the answer is the rest."""
    max_context: int = 0
    """Tokens that a prompt and its answer may have together; 0: nobody said."""
    window: int = 0
    """The same as the price list has it, which nothing is decided by; 0: it does not."""


class Capabilities(Struct, frozen=True):
    """What clients are told of a model. Nothing is decided by it; 0, empty and None: nobody said."""

    context: int = 0
    """Tokens of a prompt and its answer."""
    max_output: int = 0
    """Tokens of an answer."""
    input: tuple[str, ...] = ()
    """What it takes: `text`, `image`, `audio`, `video`, `file`."""
    output: tuple[str, ...] = ()
    tools: bool | None = None
    reasoning: bool | None = None
    structured: bool | None = None
    """Answers as a schema wants them."""


class Cache(Struct, frozen=True):
    """Answers of a model that are kept and given again."""

    ttl: float
    """Seconds."""
    requests: str = "deterministic"
    """Which: `deterministic`, those that draw nothing by lot, or `all`."""
    scope: str = "key"
    """Whose requests may be the same: of one `key`, of one `team`, of `all`."""


class Coalesce(Struct, frozen=True):
    """Requests to a model that wait for one answer together."""

    requests: str = "deterministic"
    """As of `Cache`."""
    scope: str = "key"
    """As of `Cache`."""
    bill: str = "leader"
    """Who is charged: the `leader`, who asked first, or `all`."""


class Hedge(Struct, frozen=True):
    """When a second attempt is begun beside a first one that has shown no content. Times in seconds."""

    after: float = 0.0
    """0: what the deployment stays below in 95 of 100 requests, lately."""
    floor: float = 1.0
    """Not before that."""
    share: float = 0.05
    """Of the model's requests, at most."""


class Overload(Struct, frozen=True):
    """How many requests each deployment of a model is given at once, and how long others wait."""

    start: int = 32
    """Requests at once, until more is known."""
    least: int = 2
    most: int = 1000
    queue: float = 0.0
    """Seconds a request waits for a place; 0: it does not."""
    depth: int = 100
    """Requests that wait at once, at most; of each worker."""


class Shadow(Struct, frozen=True):
    """Requests of a model that are sent to another one too, after they were answered."""

    model: str
    share: float
    """Of its requests, at random."""


class When(Struct, frozen=True):
    """What a request has to be like; all that is said has to be so."""

    keys: tuple[str, ...] = ()
    """Names of virtual keys."""
    teams: tuple[str, ...] = ()
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What its client says of it: one of these."""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """In lower case, to one of these values."""
    min_tokens: int = 0
    """Of its prompt, about."""
    max_tokens: int = 0
    """0: any number."""
    tools: bool | None = None
    images: bool | None = None
    stream: bool | None = None


class Rule(Struct, frozen=True):
    """Requests that go to another model."""

    use: str
    """Its name."""
    when: When = When()
    share: float = 1.0
    """Of those that are so, at random."""


class Model(Struct, frozen=True, eq=False):
    """A public name clients ask for. `tiers` are sorted, the smallest priority first."""

    name: str
    tiers: tuple[tuple[Deployment, ...], ...]
    strategy: Strategy = Strategy.P2C
    fallbacks: tuple[str, ...] = ()
    fallbacks_context: tuple[str, ...] = ()
    fallbacks_content: tuple[str, ...] = ()
    retry: Retry = Retry()
    strict: bool = False
    """What a translation would leave out is an error instead."""
    type: str = ""
    """What it is for: `chat`, `completion`, `embedding`, `image`, `audio`, `rerank`; empty: nobody said."""
    description: str = ""
    capabilities: Capabilities = Capabilities()
    limits: Limits | None = None
    hedge: Hedge | None = None
    continuation: tuple[str, ...] = ()
    """Ways to go on elsewhere with a stream that broke off, the first first: `match`, `anchor`, `prefill`."""
    performance: Performance = Performance()
    """For the strategy of that name."""

    @property
    def own(self) -> Iterator[Deployment]:
        """Its deployments, without those that it uses of other models."""
        mine = f"{self.name}/"
        return (one for tier in self.tiers for one in tier if one.id.startswith(mine))

    cache: Cache | None = None
    coalesce: Coalesce | None = None
    rules: tuple[Rule, ...] = ()
    """The first that holds says which model a request is for."""
    overload: Overload | None = None
    """None: its deployments are given all there is."""
    shadow: Shadow | None = None
    preferences: bool = False
    """A client may say which of its deployments, in which order, and what after them."""
    private: bool = False
    """As a request is to see it whose client wants it sent to nobody who keeps it: neither by this model nor by its fallbacks."""
    echo_alias: bool = False
    """Answers name the model as the client did, not as its provider does."""


class VirtualKey(Struct, frozen=True, eq=False, gc=False):
    """What a client presents to us. Only a digest of the key is kept (`core.virtual_key`).

    `gc=False`: nothing it holds leads back to it, and there may be a hundred thousand.
    """

    name: str
    digest: bytes
    models: tuple[str, ...] = ("*",)
    """Names or patterns with one trailing `*`."""
    enabled: bool = True
    expires: float | None = None
    """Unix time. While a key is rotated it has two digests, and the old one expires on its own."""
    id: str = ""
    """Of the store's record, as text; of a key in the file, its name."""
    routes: tuple[str, ...] = ()
    """Canonical routes (`/v1/chat/completions`) or operations (`chat`), or patterns of either with one trailing `*`;
    empty: all."""
    cidrs: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks its clients are in; empty: all."""
    owner: str = ""
    team: str = ""
    rpm: int = 0
    """Requests a minute; this and the other limits: 0 is none."""
    tpm: int = 0
    """Tokens a minute."""
    concurrency: int = 0
    """Requests at once."""
    budget: Budget | None = None


class Ops(Struct, frozen=True):
    """The listener of the supervisor: health and metrics of the whole instance, answered without any worker."""

    host: str = "127.0.0.1"
    port: int | None = None
    """None: there is none. 0 takes a free one."""


class TLS(Struct, frozen=True):
    """What a listener shows its clients. Paths are of files in PEM."""

    certificate: str
    """With those that lead to an authority behind it."""
    key: str
    min_version: str = "1.2"
    """`1.2` or `1.3`."""
    client_ca: str | None = None
    """Authorities of clients' certificates; None: clients need none."""


class Server(Struct, frozen=True):
    """The API listener."""

    host: str = "0.0.0.0"  # noqa: S104 - a server listens
    port: int = 8000
    workers: int = 1
    drain: float = 600.0
    drain_delay: float | None = None
    """Seconds between a stop signal and the moment from which nobody is taken in any more; None: 5 in Kubernetes, else 0."""
    watchdog: float = 30.0
    """Seconds without a sign of life after which a worker is killed; 0: never."""
    ops: Ops = Ops()
    max_body: int = 32 * 1024 * 1024
    metrics: bool = True
    """Serve `/metrics` on the API port too."""
    timing: bool = False
    """Send `Server-Timing` and `x-headrace-overhead-ms` on every answer, not only when asked."""
    head_timeout: float = 10.0
    body_idle_timeout: float = 30.0
    body_timeout: float = 120.0
    keepalive: float = 75.0
    write_timeout: float = 60.0
    max_connections: int = 0
    """Clients connected to each worker at once; 0: as many as descriptors allow."""
    memory_limit: int | None = None
    """Bytes, of all workers together; None: the container's, if it has one."""
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Balancers that are believed whom a request is from, by `X-Forwarded-For`."""
    name: str = "headrace"
    """What this installation calls itself: to whoever asks what is here, and in traces."""
    tls: TLS | None = None
    """None: it speaks plain HTTP."""


class Admin(Struct, frozen=True):
    """The admin listener. Without a token, a password or `anonymous` it is bound to loopback."""

    host: str = "127.0.0.1"
    port: int = 8001
    token: Secret | None = None
    username: str = "admin"
    password: Secret | None = None
    """As it is, or its Argon2 hash: `$argon2id$…`."""
    anonymous: bool = False
    """Who presents nothing may do everything. Only on loopback."""
    origins: tuple[str, ...] = ()
    """`scheme://host[:port]`, where browsers see it behind a proxy that changes the host. Other pages may not call it."""
    tls: TLS | None = None
    """None: it speaks plain HTTP."""


class Logging(Struct, frozen=True):
    """Where log lines go. `format` is `json`, `console` or `auto` (console on a terminal)."""

    level: str = "info"
    format: str = "auto"
    requests: bool = True
    file: str | None = None
    detailed: bool = False
    """Keep what was asked and answered, in the request log of the database."""
    max_content: int = 1000
    """Characters of each that are kept."""
    sample: float = 1.0
    """Share of the lines of requests that went well; all others are written."""
    rotate: bool = False
    """A file for each day (UTC)."""
    keep: int = 14
    """Days that such files are kept; 0: for ever."""


class Tracing(Struct, frozen=True):
    """Spans of requests, sent to a collector by OTLP over HTTP. None: as the environment says (`OTEL_…`), if it does."""

    enabled: bool = False
    endpoint: str | None = None
    """`http(s)://host:port[/path]`; `/v1/traces` is added."""
    headers: Mapping[str, Secret] = field(default_factory=dict)
    """Sent with the spans, over those of the environment."""
    sample: float | None = None
    """Share of the traces that begin here."""
    follow: bool = True
    """Whether a client's `traceparent` says if its request is recorded."""
    service_name: str | None = None
    content: bool = False
    """Spans hold what was asked and answered."""
    metrics: float | None = None
    """Seconds after which what is counted is sent too; 0: it is not."""


class Ledger(Struct, frozen=True):
    """How what was used is written down. Times in seconds, sizes in bytes."""

    path: str = ""
    """Folder of the spool, of the table of limits, and of what could not be booked; empty: nothing is written."""
    size: int = 10 * 1024**3
    """Of everything that waits for the database, at most."""
    sync: float = 0.2
    """Until a record is safe from a loss of power; from a killed process it is at once."""
    on_full: str = "auto"
    """`serve` (and count what is not recorded), `refuse`, or `auto`: refuse keys with a strict budget."""
    client_gone: str = "estimate"
    """`cancel` (charge what the provider reported, if anything), `estimate` (charge what was probably used), `drain`."""
    drain_seconds: float = 30.0
    drain_tokens: int = 4096
    """How far an answer nobody waits for is read, to learn what it cost."""
    failed: str = "free"
    """A failed answer without a report: `free`, or `estimate`."""
    keep_requests: float = 30 * 86400.0
    keep_content: float = 7 * 86400.0
    keep_statistics: float = 400 * 86400.0


class CacheRoom(Struct, frozen=True):
    """Where answers are kept. Sizes in bytes, of each worker."""

    size: int = 64 * 1024**2
    """Of all of them."""
    entry: int = 1024**2
    """Of one."""
    header: bool = False
    """Clients may ask for it with a header, also where the model says nothing."""


class Shared(Struct, frozen=True):
    """Limits that several hosts hold together."""

    url: str | None = None
    """`redis://`, `rediss://`, `valkey://`, `unix://`; may hold a password: never printed."""
    prefix: str = "headrace"
    timeout: float = 0.05
    """Seconds for one operation."""

    def __repr__(self) -> str:
        url = None if self.url is None else masked(self.url)
        return f"Shared(url={url!r}, prefix={self.prefix!r}, timeout={self.timeout!r})"


class Snapshot(Struct, frozen=True, eq=False):
    """Everything compiled. Swapped whole, never changed."""

    server: Server = Server()
    admin: Admin = Admin()
    logging: Logging = Logging()
    tracing: Tracing = Tracing()
    health: Health = Health()
    providers: Mapping[str, Provider] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    """Public name, and every alias, to its model."""
    wildcards: tuple[tuple[str, Model], ...] = ()
    """(prefix, model) for each `prefix*`, longest prefix first."""
    mcp: Mapping[str, Provider] = field(default_factory=dict)
    """Servers of tools: each is spoken to as a provider is."""
    keys: Mapping[bytes, VirtualKey] = field(default_factory=dict)
    """Digest (`core.virtual_key.digest`, under one of `peppers`) to the key."""
    peppers: tuple[Pepper, ...] = ()
    """What digests are made with, the one for new keys first."""
    complete: bool = True
    """False while the store has never been read: an unknown key is then not known to be wrong."""
    revision: int = 0
    """Of the last record of the store that is in here."""
    require_auth: bool = False
    exempt: frozenset[str] = frozenset({"/", "/health", "/docs"})
    limits: Limits | None = None
    """For everything this installation serves."""
    teams: Mapping[str, Limits] = field(default_factory=dict)
    ledger: Ledger = Ledger()
    shared: Shared = Shared()
    cache: CacheRoom = CacheRoom()
    hooks: Hooks | None = None
    """Code of the installation's own; None: there is none."""
    prices: Mapping[str, Price] = field(default_factory=dict)
    """What the configuration says of a provider's name of a model, or a beginning followed by `*`."""
    price_unknown: Price | None = None
    """What is charged where no price is known; None: a key with a budget is refused."""
    owned_by: str = "headrace"
    """Whose models are, in OpenAI's list of them."""
    store_url: str = "sqlite:///data/headrace.db"

    @property
    def reached(self) -> tuple[Provider, ...]:
        """All to whom something is sent: providers, and servers of tools."""
        return (*self.providers.values(), *self.mcp.values())
