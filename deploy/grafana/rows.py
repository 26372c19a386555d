"""What is on the dashboard: a row is a name and its panels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinds import ALL, OF, RATE, heat, lines, quantile, quantiles, rate, stat, table

FAILED = 'status=~"5..|200_truncated"'
REQUESTS = "headrace_requests_total"
ATTEMPTS = "headrace_upstream_attempts_total"
IN_VAIN = 'outcome!~"ok|hedged|cancelled"'
FAILURES = f"{rate(REQUESTS, '', f'{OF},{FAILED}')} / {rate(REQUESTS, '', OF)}"
ON_TIME = f'{OF},le="2.0"'
LATE = (
    f"1 - {rate('headrace_ttft_seconds_bucket', '', ON_TIME)}"
    f" / {rate('headrace_ttft_seconds_count', '', OF)}"
)


ROWS: Mapping[str, list[dict[str, Any]]] = {
    "Now": [
        stat("Requests", "reqps", rate(REQUESTS, "", OF)),
        stat(
            "Failed",
            "percentunit",
            FAILURES,
            good=0.001,
            bad=0.01,
            text="By our or a provider's fault: 5xx, and streams that broke off.",
        ),
        stat(
            "First content, p95",
            "s",
            quantile(0.95, "headrace_ttft_seconds", "", OF),
            good=2,
            bad=5,
        ),
        stat(
            "What Headrace adds, p99",
            "s",
            quantile(0.99, "headrace_overhead_seconds"),
            good=0.01,
            bad=0.05,
            text="Time of a request that was not spent waiting for a provider.",
        ),
        stat(
            "Spent in an hour", "currencyUSD", f"sum(increase(headrace_cost_usd_total{{{OF}}}[1h]))"
        ),
        stat(
            "Deployments out",
            "none",
            f"count(min by (job, target) (headrace_target_health{{{ALL}}}) == 0) or vector(0)",
            good=1,
            bad=3,
        ),
    ],
    "Traffic": [
        lines(
            "Requests by status",
            "reqps",
            (rate(REQUESTS, "status", OF), "{{status}}"),
            stacked=True,
        ),
        lines(
            "Requests by model",
            "reqps",
            (f"topk(12, {rate(REQUESTS, 'model', OF)})", "{{model}}"),
            stacked=True,
        ),
        lines(
            "Failed requests",
            "percentunit",
            (FAILURES, "failed"),
            (
                f"{rate(REQUESTS, 'model', f'{OF},{FAILED}')} / {rate(REQUESTS, 'model', OF)}",
                "{{model}}",
            ),
        ),
        lines(
            "Requests under way",
            "none",
            (
                f"sum by (route, stream) (headrace_inflight_requests{{{ALL}}})",
                "{{route}} stream={{stream}}",
            ),
        ),
        lines(
            "How streams ended",
            "reqps",
            (rate("headrace_stream_terminations_total", "reason", OF), "{{reason}}"),
            stacked=True,
        ),
        lines(
            "Clients that left, and requests we refused",
            "reqps",
            (rate("headrace_client_gone_total", "stage"), "left, {{stage}}"),
            (rate("headrace_auth_failures_total", "reason"), "key, {{reason}}"),
            (rate("headrace_bad_request_total", "reason"), "unreadable, {{reason}}"),
            (rate("headrace_shed_total", "reason"), "too many, {{reason}}"),
            (rate("headrace_deadline_exceeded_total", "stage"), "no time, {{stage}}"),
        ),
        lines(
            "Bodies",
            "Bps",
            (rate("headrace_request_body_bytes_sum"), "requests"),
            (rate("headrace_response_body_bytes_sum"), "responses"),
        ),
        lines(
            "Answers that were there already",
            "reqps",
            (rate("headrace_cache_requests_total", "result"), "cache, {{result}}"),
            (rate("headrace_coalesced_total"), "another's, on its way"),
        ),
        lines("Kept answers", "bytes", (f"sum(headrace_cache_bytes{{{ALL}}})", "bytes")),
    ],
    "Latency and overhead": [
        lines("First content", "s", *quantiles("headrace_ttft_seconds", OF)),
        heat(
            "First content, all of it",
            "s",
            f"sum by (le) (increase(headrace_ttft_seconds_bucket{{{OF}}}{RATE}))",
        ),
        lines("First content later than 2 s", "percentunit", (LATE, "late"), most=1),
        lines("Whole requests", "s", *quantiles("headrace_request_duration_seconds", OF)),
        lines("What Headrace adds", "s", *quantiles("headrace_overhead_seconds")),
        lines(
            "Between two tokens, p95",
            "s",
            (quantile(0.95, "headrace_inter_token_seconds", "model", OF), "{{model}}"),
        ),
        lines(
            "Longest silence of a stream, p95",
            "s",
            (quantile(0.95, "headrace_stream_max_gap_seconds", "model", OF), "{{model}}"),
        ),
        lines(
            "First content by deployment, p95",
            "s",
            (
                f"topk(12, {quantile(0.95, 'headrace_upstream_ttft_seconds', 'target')})",
                "{{target}}",
            ),
        ),
        lines(
            "To open a connection, p95",
            "s",
            (quantile(0.95, "headrace_upstream_connect_seconds", "provider"), "{{provider}}"),
        ),
    ],
    "Tokens and money": [
        lines(
            "Tokens a minute",
            "none",
            (f"60 * {rate('headrace_tokens_total', 'type', OF)}", "{{type}}"),
            stacked=True,
            text="Reasoning is a part of output.",
        ),
        lines(
            "Tokens a minute by model",
            "none",
            (f"topk(12, 60 * {rate('headrace_tokens_total', 'model', OF)})", "{{model}}"),
        ),
        lines(
            "Dollars an hour by model",
            "currencyUSD",
            (f"topk(12, 3600 * {rate('headrace_cost_usd_total', 'model', OF)})", "{{model}}"),
            stacked=True,
        ),
        lines(
            "Dollars an hour by provider",
            "currencyUSD",
            (f"3600 * {rate('headrace_cost_usd_total', 'provider', OF)}", "{{provider}}"),
            stacked=True,
        ),
        lines(
            "Wasted: paid for, and charged to nobody",
            "currencyUSD",
            (f"3600 * {rate('headrace_wasted_cost_usd_total', 'reason', OF)}", "{{reason}}"),
            stacked=True,
        ),
        lines(
            "Usage that was estimated, missing or odd",
            "reqps",
            (rate("headrace_odd_usage_total", "provider, reason"), "{{provider}} {{reason}}"),
            (
                rate("headrace_empty_responses_total", "provider, reason"),
                "{{provider}} empty, {{reason}}",
            ),
        ),
    ],
    "Providers and circuits": [
        lines(
            "Attempts by what came of them",
            "reqps",
            (rate("headrace_upstream_attempts_total", "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Why attempts failed",
            "reqps",
            (rate("headrace_upstream_attempts_total", "reason", ALL + ',reason!=""'), "{{reason}}"),
            stacked=True,
        ),
        table(
            "Deployments by share of failures",
            "percentunit",
            f"sort_desc({rate(ATTEMPTS, 'target', f'{ALL},{IN_VAIN}')} / {rate(ATTEMPTS, 'target')})",
        ),
        lines(
            "Circuits",
            "none",
            (f"max by (target) (headrace_circuit_state{{{ALL}}}) > 0", "{{target}}"),
            most=2,
            text="1 half-open, 2 open; those that are closed are not shown.",
        ),
        lines(
            "Retries, failovers, fallbacks",
            "reqps",
            (rate("headrace_retries_total", "provider"), "again at {{provider}}"),
            (rate("headrace_failovers_total", "provider"), "away from {{provider}}"),
            (rate("headrace_fallbacks_total", "model"), "away from {{model}}"),
        ),
        lines(
            "Second attempts beside slow first ones",
            "reqps",
            (rate("headrace_hedges_total", "outcome"), "{{outcome}}"),
            (rate("headrace_hedges_suppressed_total", "reason"), "none: {{reason}}"),
        ),
        lines(
            "Under way, by deployment",
            "none",
            (f"topk(12, sum by (target) (headrace_target_inflight{{{ALL}}}))", "{{target}}"),
        ),
        lines(
            "Credentials",
            "none",
            (
                f"sum by (provider, state) (headrace_provider_keys{{{ALL}}})",
                "{{provider}} {{state}}",
            ),
        ),
        lines(
            "Connections",
            "none",
            (
                f"sum by (provider, state) (headrace_upstream_connections{{{ALL}}})",
                "{{provider}} {{state}}",
            ),
        ),
        lines(
            "Checks of those nobody asks",
            "reqps",
            (rate("headrace_health_checks_total", "outcome"), "{{outcome}}"),
        ),
        lines(
            "Streams that somebody else went on with",
            "reqps",
            (rate("headrace_continuations_total", "outcome"), "{{outcome}}"),
        ),
        lines(
            "Lost in translation",
            "reqps",
            (
                f"topk(12, {rate('headrace_translation_dropped_total', 'from, to, field')})",
                "{{from}} to {{to}}: {{field}}",
            ),
        ),
    ],
    "Limits": [
        lines(
            "Refused for a limit",
            "reqps",
            (rate("headrace_ratelimit_rejections_total", "scope, kind"), "{{scope}} {{kind}}"),
        ),
        lines(
            "Budgets: the one used most",
            "percentunit",
            (f"max by (scope) (headrace_budget_used_ratio{{{ALL}}})", "{{scope}}"),
        ),
        lines(
            "Quotas",
            "percentunit",
            (
                f"topk(12, max by (target, kind) (headrace_quota_used_ratio{{{ALL}}}))",
                "{{target}} {{kind}}",
            ),
        ),
        lines(
            "Asked of the server of shared limits",
            "reqps",
            (rate("headrace_shared_operations_total", "outcome"), "{{outcome}}"),
        ),
    ],
    "Workers and process": [
        lines(
            "Workers that serve",
            "none",
            (f"sum by (instance) (headrace_worker_up{{{ALL}}})", "{{instance}}"),
            (f"max by (instance) (headrace_workers{{{ALL}}})", "{{instance}}, wanted"),
        ),
        lines(
            "Processes that ended",
            "none",
            (
                f"sum by (process, reason) (increase(headrace_process_ends_total{{{ALL}}}{RATE}))",
                "{{process}} {{reason}}",
            ),
        ),
        lines(
            "How late loops are, p99",
            "s",
            (
                quantile(0.99, "headrace_event_loop_lag_seconds", "instance, worker"),
                "{{instance}} {{worker}}",
            ),
        ),
        lines(
            "Processors used",
            "none",
            (rate("process_cpu_seconds_total", "instance, process"), "{{instance}} {{process}}"),
            stacked=True,
        ),
        lines(
            "Memory",
            "bytes",
            (
                f"sum by (instance, process) (process_resident_memory_bytes{{{ALL}}})",
                "{{instance}} {{process}}",
            ),
            stacked=True,
        ),
        lines(
            "Open files",
            "percentunit",
            (
                f"max by (instance, process) (process_open_fds{{{ALL}}} / process_max_fds{{{ALL}}})",
                "{{instance}} {{process}}",
            ),
            most=1,
        ),
        lines(
            "Client connections",
            "none",
            (
                f"sum by (instance, worker) (headrace_client_connections{{{ALL}}})",
                "{{instance}} {{worker}}",
            ),
        ),
        lines(
            "Served revision",
            "none",
            (
                f"max by (instance, worker) (headrace_config_revision{{{ALL}}})",
                "{{instance}} {{worker}}",
            ),
            least=None,
        ),
        lines(
            "Lost: log lines, spans, labels",
            "none",
            (f"sum(increase(headrace_log_dropped_total{{{ALL}}}{RATE}))", "log lines"),
            (f'sum(increase(headrace_spans_total{{{ALL},outcome!="sent"}}{RATE}))', "spans"),
            (f"sum by (family) (headrace_series_overflow_total{{{ALL}}})", "labels of {{family}}"),
        ),
    ],
    "Ledger and store": [
        lines(
            "Waits for the database",
            "bytes",
            (
                f"sum by (instance, spool) (headrace_spool_backlog_bytes{{{ALL}}})",
                "{{instance}} {{spool}}",
            ),
        ),
        lines(
            "How long what is booked has waited",
            "s",
            (
                f"max by (instance, spool) (headrace_ledger_behind_seconds{{{ALL}}})",
                "{{instance}} {{spool}}",
            ),
        ),
        lines(
            "Records",
            "cps",
            (rate("headrace_spool_records_total", "state"), "{{state}}"),
            (rate("headrace_dead_letters_total"), "put aside"),
            (rate("headrace_ledger_requests_total", "state"), "requests {{state}}"),
        ),
        lines(
            "Transactions", "cps", (rate("headrace_ledger_batches_total", "outcome"), "{{outcome}}")
        ),
        lines("How long one takes", "s", *quantiles("headrace_ledger_batch_seconds")),
        lines(
            "What answers",
            "none",
            (f"min by (instance) (headrace_store_up{{{ALL}}})", "{{instance}} store"),
            (f"min by (instance) (headrace_ledger_up{{{ALL}}})", "{{instance}} ledger"),
            (f"min by (instance) (headrace_shared_up{{{ALL}}})", "{{instance}} shared limits"),
            (
                f"min by (instance) (1 - headrace_spool_full{{{ALL}}})",
                "{{instance}} room on the disk",
            ),
            most=1,
        ),
        lines(
            "Age of what is served",
            "s",
            (f"max by (instance) (headrace_config_age_seconds{{{ALL}}})", "{{instance}}"),
        ),
    ],
}
"""Row to its panels."""
