"""Kinds of panels, and the queries they are made of.

A panel has a title, a unit of Grafana's, and queries with what their lines are called; where it goes is for `make.py`.
"""

from __future__ import annotations

from typing import Any

ALL = 'job=~"$job",instance=~"$instance"'
"""The instances that are chosen."""
OF = ALL + ',model=~"$model",provider=~"$provider"'
"""Of those the models and providers that are."""
RATE = "[$__rate_interval]"

Query = tuple[str, str]
"""PromQL, and the name of its lines."""


def rate(metric: str, by: str = "", select: str = ALL) -> str:
    """What a counter gains in a second, by labels."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{select}}}{RATE}))"


def quantile(q: float, metric: str, by: str = "", select: str = ALL) -> str:
    """Of a histogram."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{select}}}{RATE})))"


def quantiles(metric: str, select: str = ALL) -> list[Query]:
    """Three of them."""
    return [(quantile(q, metric, "", select), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)]


def stat(
    title: str,
    unit: str,
    expr: str,
    *,
    good: float | None = None,
    bad: float | None = None,
    text: str = "",
) -> dict[str, Any]:
    """One number. Above `good` it is yellow, above `bad` red."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if good is not None:
        steps.append({"color": "yellow", "value": good})
    if bad is not None:
        steps.append({"color": "red", "value": bad})
    return {
        "type": "stat",
        "title": title,
        "description": text,
        "queries": [(expr, "")],
        "size": (4, 4),
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "noValue": "-",
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {
            "colorMode": "value",
            "graphMode": "area",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    }


def lines(
    title: str,
    unit: str,
    *queries: Query,
    stacked: bool = False,
    least: float | None = 0,
    most: float | None = None,
    text: str = "",
    wide: int = 8,
) -> dict[str, Any]:
    """Numbers over time."""
    limits = {name: value for name, value in (("min", least), ("max", most)) if value is not None}
    return {
        "type": "timeseries",
        "title": title,
        "description": text,
        "queries": queries,
        "size": (wide, 8),
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                **limits,
                "custom": {
                    "drawStyle": "line",
                    "lineWidth": 1,
                    "fillOpacity": 25 if stacked else 8,
                    "showPoints": "never",
                    "spanNulls": True,
                    "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
                },
            },
            "overrides": [],
        },
        "options": {
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "calcs": ["lastNotNull", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def heat(title: str, unit: str, expr: str, text: str = "") -> dict[str, Any]:
    """A histogram over time."""
    return {
        "type": "heatmap",
        "title": title,
        "description": text,
        "queries": [(expr, "{{le}}")],
        "format": "heatmap",
        "size": (8, 8),
        "fieldConfig": {"defaults": {}, "overrides": []},
        "options": {
            "calculate": False,
            "yAxis": {"unit": unit, "axisPlacement": "left"},
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
            "cellGap": 1,
            "tooltip": {"mode": "single", "yHistogram": True},
            "legend": {"show": False},
        },
    }


def table(title: str, unit: str, expr: str, text: str = "", wide: int = 8) -> dict[str, Any]:
    """The newest numbers, the largest first."""
    return {
        "type": "table",
        "title": title,
        "description": text,
        "queries": [(expr, "")],
        "format": "table",
        "instant": True,
        "size": (wide, 8),
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": {"showHeader": True, "sortBy": [{"displayName": "Value", "desc": True}]},
        "transformations": [{"id": "organize", "options": {"excludeByName": {"Time": True}}}],
    }
