"""Makes `headrace.json`, a dashboard for Grafana 10 and later, from `rows.py`.

python deploy/grafana/make.py          writes the file
python deploy/grafana/make.py --check  fails when the file is not what would be written
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from kinds import ALL
from rows import ROWS

PLACE = Path(__file__).with_name("headrace.json")
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def variable(name: str, query: str) -> dict[str, Any]:
    """A choice of some values of a label."""
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def panels() -> Iterator[dict[str, Any]]:
    """All of them, each at its place on the grid of 24 columns."""
    number, top = 1, 0
    for name, row in ROWS.items():
        yield {
            "id": number,
            "type": "row",
            "title": name,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": 24, "h": 1},
        }
        number, top, left, height = number + 1, top + 1, 0, 0
        for panel in row:
            wide, high = panel["size"]
            if left + wide > 24:
                top, left, height = top + height, 0, 0
            kept = {
                k: v for k, v in panel.items() if k not in ("queries", "size", "format", "instant")
            }
            yield {
                "id": number,
                **kept,
                "datasource": SOURCE,
                "gridPos": {"x": left, "y": top, "w": wide, "h": high},
                "targets": [
                    {
                        "refId": chr(ord("A") + nth),
                        "datasource": SOURCE,
                        "expr": expr,
                        "legendFormat": legend or "__auto",
                        "format": panel.get("format", "time_series"),
                        "instant": panel.get("instant", False),
                        "range": not panel.get("instant", False),
                    }
                    for nth, (expr, legend) in enumerate(panel["queries"])
                ],
            }
            number, left, height = number + 1, left + wide, max(height, high)
        top += height


def dashboard() -> dict[str, Any]:
    """The whole document."""
    of = 'job=~"$job"'
    return {
        "id": None,
        "uid": None,
        "title": "Headrace",
        "description": "Traffic, latency, money, providers, limits, processes and the ledger of Headrace.",
        "tags": ["headrace", "llm"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "annotations": {
            "list": [
                {
                    "name": "Processes that ended unexpectedly",
                    "datasource": SOURCE,
                    "enable": True,
                    "iconColor": "red",
                    "expr": f'sum by (instance, process, reason) (increase(headrace_process_ends_total{{{ALL},reason!="told"}}[1m])) > 0',
                    "titleFormat": "{{instance}} {{process}} {{reason}}",
                    "step": "60s",
                }
            ]
        },
        "links": [],
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "refresh": 1,
                    "current": {},
                },
                variable("job", "label_values(headrace_build_info, job)"),
                variable("instance", f"label_values(headrace_build_info{{{of}}}, instance)"),
                variable("model", f"label_values(headrace_requests_total{{{of}}}, model)"),
                variable("provider", f"label_values(headrace_requests_total{{{of}}}, provider)"),
            ]
        },
        "panels": list(panels()),
    }


def text() -> bytes:
    """As it is in the file."""
    return orjson.dumps(dashboard(), option=orjson.OPT_INDENT_2) + b"\n"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PLACE.write_bytes(text())
    elif PLACE.read_bytes() != text():
        sys.exit(f"{PLACE} is not what {__file__} makes: run it")
