"""What the configuration and the variables of the OpenTelemetry specification want together.

The configuration goes first. What only concerns the way to the collector (certificates, compression, timeouts, and the
address and headers where the configuration names none) is read by the exporter itself.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from proxy.core.model import Tracing
    from proxy.core.secret import Secret

PATH, METRICS_PATH = "/v1/traces", "/v1/metrics"
INTERVAL = 60_000
"""Milliseconds between two readings of what is counted."""
QUEUE, BATCH, PAUSE = 2048, 32, 1000
_SHARES = {"always_on": 1.0, "always_off": 0.0}


class Wanted(Struct, frozen=True):
    """Of one worker."""

    endpoint: str | None
    """All of it; None: for the exporter to find out."""
    headers: Mapping[str, Secret]
    sample: float
    follow: bool
    service_name: str | None
    """None: as OTEL_RESOURCE_ATTRIBUTES says, if it does."""
    content: int
    """Characters of what was asked and answered."""
    queue: int = QUEUE
    """Spans that wait, at most."""
    batch: int = BATCH
    """Spans that are sent at once, at most: while they are encoded, no request goes on."""
    pause: float = PAUSE / 1000
    """Seconds for which spans gather."""
    metrics: float = 0.0
    """Seconds between two readings of what is counted; 0: it is not sent."""
    metrics_endpoint: str | None = None
    """As `endpoint`."""
    name: str = "headrace"
    """Of the service, where nothing else says one."""


def wanted(
    settings: Tracing, max_content: int, environment: Mapping[str, str], name: str = "headrace"
) -> Wanted | None:
    """None: no spans. Raises ValueError when they cannot be made: the extra is missing, or a variable is not readable."""
    if not settings.enabled or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if not installed():
        raise ValueError("tracing.enabled: needs the extra 'otel': pip install 'headrace[otel]'")
    sample, follow = _sampler(environment, settings.sample)
    return Wanted(
        endpoint=_whole(settings.endpoint, PATH),
        metrics_endpoint=_whole(settings.endpoint, METRICS_PATH),
        metrics=_interval(environment) if settings.metrics is None else settings.metrics,
        headers=settings.headers,
        sample=sample,
        follow=settings.follow and follow,
        service_name=settings.service_name or environment.get("OTEL_SERVICE_NAME") or None,
        content=max_content if settings.content else 0,
        queue=_number(environment, "OTEL_BSP_MAX_QUEUE_SIZE", QUEUE),
        batch=_number(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH),
        pause=_number(environment, "OTEL_BSP_SCHEDULE_DELAY", PAUSE) / 1000,
        name=name,
    )


def installed() -> bool:
    """Whether the extra `otel` is."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def _whole(endpoint: str | None, path: str) -> str | None:
    return None if endpoint is None else endpoint.rstrip("/").removesuffix(PATH) + path


def _interval(environment: Mapping[str, str]) -> float:
    if environment.get("OTEL_METRICS_EXPORTER", "").strip() != "otlp":
        return 0.0
    return _number(environment, "OTEL_METRIC_EXPORT_INTERVAL", INTERVAL) / 1000


def _sampler(environment: Mapping[str, str], own: float | None) -> tuple[float, bool]:
    """Share of the traces that begin here, which is `own` where that is given, and whether a parent decides."""
    name = environment.get("OTEL_TRACES_SAMPLER", "").strip() or "parentbased_always_on"
    kind = name.removeprefix("parentbased_")
    if own is not None:
        return own, kind != name
    share = _SHARES.get(kind)
    if kind == "traceidratio":
        text = environment.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1"
        try:
            share = float(text)
        except ValueError:
            share = None
    if share is None or not 0 <= share <= 1:
        raise ValueError(
            "OTEL_TRACES_SAMPLER: takes always_on, always_off or traceidratio (OTEL_TRACES_SAMPLER_ARG: 0 to 1), "
            "with or without parentbased_ before it; or set tracing.sample"
        )
    return share, kind != name


def _number(environment: Mapping[str, str], name: str, usual: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return usual
    if not text.isdecimal() or not int(text):
        raise ValueError(f"{name}: takes a whole number above 0, not {text!r}")
    return int(text)
