"""Every metric Headrace has, declared once, and what a request binds of them.

An exchange asks once for its `Bundle`, a try at a provider for its `Attempts`; both are kept, so the cost is one
lookup in a dict, and what follows are additions to plain numbers. Labels come from closed sets: routes and reasons
are ours, models, providers and targets are the configured names (`Metrics.allow`), and any other name is `other`.
Never a key, a user, a URL or a provider's message.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable

from msgspec import Struct

from proxy.core import log
from proxy.core.process import watch_process
from proxy.core.series import OTHER, Counter, Registry, Rule

TTFT = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 60)
OVERHEAD = (50e-6, 100e-6, 250e-6, 500e-6, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
DISTANCE = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
DURATION = (*(round(0.01 * 2**n, 2) for n in range(14)), 300)
INTER_TOKEN = (0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
MAX_GAP = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60)
CONNECT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
LAG = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
HOOK = (50e-6, 250e-6, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
BYTES = tuple(4**n for n in range(4, 14))
SYNC = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SCOPES = ("key", "team", "model", "deployment", "credential", "global")
"""What has limits."""

# More kinds of exchange than any configuration makes; only a route that is no template could get here.
_MAX_BUNDLES = 20_000


class Tokens(Struct, frozen=True):
    """The token counters of one (model, provider, source), disjoint as `Usage` is, but for one overlap:
    `reasoning` is a part of `output`."""

    input: Counter
    cached_input: Counter
    cache_write: Counter
    output: Counter
    reasoning: Counter


class Bundle:
    """What one kind of exchange counts: same route, model, provider and mode."""

    __slots__ = (
        "_costs",
        "_durations",
        "_inter_tokens",
        "_labels",
        "_max_gaps",
        "_metrics",
        "_overheads",
        "_request_bytes",
        "_requests",
        "_response_bytes",
        "_terminations",
        "_tokens",
        "_ttfts",
        "inflight",
    )

    def __init__(
        self, metrics: Metrics, route: str, model: str, provider: str, stream: str
    ) -> None:
        self._metrics = metrics
        self._labels = route, model, provider, stream
        self._requests: dict[int | str, Counter] = {}
        self._terminations: dict[str, Counter] = {}
        self._tokens: dict[str, Tokens] = {}
        self._costs: dict[bool, Counter] = {}
        self._durations = metrics.request_duration.child(route, model, provider, stream)
        self._ttfts = metrics.ttft.child(model, provider)
        self._overheads = metrics.overhead.child(route, stream)
        self._request_bytes = metrics.request_body_bytes.child(route)
        self._response_bytes = metrics.response_body_bytes.child(route)
        self._inter_tokens = metrics.inter_token.child(model, provider)
        self._max_gaps = metrics.stream_max_gap.child(model, provider)
        self.inflight = metrics.inflight.child(route, stream)

    def requests(self, status: int | str) -> Counter:
        """Finished requests with this HTTP status, or one of `499`, `200_truncated`."""
        counter = self._requests.get(status)
        return self._requests_of(status) if counter is None else counter

    def _requests_of(self, status: int | str) -> Counter:
        route, model, provider, stream = self._labels
        # A provider may answer with any number of three digits; those without a meaning share a series.
        known = not isinstance(status, int) or 100 <= status <= 599
        text = str(status) if known else OTHER
        counter = self._metrics.requests.child(route, model, provider, text, stream)
        if known and len(self._requests) < 600:
            self._requests[status] = counter
        return counter

    def finish(
        self,
        status: int | str,
        duration: float,
        *,
        ttft: float | None = None,
        overhead: float | None = None,
        request_bytes: int = 0,
        response_bytes: int = 0,
    ) -> None:
        """The exchange is over. Times in seconds; None for what did not happen."""
        self.requests(status).value += 1
        self._durations.observe(duration)
        if ttft is not None:
            self._ttfts.observe(ttft)
        if overhead is not None:
            self._overheads.observe(overhead)
        self._request_bytes.observe(request_bytes)
        self._response_bytes.observe(response_bytes)

    def finish_stream(
        self, reason: str, *, max_gap: float | None = None, inter_token: float | None = None
    ) -> None:
        """How the stream ended; its longest silence and the mean time between two tokens, if it had two."""
        counter = self._terminations.get(reason)
        if counter is None:
            _, model, provider, _ = self._labels
            counter = self._metrics.stream_terminations.child(model, provider, reason)
            self._terminations[reason] = counter
        counter.value += 1
        if max_gap is not None:
            self._max_gaps.observe(max_gap)
        if inter_token is not None:
            self._inter_tokens.observe(inter_token)

    def count_tokens(
        self,
        input: int,
        output: int,
        *,
        cached_input: int = 0,
        cache_write: int = 0,
        reasoning: int = 0,
        estimated: bool = False,
    ) -> None:
        """Add what one answer used."""
        source = "estimated" if estimated else "reported"
        tokens = self._tokens.get(source)
        if tokens is None:
            tokens = self._tokens[source] = self._tokens_of(source)
        tokens.input.value += input
        tokens.output.value += output
        if cached_input:
            tokens.cached_input.value += cached_input
        if cache_write:
            tokens.cache_write.value += cache_write
        if reasoning:
            tokens.reasoning.value += reasoning

    def count_cost(self, micro: int, *, estimated: bool = False) -> None:
        """Add what one answer was charged with, in micro-dollars."""
        counter = self._costs.get(estimated)
        if counter is None:
            _, model, provider, _ = self._labels
            source = "estimated" if estimated else "reported"
            counter = self._costs[estimated] = self._metrics.cost.child(model, provider, source)
        counter.value += micro / 1e6

    def _tokens_of(self, source: str) -> Tokens:
        _, model, provider, _ = self._labels
        child = self._metrics.tokens.child
        return Tokens(*(child(model, provider, kind, source) for kind in Tokens.__struct_fields__))


class Attempts:
    """What the tries at one deployment count."""

    __slots__ = ("_labels", "_metrics", "_names", "ttft")

    def __init__(self, metrics: Metrics, model: str, target: str, provider: str) -> None:
        self._metrics = metrics
        self._labels = model, target
        self._names = model, provider
        self.ttft = metrics.upstream_ttft.child(model, target)

    def count(self, outcome: str, reason: str = "") -> None:
        """One try is over: `ok`, `retry`, `switch`, `fallback`, `final_error`, `hedged` or `cancelled`, and why.

        The three that lead to another try are counted a second time, by provider, as retries, failovers and
        fallbacks.
        """
        self._metrics.upstream_attempts.child(*self._labels, outcome, reason).value += 1
        onward = self._metrics.onward.get(outcome)
        if onward is not None:
            onward.child(*self._names, reason).value += 1


class Metrics:
    """All families of one worker, and the names that may become labels."""

    def __init__(self, worker: str = "0", *, version: str = "", aiohttp: str = "") -> None:
        registry = self.registry = Registry()
        counter, gauge, histogram = registry.counter, registry.gauge, registry.histogram
        self._models: frozenset[str] = frozenset()
        self._providers: frozenset[str] = frozenset()
        self._targets: frozenset[str] = frozenset()
        self._bundles: dict[tuple[str, str, str, bool], Bundle] = {}
        self._attempts: dict[tuple[str, str, str], Attempts] = {}

        # --- requests ------------------------------------------------------------------------------------
        self.requests = counter(
            "headrace_requests_total",
            "Client requests that are over.",
            ("route", "model", "provider", "status", "stream"),
        )
        self.request_duration = histogram(
            "headrace_request_duration_seconds",
            "First byte of the request read to last byte of the answer written.",
            DURATION,
            ("route", "model", "provider", "stream"),
        )
        self.ttft = histogram(
            "headrace_ttft_seconds",
            "Request received to first content written to the client.",
            TTFT,
            ("model", "provider"),
        )
        self.overhead = histogram(
            "headrace_overhead_seconds",
            "Time of a request not spent waiting for a provider.",
            OVERHEAD,
            ("route", "stream"),
        )
        self.inflight = gauge(
            "headrace_inflight_requests", "Client requests being served.", ("route", "stream")
        )
        self.request_body_bytes = histogram(
            "headrace_request_body_bytes", "Size of request bodies.", BYTES, ("route",)
        )
        self.response_body_bytes = histogram(
            "headrace_response_body_bytes", "Size of response bodies.", BYTES, ("route",)
        )
        self.auth_failures = counter(
            "headrace_auth_failures_total", "Requests refused for their key.", ("reason",), cap=64
        )
        self.bad_requests = counter(
            "headrace_bad_request_total", "Requests that could not be read.", ("reason",), cap=64
        )
        self.client_gone = counter(
            "headrace_client_gone_total", "Clients that left before the end.", ("stage",), cap=64
        )
        self.ratelimit_rejections = counter(
            "headrace_ratelimit_rejections_total",
            "Requests kept from something that is limited, and by which limit of it.",
            ("scope", "kind"),
            cap=64,
        )
        # These are there before the first of them, or no alert could see that it is one more; so are those below.
        for scope in SCOPES:
            for kind in ("budget", "blind"):
                self.ratelimit_rejections.child(scope, kind)
        self.deadline_exceeded = counter(
            "headrace_deadline_exceeded_total",
            "Requests that could not be answered within the time their client gave.",
            ("model", "stage"),
        )
        self.cache_requests = counter(
            "headrace_cache_requests_total",
            "Requests for which an answer that is kept was looked for.",
            ("result",),
            cap=8,
        )
        self.cache_bytes = gauge(
            "headrace_cache_bytes", "Bytes that answers which are kept take, about."
        )
        self.cache_entries = gauge("headrace_cache_entries", "Answers that are kept.")
        self.shadows = counter(
            "headrace_shadow_requests_total",
            "Requests that were sent to another model too, and how that ended.",
            ("model", "shadow", "outcome"),
        )
        self.shadow_distance = histogram(
            "headrace_shadow_distance",
            "How far the other model's words are from the answer: 0 the same, 1 none in common.",
            DISTANCE,
            ("model", "shadow"),
        )
        self.coalesced = counter(
            "headrace_coalesced_total", "Requests that were given the answer of another one.", cap=8
        )
        self.shed = counter(
            "headrace_shed_total", "Requests refused because of overload.", ("reason",), cap=64
        )
        for reason in ("loop_lag", "queue", "memory"):
            self.shed.child(reason)

        # --- streams and tokens --------------------------------------------------------------------------
        self.stream_terminations = counter(
            "headrace_stream_terminations_total",
            "How streams ended.",
            ("model", "provider", "reason"),
        )
        self.stream_max_gap = histogram(
            "headrace_stream_max_gap_seconds",
            "Longest silence of a stream, after its first content.",
            MAX_GAP,
            ("model", "provider"),
        )
        self.inter_token = histogram(
            "headrace_inter_token_seconds",
            "Mean time between two tokens of a stream.",
            INTER_TOKEN,
            ("model", "provider"),
        )
        self.malformed_chunks = counter(
            "headrace_malformed_chunks_total",
            "Stream events that were not what the dialect sends.",
            ("provider", "reason"),
        )
        self.continuations = counter(
            "headrace_continuations_total",
            "Tries to go on with a stream that broke off, by the way it was tried.",
            ("model", "rung", "outcome"),
        )
        self.translation_dropped = counter(
            "headrace_translation_dropped_total",
            "Features a request or answer had and the other dialect has not, once an exchange.",
            ("from", "to", "field"),
        )
        self.empty_responses = counter(
            "headrace_empty_responses_total",
            "Successful answers without content or without usage.",
            ("provider", "reason"),
        )
        self.odd_usage = counter(
            "headrace_odd_usage_total",
            "Answers whose usage, as their provider reports it, cannot be true, or not all of it.",
            ("provider", "reason"),
        )
        self.cost = counter(
            "headrace_cost_usd_total",
            "US dollars charged to clients.",
            ("model", "provider", "source"),
        )
        self.wasted_cost = counter(
            "headrace_wasted_cost_usd_total",
            "US dollars a provider probably charges for what no client was charged for.",
            ("model", "provider", "reason"),
        )
        self.tokens = counter(
            "headrace_tokens_total",
            "Tokens used; reasoning is a part of output, the others are disjoint.",
            ("model", "provider", "type", "source"),
        )

        # --- providers -----------------------------------------------------------------------------------
        self.upstream_attempts = counter(
            "headrace_upstream_attempts_total",
            "Tries at a deployment, and what came of them.",
            ("model", "target", "outcome", "reason"),
        )
        self.upstream_ttft = histogram(
            "headrace_upstream_ttft_seconds",
            "Request sent to a deployment to first content received from it.",
            TTFT,
            ("model", "target"),
        )
        self.retries = counter(
            "headrace_retries_total",
            "Tries repeated at the same deployment.",
            ("model", "provider", "reason"),
        )
        self.failovers = counter(
            "headrace_failovers_total",
            "Tries moved to another deployment of the same model.",
            ("model", "provider", "reason"),
        )
        self.fallbacks = counter(
            "headrace_fallbacks_total",
            "Requests moved to another model.",
            ("model", "provider", "reason"),
        )
        self.onward = {
            "retry": self.retries,
            "switch": self.failovers,
            "fallback": self.fallbacks,
        }
        self.hedges = counter(
            "headrace_hedges_total",
            "Second attempts beside slow first ones, and what came of them.",
            ("model", "outcome"),
        )
        self.hedges_suppressed = counter(
            "headrace_hedges_suppressed_total",
            "First attempts that were slow and had no second beside them, and why.",
            ("model", "reason"),
        )
        self.hook_calls = counter(
            "headrace_hook_calls_total",
            "Calls of the installation's own code, and what came of them.",
            ("hook", "point", "outcome"),
            cap=1000,
        )
        self.hook_seconds = histogram(
            "headrace_hook_seconds",
            "How long such a call took.",
            HOOK,
            ("hook", "point"),
            cap=200,
        )
        self.target_inflight = gauge(
            "headrace_target_inflight", "Requests a deployment is working on.", ("target",)
        )
        self.target_health = gauge(
            "headrace_target_health",
            "1 healthy, 0.5 degraded, 0 unhealthy; the worst any worker sees.",
            ("target",),
            rule=Rule.MIN,
        )
        self.circuit_state = gauge(
            "headrace_circuit_state",
            "0 closed, 1 half-open, 2 open; the worst any worker sees.",
            ("target",),
            rule=Rule.MAX,
        )
        self.circuit_opened = counter(
            "headrace_circuit_opened_total",
            "How often a deployment was taken out, each time counted by the worker that did it.",
            ("target",),
        )
        self.host_outages = counter(
            "headrace_host_outages_total",
            "How often all that is served at one address was taken out together, or stayed out.",
        )
        self.health_checks = counter(
            "headrace_health_checks_total",
            "Deployments asked how they are, while no client asked them, and what came of it.",
            ("target", "outcome"),
        )
        self.health_check_seconds = histogram(
            "headrace_health_check_seconds",
            "How long a provider took for a health check.",
            TTFT,
            ("provider",),
        )
        self.provider_keys = gauge(
            "headrace_provider_keys",
            "Credentials of a provider by state; the mean of all workers.",
            ("provider", "state"),
            rule=Rule.MEAN,
        )
        self.upstream_connections = gauge(
            "headrace_upstream_connections",
            "Open connections to a provider.",
            ("provider", "state"),
        )
        self.upstream_connections_opened = counter(
            "headrace_upstream_connections_opened_total",
            "Connections opened to a provider.",
            ("provider", "reason"),
        )
        self.upstream_connect = histogram(
            "headrace_upstream_connect_seconds",
            "Time to open a connection, name lookup and TLS included.",
            CONNECT,
            ("provider",),
        )

        # --- limits and the ledger -----------------------------------------------------------------------
        self.quota_used = gauge(
            "headrace_quota_used_ratio",
            "How much of its quota a deployment or credential has used, as this worker's host knows.",
            ("target", "kind"),
            rule=Rule.MAX,
        )
        self.quota_reset = gauge(
            "headrace_quota_reset_timestamp_seconds",
            "Unix time at which the quota of a deployment or credential begins anew.",
            ("target",),
            rule=Rule.MAX,
        )
        self.budget_used = gauge(
            "headrace_budget_used_ratio",
            "How much is used of that budget of a scope of which most is.",
            ("scope",),
            rule=Rule.MAX,
            cap=8,
        )
        self.spool_records = counter(
            "headrace_spool_records_total",
            "Records of requests, written to the disk or, for want of room, dropped.",
            ("state",),
            cap=2,
        )
        self.spool_bytes = counter(
            "headrace_spool_bytes_total", "Bytes of records written to the disk."
        )
        self.spool_full = gauge(
            "headrace_spool_full",
            "1 while there is no room for more records, of any worker.",
            rule=Rule.MAX,
        )

        # --- configuration -------------------------------------------------------------------------------
        # Absent until whoever has a database, or a server of shared limits, says how that is: a 0 would be an alert.
        self.store_up = gauge(
            "headrace_store_up",
            "1 while the database answers, 0 while it does not; the worst any worker sees.",
            rule=Rule.MIN,
        )
        self.store_up.watch(tuple)
        self.leader = gauge(
            "headrace_leader",
            "1 on the host that looks at what nobody uses, for all hosts of its database.",
            rule=Rule.MAX,
        )
        self.config_revision = gauge(
            "headrace_config_revision",
            "Revision of the database that is served.",
            ("worker",),
            rule=Rule.MAX,
        ).child(worker)
        self.config_age = gauge(
            "headrace_config_age_seconds",
            "Time since the database confirmed what is served; the worst any worker sees.",
            rule=Rule.MAX,
        )
        self.config_age.watch(tuple)
        self.config_reloads = counter(
            "headrace_config_reloads_total",
            "Configuration files read again, and whether they were taken.",
            ("outcome",),
            cap=4,
        )
        for outcome in ("applied", "rejected"):
            self.config_reloads.child(outcome)
        self.sync = histogram(
            "headrace_sync_seconds",
            "Change in the database noticed to change served.",
            SYNC,
        )

        # --- limits shared by hosts ----------------------------------------------------------------------
        self.shared_up = gauge(
            "headrace_shared_up",
            "1 while the server of shared limits answers, 0 while it does not; the worst any worker sees.",
            rule=Rule.MIN,
        )
        self.shared_up.watch(tuple)
        self.shared_operations = counter(
            "headrace_shared_operations_total",
            "What the server of shared limits was asked, and what came of it.",
            ("outcome",),
            cap=8,
        )

        # --- this process --------------------------------------------------------------------------------
        self.loop_lag = histogram(
            "headrace_event_loop_lag_seconds",
            "How late the event loop woke a timer.",
            LAG,
            ("worker",),
        ).child(worker)
        self.config_version = gauge(
            "headrace_config_version",
            "Version of the configuration in use.",
            ("worker",),
            rule=Rule.MAX,
        ).child(worker)
        self.worker_up = gauge(
            "headrace_worker_up", "1 while the worker serves, 0 while it drains.", ("worker",)
        ).child(worker)
        self.clients = gauge(
            "headrace_client_connections", "Client connections that are open.", ("worker",)
        )
        self.clients_most = gauge(
            "headrace_client_connections_limit",
            "Client connections there may be: `server.max_connections`, or what open files allow.",
            ("worker",),
            rule=Rule.MIN,
        )
        self.tls_handshakes = counter(
            "headrace_tls_handshakes_total",
            "Handshakes of clients that are over, by listener and how they ended.",
            ("listener", "result"),
            cap=32,
        )
        self.tls_expiry = gauge(
            "headrace_tls_certificate_expiry_timestamp_seconds",
            "Unix time at which the certificate of a listener ends; the earliest that a worker shows.",
            ("listener",),
            rule=Rule.MIN,
        )
        self.pauses = counter(
            "headrace_accept_pauses_total",
            "Times at which no more clients were taken in: who comes waits in the kernel's queue.",
        )
        self.memory_used = gauge(
            "headrace_memory_used_bytes",
            "Memory used, as far as its limit counts it.",
            ("worker",),
        )
        self.memory_limit = gauge(
            "headrace_memory_limit_bytes",
            "Memory there may be: the container's, or this worker's part of `server.memory_limit`.",
            ("worker",),
            rule=Rule.MIN,
        )
        self.spans = counter(
            "headrace_spans_total",
            "Spans: sent, not taken by the collector, or dropped for want of room.",
            ("outcome",),
            cap=4,
        )
        counter("headrace_log_dropped_total", "Log lines lost, the sink being blocked.").watch(
            lambda: [((), log.dropped())]
        )
        counter(
            "headrace_series_overflow_total",
            "Label sets counted as `other`, the family being full; 0 when all is well.",
            ("family",),
        ).watch(registry.overflows)
        gauge(
            "headrace_build_info",
            "Always 1; the labels say what is running.",
            ("version", "python", "aiohttp"),
            rule=Rule.MAX,
        ).child(version, platform.python_version(), aiohttp).set(1)
        watch_process(registry, f"worker-{worker}")

    def allow(
        self, models: Iterable[str], providers: Iterable[str], targets: Iterable[str]
    ) -> None:
        """The configured names: only these become labels from now on. Series that exist stay."""
        self._models = frozenset(models)
        self._providers = frozenset(providers)
        self._targets = frozenset(targets)
        self._bundles.clear()
        self._attempts.clear()

    def exchange(self, route: str, model: str, provider: str, stream: bool) -> Bundle:
        """What an exchange of this kind counts. Empty names: not known, not chosen (yet)."""
        bundle = self._bundles.get((route, model, provider, stream))
        return self._bundle(route, model, provider, stream) if bundle is None else bundle

    def _bundle(self, route: str, model: str, provider: str, stream: bool) -> Bundle:
        # Kept under the closed names only: a stranger's names may not fill this dict either.
        model = _closed(model, self._models)
        provider = _closed(provider, self._providers)
        key = route, model, provider, stream
        bundle = self._bundles.get(key)
        if bundle is None:
            if len(self._bundles) >= _MAX_BUNDLES:
                self._bundles.clear()
            mode = "true" if stream else "false"
            bundle = self._bundles[key] = Bundle(self, route, model, provider, mode)
        return bundle

    def attempts(self, model: str, target: str, provider: str) -> Attempts:
        """What tries at the deployment `target` count."""
        found = self._attempts.get((model, target, provider))
        if found is None:
            key = (
                _closed(model, self._models),
                _closed(target, self._targets),
                _closed(provider, self._providers),
            )
            found = self._attempts.get(key)
            if found is None:
                found = self._attempts[key] = Attempts(self, *key)
        return found


def _closed(name: str, names: frozenset[str]) -> str:
    return name if not name or name in names else OTHER
