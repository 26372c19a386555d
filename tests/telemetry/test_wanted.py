"""The configuration goes first, the variables of the specification come after it."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.model import Tracing
from proxy.core.secret import Secret
from proxy.telemetry import wanted as module
from proxy.telemetry.wanted import Wanted, wanted


def want(environment: dict[str, str] | None = None, **settings: Any) -> Wanted:
    found = wanted(Tracing(enabled=True, **settings), 1000, environment or {})
    assert found is not None
    return found


def test_usually_all_is_recorded_and_a_parent_decides() -> None:
    found = want()

    assert (found.sample, found.follow, found.content) == (1.0, True, 0)
    assert found.endpoint is None  # the exporter looks for it
    assert found.service_name is None


@pytest.mark.parametrize(
    ("settings", "environment"),
    [
        (Tracing(), {}),
        (Tracing(enabled=True), {"OTEL_SDK_DISABLED": "true"}),
        (Tracing(enabled=True), {"OTEL_SDK_DISABLED": " TRUE "}),
    ],
)
def test_nothing_is_wanted(settings: Tracing, environment: dict[str, str]) -> None:
    assert wanted(settings, 1000, environment) is None


@pytest.mark.parametrize(
    ("endpoint", "whole"),
    [
        ("http://here:4318", "http://here:4318/v1/traces"),
        ("http://here:4318/", "http://here:4318/v1/traces"),
        ("https://here/otlp", "https://here/otlp/v1/traces"),
        ("https://here/otlp/v1/traces", "https://here/otlp/v1/traces"),
    ],
)
def test_the_path_of_traces_is_added_to_an_endpoint(endpoint: str, whole: str) -> None:
    found = want(endpoint=endpoint)

    assert found.endpoint == whole
    assert found.metrics_endpoint == whole.replace("traces", "metrics")


@pytest.mark.parametrize(
    ("name", "argument", "sample", "follow"),
    [
        ("always_on", "", 1.0, False),
        ("always_off", "", 0.0, False),
        ("traceidratio", "0.25", 0.25, False),
        ("traceidratio", "", 1.0, False),
        ("parentbased_always_on", "", 1.0, True),
        ("parentbased_always_off", "", 0.0, True),
        ("parentbased_traceidratio", "0.01", 0.01, True),
    ],
)
def test_the_sampler_of_the_environment_holds(
    name: str, argument: str, sample: float, follow: bool
) -> None:
    environment = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}

    found = want(environment)
    own = want(environment, sample=0.5)

    assert (found.sample, found.follow) == (sample, follow)
    assert own.sample == 0.5


@pytest.mark.parametrize(
    ("name", "follow"), [("jaeger_remote", False), ("parentbased_jaeger_remote", True)]
)
def test_a_sampler_that_is_not_known_here_is_none_where_the_configuration_has_a_share(
    name: str, follow: bool
) -> None:
    found = want({"OTEL_TRACES_SAMPLER": name}, sample=0.25)

    assert (found.sample, found.follow) == (0.25, follow)


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_SAMPLER": "jaeger_remote"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "half"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nan"},
        {"OTEL_BSP_MAX_QUEUE_SIZE": "-1"},
        {"OTEL_BSP_SCHEDULE_DELAY": "soon"},
    ],
)
def test_a_variable_that_cannot_be_read_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="OTEL_"):
        want(environment)


def test_the_queue_is_as_the_environment_wants_it() -> None:
    found = want(
        {
            "OTEL_BSP_MAX_QUEUE_SIZE": "10",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
        }
    )

    assert (found.queue, found.batch, found.pause) == (10, 5, 0.25)


@pytest.mark.parametrize(
    ("metrics", "environment", "seconds"),
    [
        (None, {}, 0.0),
        (None, {"OTEL_METRICS_EXPORTER": "none"}, 0.0),
        (None, {"OTEL_METRICS_EXPORTER": "otlp"}, 60.0),
        (None, {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_METRIC_EXPORT_INTERVAL": "5000"}, 5.0),
        (0.0, {"OTEL_METRICS_EXPORTER": "otlp"}, 0.0),
        (7.0, {}, 7.0),
    ],
)
def test_what_is_counted_is_sent_where_somebody_wants_it(
    metrics: float | None, environment: dict[str, str], seconds: float
) -> None:
    assert want(environment, metrics=metrics).metrics == seconds


def test_the_configuration_names_the_service_before_the_environment() -> None:
    environment = {"OTEL_SERVICE_NAME": "theirs"}

    assert want(environment).service_name == "theirs"
    assert want(environment, service_name="ours").service_name == "ours"


def test_content_is_as_long_as_in_the_log_of_requests() -> None:
    assert want(content=True).content == 1000


def test_headers_do_not_show_themselves() -> None:
    assert "canary" not in repr(want(headers={"key": Secret("canary")}))


def test_without_the_extra_it_is_said_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _name: None)

    with pytest.raises(ValueError, match=r"pip install 'headrace\[otel\]'"):
        want()


def test_what_is_not_there_at_all_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(module, "find_spec", missing)

    assert not module.installed()
