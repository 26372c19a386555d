"""What a request counts, and what can never become a label."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.core.errors import Cause
from proxy.core.metrics import BYTES, DURATION, Metrics
from proxy.core.metrics_beside import Shipping, Supervision
from proxy.core.series import Number

ROUTE = "/v1/chat/completions"
DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics("3", version="1.2", aiohttp="3.14")
    metrics.allow(["gpt-4o"], ["openai"], ["gpt-4o/0:openai"])
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> Number:
    """The number of the one sample with these labels, among others."""
    found = [
        number
        for text, number in metrics.registry.snapshot()[name].values.items()
        if all(f'{key}="{item}"' in text for key, item in labels.items())
    ]
    assert len(found) == 1, found
    return found[0]


def series(metrics: Metrics) -> int:
    return sum(len(samples.values) for samples in metrics.registry.snapshot().values())


def test_a_finished_exchange_is_counted_once_everywhere(metrics: Metrics) -> None:
    bundle = metrics.exchange(ROUTE, "gpt-4o", "openai", True)

    bundle.finish(200, 1.5, ttft=0.2, overhead=0.0004, request_bytes=900, response_bytes=7000)

    labels = {"route": ROUTE, "model": "gpt-4o", "provider": "openai", "stream": "true"}
    assert value(metrics, "headrace_requests_total", status="200", **labels) == 1
    assert value(metrics, "headrace_request_duration_seconds", **labels) == 1.5
    assert value(metrics, "headrace_ttft_seconds", model="gpt-4o", provider="openai") == 0.2
    assert value(metrics, "headrace_overhead_seconds", route=ROUTE, stream="true") == 0.0004
    assert value(metrics, "headrace_request_body_bytes", route=ROUTE) == 900
    assert value(metrics, "headrace_response_body_bytes", route=ROUTE) == 7000


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("headrace_config_reloads_total", {"outcome": "rejected"}),
        ("headrace_shed_total", {"reason": "memory"}),
        ("headrace_ratelimit_rejections_total", {"scope": "key", "kind": "budget"}),
        ("headrace_ratelimit_rejections_total", {"scope": "global", "kind": "blind"}),
    ],
)
def test_what_an_alert_counts_is_there_before_it_happens(
    metrics: Metrics, name: str, labels: dict[str, str]
) -> None:
    # `increase` of a series that begins with 1 is 0: nobody would be told of the first.
    assert value(metrics, name, **labels) == 0


@pytest.mark.parametrize(
    "name", ["headrace_store_up", "headrace_config_age_seconds", "headrace_shared_up"]
)
def test_of_a_server_that_nobody_configured_nothing_is_said(metrics: Metrics, name: str) -> None:
    # A 0 would be one that does not answer, and wake somebody.
    assert metrics.registry.snapshot()[name].values == {}


def test_what_did_not_happen_is_not_observed(metrics: Metrics) -> None:
    metrics.exchange(ROUTE, "gpt-4o", "", False).finish(401, 0.001)

    snapshot = metrics.registry.snapshot()
    assert snapshot["headrace_ttft_seconds"].values == {}
    assert snapshot["headrace_overhead_seconds"].values == {}


def test_the_same_kind_of_exchange_has_the_same_bundle(metrics: Metrics) -> None:
    bundle = metrics.exchange(ROUTE, "gpt-4o", "openai", True)

    assert metrics.exchange(ROUTE, "gpt-4o", "openai", True) is bundle
    assert metrics.exchange(ROUTE, "gpt-4o", "openai", False) is not bundle


def test_statuses_are_told_apart(metrics: Metrics) -> None:
    bundle = metrics.exchange(ROUTE, "gpt-4o", "openai", True)

    bundle.requests(200).inc()
    bundle.requests("200_truncated").inc(2)
    bundle.requests(499).inc(3)

    assert value(metrics, "headrace_requests_total", status="200") == 1
    assert value(metrics, "headrace_requests_total", status="200_truncated") == 2
    assert value(metrics, "headrace_requests_total", status="499") == 3


def test_numbers_that_are_no_status_share_one_series(metrics: Metrics) -> None:
    bundle = metrics.exchange(ROUTE, "gpt-4o", "openai", True)

    for status in (0, 99, 600, 999):
        bundle.requests(status).inc()

    assert value(metrics, "headrace_requests_total", status="other") == 4


def test_a_stream_that_ended_is_counted_with_its_pace(metrics: Metrics) -> None:
    bundle = metrics.exchange(ROUTE, "gpt-4o", "openai", True)

    bundle.finish_stream("done", max_gap=0.4, inter_token=0.02)
    bundle.finish_stream("done")
    bundle.finish_stream("truncated")

    assert value(metrics, "headrace_stream_terminations_total", reason="done") == 2
    assert value(metrics, "headrace_stream_terminations_total", reason="truncated") == 1
    assert value(metrics, "headrace_stream_max_gap_seconds", model="gpt-4o") == 0.4
    assert value(metrics, "headrace_inter_token_seconds", model="gpt-4o") == 0.02


def test_tokens_are_counted_by_type_and_source(metrics: Metrics) -> None:
    bundle = metrics.exchange(ROUTE, "gpt-4o", "openai", False)

    bundle.count_tokens(10, 20, cached_input=3, cache_write=4, reasoning=5)
    bundle.count_tokens(1, 2, estimated=True)

    def tokens(kind: str, source: str) -> Number:
        return value(metrics, "headrace_tokens_total", type=kind, source=source)

    kinds = ("input", "output", "cached_input", "cache_write", "reasoning")
    assert [tokens(kind, "reported") for kind in kinds] == [10, 20, 3, 4, 5]
    assert [tokens(kind, "estimated") for kind in kinds] == [1, 2, 0, 0, 0]


def test_attempts_lead_to_retries_failovers_and_fallbacks(metrics: Metrics) -> None:
    attempts = metrics.attempts("gpt-4o", "gpt-4o/0:openai", "openai")

    attempts.count("retry", Cause.CONNECT)
    attempts.count("switch", Cause.SERVER)
    attempts.count("fallback", Cause.SERVER)
    attempts.count("ok")
    attempts.ttft.observe(0.1)

    assert value(metrics, "headrace_retries_total", provider="openai", reason="connect") == 1
    assert value(metrics, "headrace_failovers_total", provider="openai", reason="http_5xx") == 1
    assert value(metrics, "headrace_fallbacks_total", provider="openai", reason="http_5xx") == 1
    labels = {"model": "gpt-4o", "target": "gpt-4o/0:openai"}
    assert value(metrics, "headrace_upstream_attempts_total", outcome="ok", **labels) == 1
    assert value(metrics, "headrace_upstream_attempts_total", outcome="retry", **labels) == 1
    assert value(metrics, "headrace_upstream_ttft_seconds", **labels) == 0.1


def test_a_hundred_thousand_unknown_models_make_no_new_series(metrics: Metrics) -> None:
    metrics.exchange(ROUTE, "other", "", False).finish(404, 0.001)
    metrics.attempts("other", "other", "openai").count("ok")
    before = series(metrics)

    for number in range(100_000):
        metrics.exchange(ROUTE, f"model-{number}", "", False).finish(404, 0.001)
    for number in range(1_000):
        metrics.attempts(f"model-{number}", f"target-{number}", "openai").count("ok")

    assert series(metrics) == before
    assert value(metrics, "headrace_requests_total", status="404", model="other") == 100_001


def test_routes_that_are_no_templates_cannot_fill_the_memory(metrics: Metrics) -> None:
    for number in range(25_000):
        metrics.exchange(f"/{number}", "gpt-4o", "openai", False).requests(404).inc()

    assert len(metrics.requests.children()) <= metrics.requests.cap + 1
    assert len(metrics._bundles) <= 20_000


def test_new_names_are_allowed_after_a_change_of_configuration(metrics: Metrics) -> None:
    metrics.exchange(ROUTE, "claude", "anthropic", False).requests(200).inc()

    metrics.allow(["claude"], ["anthropic"], [])
    metrics.exchange(ROUTE, "claude", "anthropic", False).requests(200).inc()
    metrics.exchange(ROUTE, "gpt-4o", "openai", False).requests(200).inc()

    assert value(metrics, "headrace_requests_total", model="claude") == 1
    assert value(metrics, "headrace_requests_total", model="other") == 2


def test_requests_in_flight_belong_to_the_route_whatever_the_provider(metrics: Metrics) -> None:
    metrics.exchange(ROUTE, "gpt-4o", "", True).inflight.inc()
    metrics.exchange(ROUTE, "gpt-4o", "openai", True).inflight.inc()

    assert value(metrics, "headrace_inflight_requests", route=ROUTE, stream="true") == 2


def test_build_and_worker_are_named(metrics: Metrics) -> None:
    metrics.worker_up.set(1)

    assert value(metrics, "headrace_build_info", version="1.2", aiohttp="3.14") == 1
    assert value(metrics, "headrace_worker_up", worker="3") == 1


def test_buckets_are_the_agreed_ones() -> None:
    assert DURATION[0] == 0.01
    assert DURATION[-2:] == (81.92, 300)
    assert BYTES[0] == 256
    assert BYTES[-1] == 64 * 1024 * 1024


def test_no_metric_has_a_label_for_a_client() -> None:
    labels = {label for family in Metrics().registry.families.values() for label in family.labels}

    assert labels.isdisjoint({"key", "user", "client", "url", "path", "message", "tenant"})


def test_the_document_names_every_metric_and_label() -> None:
    rows = {
        row[0]: (row[1], set(re.findall(r"\w+", row[2])))
        for row in re.findall(
            r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", DOCUMENT.read_text(), re.MULTILINE
        )
    }

    declared = {
        name: (str(family.kind), set(family.labels))
        for one in (Metrics(), Supervision(1), Shipping())
        for name, family in one.registry.families.items()
    }

    assert rows == declared
