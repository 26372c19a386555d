"""The metrics page is what Prometheus and its tools understand, and says what was counted."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from proxy.control.exposition import CONTENT_TYPE, number, render
from proxy.core.metrics import Metrics
from proxy.core.series import Number, Registry
from tests.control.conftest import program

Labels = tuple[tuple[str, str], ...]


def parsed(page: bytes) -> dict[tuple[str, Labels], float]:
    """(sample name, sorted labels) to value, as Prometheus' own Python parser reads it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def used() -> Metrics:
    """All families, with something in most of them."""
    metrics = Metrics("0", version="1.2.3", aiohttp="3.14")
    metrics.allow(["gpt-4o", 'odd "name"\\ 100 %s\n'], ["openai"], ["gpt-4o/0:openai"])
    for model in ("gpt-4o", 'odd "name"\\ 100 %s\n', "unknown"):
        bundle = metrics.exchange("/v1/chat/completions", model, "openai", True)
        bundle.inflight.inc()
        bundle.finish(200, 1.5, ttft=0.2, overhead=0.0004, request_bytes=900, response_bytes=70)
        bundle.finish_stream("done", max_gap=0.4, inter_token=0.02)
        bundle.count_tokens(10, 20)
    attempts = metrics.attempts("gpt-4o", "gpt-4o/0:openai", "openai")
    attempts.count("ok")
    attempts.count("switch", "http_5xx")
    attempts.ttft.observe(0.19)
    metrics.target_health.child("gpt-4o/0:openai").set(0.5)
    metrics.provider_keys.child("openai", "usable").set(2)
    metrics.upstream_connect.child("openai").observe(0.003)
    metrics.loop_lag.observe(0.0002)
    metrics.worker_up.set(1)
    for family in (metrics.auth_failures, metrics.bad_requests, metrics.client_gone, metrics.shed):
        family.child("reason").inc()
    return metrics


def test_the_page_reads_like_this() -> None:
    registry = Registry()
    registry.counter("c_total", "A counter\nwith \\ help.", ("a",)).child('x"\\\n').inc(3)
    registry.gauge("g", "A gauge.").child().set(-0.5)
    histogram = registry.histogram("h", "A histogram.", (0.5, 1), ("a",)).child("100 %")
    for value in (0.25, 0.5, 0.75, 7):
        histogram.observe(value)

    page = render(registry.snapshot()).decode()

    assert page == (
        "# HELP c_total A counter\\nwith \\\\ help.\n"
        "# TYPE c_total counter\n"
        'c_total{a="x\\"\\\\\\n"} 3\n'
        "# HELP g A gauge.\n"
        "# TYPE g gauge\n"
        "g -0.5\n"
        "# HELP h A histogram.\n"
        "# TYPE h histogram\n"
        'h_bucket{a="100 %",le="0.5"} 2\n'
        'h_bucket{a="100 %",le="1.0"} 3\n'
        'h_bucket{a="100 %",le="+Inf"} 4\n'
        'h_sum{a="100 %"} 8.5\n'
        'h_count{a="100 %"} 4\n'
    )


def test_a_histogram_without_labels_has_no_empty_braces() -> None:
    registry = Registry()
    registry.histogram("h", "help", (1,)).child().observe(2)

    page = render(registry.snapshot()).decode()

    assert 'h_bucket{le="1.0"} 0\nh_bucket{le="+Inf"} 1\nh_sum 2\nh_count 1\n' in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (10**20, "100000000000000000000"),
        (0.1, "0.1"),
        (5e-05, "5e-05"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_are_written_as_the_format_has_them(value: Number, text: str) -> None:
    assert number(value) == text


@given(
    counters=st.dictionaries(
        st.tuples(st.text(), st.text()), st.integers(0, 10**15) | st.floats(0, 1e15), max_size=5
    ),
    observations=st.lists(st.floats(-10, 10), max_size=20),
    gauge=st.floats(),
)
def test_every_value_survives_the_way_through_the_parser(
    counters: dict[tuple[str, str], Number], observations: list[float], gauge: float
) -> None:
    registry = Registry()
    family = registry.counter("c_total", "help", ("a", "b"))
    for (a, b), value in counters.items():
        family.child(a, b).value = value
    histogram = registry.histogram("h", "help", (-1, 0, 1), ("a",))
    for value in observations:
        histogram.child("x").observe(value)
    registry.gauge("g", "help").child().set(gauge)

    read = parsed(render(registry.snapshot()))

    assert {labels: value for (name, labels), value in read.items() if name == "c_total"} == {
        (("a", a), ("b", b)): value for (a, b), value in counters.items()
    }
    assert read["g", ()] == gauge or math.isnan(gauge)
    for bound in (-1.0, 0.0, 1.0, math.inf):
        edge = "+Inf" if bound == math.inf else str(bound)
        below = sum(value <= bound for value in observations)
        assert read.get(("h_bucket", (("a", "x"), ("le", edge))), 0) == below


def test_the_whole_catalogue_survives_it_too() -> None:
    metrics = used()

    read = parsed(render(metrics.registry.snapshot()))

    labels = (
        ("model", 'odd "name"\\ 100 %s\n'),
        ("provider", "openai"),
        ("route", "/v1/chat/completions"),
        ("status", "200"),
        ("stream", "true"),
    )
    assert read["headrace_requests_total", labels] == 1
    assert read["headrace_target_health", (("target", "gpt-4o/0:openai"),)] == 0.5
    names = {name for name, _ in read}
    assert "process_cpu_seconds_total" in names
    assert "headrace_ttft_seconds_bucket" in names


async def test_promtool_finds_nothing_to_complain_about() -> None:
    process = await asyncio.create_subprocess_exec(
        program("promtool"),
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )

    said, _ = await process.communicate(render(used().registry.snapshot()))

    assert (process.returncode, said.decode()) == (0, "")


def test_the_page_is_declared_as_what_it_is() -> None:
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
