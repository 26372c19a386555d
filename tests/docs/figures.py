"""Measured figures in the documentation: what was published, and the tables made of it.

A file that `python -m bench --json` wrote is kept, without the single measurements, in `docs/`: Headrace beside others and
beside itself, what translation costs, and the phases of a request each in a file of their own, so that one can be measured
again without the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from bench.phases import PHASES, SHOWN
from bench.scenarios import SEALED as SEALED_SUBJECT
from bench.scenarios import SEALED_BASELINE
from tests.docs.markdown import table
from tests.docs.pages import DOCS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FIGURES = DOCS / "figures.json"
TRANSLATED = DOCS / "figures-translation.json"
"""Of `python -m bench translate`: Headrace beside itself."""
SEALED = DOCS / "figures-tls.json"
"""Of `python -m bench tls`."""
PHASED = DOCS / "figures-phases.json"
"""Of `python -m bench phases`."""
NOTHING_YET = "No run has been published for this version yet.\n"
NGINX = (18, 20)
BESIDE: Mapping[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "vllm-router": ("vllm-router 0.1.17 (Rust)", (80,), (31,)),
    "aiohttp": ("aiohttp server and `ClientSession`, no features", (172,), (66,)),
    "portkey": ("Portkey 1.9.8 (Node)", (1000, 1750), ()),
    "litellm": ("LiteLLM 1.106.2 (Python)", (11_000,), (1400,)),
}
"""CPU a request and a paced token, in µs, beside an nginx in the same run of long ago: see docs/performance.md. It stands until
a run with that peer is published."""
LABELS = {
    "vllm-router": "vllm-router {} (Rust)",
    "aiohttp": "aiohttp server and `ClientSession`, no features",
    "portkey": "Portkey {} (Node)",
    "litellm": "LiteLLM {} (Python)",
}
NAMES = {"nginx": "nginx", "headrace": "Headrace", "aiohttp": "bare aiohttp"}


def figures(path: Path | None = None) -> dict[str, Any] | None:
    """The published run; None while there is none."""
    path = path or FIGURES
    return orjson.loads(path.read_bytes()) if path.exists() else None


def publish(bench: Path) -> None:
    """Keep what a bench run found. Refuses a run with wrong answers or noise."""
    found = orjson.loads(bench.read_bytes())
    if "figures" in found:
        found["figures"] = [one for one in found["figures"] if _is_of_phases(one["name"])]
        assert found["figures"], f"{bench} has no phases"
        _keep(PHASED, found)
        return
    assert not found["complaints"], found["complaints"]
    assert not found["noise"], found["noise"]
    del found["outcomes"]
    rows = found["rows"]
    if any(_baseline(row) == "nginx" for row in rows):
        own = [row for row in rows if not (_is_translated(row) or _is_sealed(row))]
        _keep(FIGURES, {**found, "rows": own})
    translated = [row for row in rows if _is_translated(row)]
    if translated:
        _keep(TRANSLATED, {**found, "rows": translated})
    sealed = [row for row in rows if _is_sealed(row)]
    if sealed:
        _keep(SEALED, {**found, "rows": sealed})


def _keep(path: Path, run: Mapping[str, Any]) -> None:
    path.write_bytes(msgspec.json.format(orjson.dumps(run), indent=2) + b"\n")


def _is_of_phases(name: str) -> bool:
    return name.startswith(("phases_", "codes_"))


def _is_translated(row: Mapping[str, Any]) -> bool:
    return str(row["metric"]).startswith("translated")


def _is_sealed(row: Mapping[str, Any]) -> bool:
    return _baseline(row) == SEALED_BASELINE


def _baseline(row: Mapping[str, Any]) -> str:
    return str(row.get("baseline", "nginx"))


def times(*ratios: float) -> str:
    """A ratio, or the least and the most of it, as people read one."""
    shown = [f"{ratio:,.0f}" if ratio >= 20 else f"{ratio:.1f}" for ratio in ratios]
    return " to ".join(shown) or "-"


def cost_table() -> str:
    """CPU as a multiple of nginx's, for the README."""
    run = figures()
    ratios = {} if run is None else {row["metric"]: row["ratios"] for row in run["rows"]}

    def one(name: str, metric: str, mark: str = "") -> str:
        found = ratios.get(metric, {}).get(name)
        return f"{mark}{times(found['median'])}{mark}" if found else "not published yet"

    rows = [
        ("nginx 1.22, `proxy_buffering off`", "1", "1"),
        (
            "**Headrace**, everything on",
            one("headrace", "request", "**"),
            one("headrace", "token", "**"),
        ),
    ]
    versions = _versions(run)
    for name, (label, request, token) in BESIDE.items():
        if name in ratios.get("request", {}) and name in ratios.get("token", {}):
            shown = LABELS[name].format(versions.get(name, ""))
            rows.append((shown, one(name, "request"), one(name, "token")))
        else:
            each = (
                times(*(it / NGINX[0] for it in request)),
                times(*(it / NGINX[1] for it in token)),
            )
            rows.append((label, *each))
    return table(("CPU time, nginx = 1", "a request", "a streamed token"), rows, right=[1, 2])


def _versions(run: Mapping[str, Any] | None) -> dict[str, str]:
    """Of the other proxies in the run, by name."""
    beside = "" if run is None else run["facts"].get("beside", "")
    return dict(part.split(" ", 1) for part in beside.split(", ") if part)


def run_table() -> str:
    """The published run, Headrace beside nginx."""
    run = figures()
    if run is None:
        return NOTHING_YET
    rows = []
    for row in _beside(run, "nginx"):
        cells = [_figure(row["figures"].get(peer)) for peer in ("nginx", "headrace")]
        ratio = row["ratios"].get("headrace") if row["is_cost"] else None
        rows.append((_title(row), *cells, _figure(ratio, digits=2)))
    head = ("", "nginx", "Headrace", "Headrace / nginx")
    return f"{table(head, rows, right=[1, 2, 3])}\nMedians (least to most). {_facts(run)}.\n"


def others_table() -> str:
    """What others cost in the same run: multiples of nginx's, and who was at the limit of the tools."""
    run = figures()
    if run is None:
        return NOTHING_YET
    rows = [row for row in _beside(run, "nginx") if row["is_cost"]]
    names = [
        name
        for name in dict.fromkeys(name for row in rows for name in row["ratios"])
        if name not in ("nginx", "bare")
    ]
    if names == ["headrace"]:
        return "The published run had nobody else in it.\n"
    versions = _versions(run)
    head = ("times nginx", *(f"{NAMES.get(n, n)} {versions.get(n, '')}".strip() for n in names))
    cells = [(_title(row), *(_ratio(row, name) for name in names)) for row in rows]
    near = "".join(f"\n- {line}" for line in run.get("near", ()))
    text = table(head, cells, right=range(1, len(head)))
    return f"{text}\nRatios of the medians.\n{near and near + chr(10)}"


def itself_table() -> str:
    """Headrace with much beside Headrace with little, in the published run."""
    run = figures()
    rows = [] if run is None else _beside(run, "headrace")
    if run is None or not rows:
        return NOTHING_YET
    cells = [
        (
            run["about"][row["scenario"]],
            _figure(row["figures"].get("headrace")),
            name,
            _ratio(row, name),
        )
        for row in rows
        for name in row["figures"]
        if name != "headrace"
    ]
    return table(("", "CPU a request, µs", "against", "times that"), cells, right=[1, 3])


def tools_table() -> str:
    """What load generator and simulator can do with nothing between."""
    run = figures()
    rows = [] if run is None else _beside(run, "bare")
    if run is None or not rows:
        return NOTHING_YET
    cells = [(_title(row), _figure(row["figures"].get("bare"))) for row in rows]
    return table(("", "nothing between"), cells, right=[1])


def goals_table() -> str:
    """What was to be reached, and what was: as the runs themselves say."""
    rows = []
    for run in (figures(), figures(TRANSLATED)):
        if run is None:
            continue
        for row in run["rows"]:
            if row["goal"] is None or row["met"] is None:
                continue
            ratio, base = row["goal"]["is_ratio"], _baseline(row)
            values = row["ratios"] if ratio else row["figures"]
            names = [n for n in values if n != base and (base == "headrace" or n == "headrace")]
            worst = max(values[name]["median"] for name in names)
            unit = f" x {NAMES.get(base, base)}" if ratio else f" {row['unit']}"
            rows.append(
                (
                    row["label"] if base == "nginx" else run["about"][row["scenario"]],
                    f"{row['goal']['limit']:g}{unit}",
                    f"{worst:.2f}",
                    "met" if row["met"] else "**missed**",
                )
            )
    return table(("", "at most", "found", ""), rows, right=[2]) if rows else NOTHING_YET


def phases_table() -> str:
    """Where the microseconds of a request and of a token go."""
    run = figures(PHASED)
    if run is None:
        return NOTHING_YET
    found = {one["name"]: one["value"] for one in run["figures"]}
    ends = {"sum": "all phases", "whole": "all of it, without marks within"}
    text = []
    for what, title in (("request", "of a request"), ("token", "of a token")):
        rows = [
            (label, *_phase_cells(found, what, name))
            for name, label in {**PHASES, **ends}.items()
            if any(f"phases_{way}_{what}_{name}" in found for way in SHOWN)
        ]
        columns = [
            f"{way}{unit}"
            for way in ("nothing limited or recorded", "ledger, limits, budget")
            for unit in (", µs", ", bytecodes")
        ]
        text.append(table((title, *columns), rows, right=range(1, 5)))
    return f"{chr(10).join(text)}\nTenth percentiles. {_facts(run)}.\n"


def _phase_cells(found: Mapping[str, float], what: str, name: str) -> Iterable[str]:
    for way in SHOWN:
        for kind, digits in (("phases", 2), ("codes", 0)):
            value = found.get(f"{kind}_{way}_{what}_{name}")
            yield "-" if value is None else f"{value:,.{digits}f}"


def translation_table() -> str:
    """Translated streams beside passed ones, of the published run."""
    run = figures(TRANSLATED)
    if run is None:
        return NOTHING_YET
    rows = run["rows"]
    names = [name for name in rows[0]["figures"] if name != "headrace"]
    cells = [
        (
            _title(row),
            _figure(row["figures"]["headrace"]),
            *(f"{row['ratios'][name]['median']:.2f}" for name in names),
        )
        for row in rows
    ]
    found = table(("", "passed through", *names), cells, right=range(1, len(names) + 2))
    return f"{found}\nMedians. {_facts(run)}.\n"


def sealed_table() -> str:
    """TLS to client and provider, Headrace beside nginx, of the published run."""
    run = figures(SEALED)
    if run is None:
        return NOTHING_YET
    rows = [
        (
            _title(row),
            *(_figure(row["figures"].get(peer)) for peer in (SEALED_BASELINE, SEALED_SUBJECT)),
            _figure(row["ratios"].get(SEALED_SUBJECT), digits=2),
        )
        for row in run["rows"]
    ]
    found = table(("", "nginx", "Headrace", "Headrace / nginx"), rows, right=[1, 2, 3])
    return f"{found}\nMedians (least to most). {_facts(run)}.\n"


def _beside(run: Mapping[str, Any], baseline: str) -> list[dict[str, Any]]:
    return [row for row in run["rows"] if _baseline(row) == baseline]


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['label']}, {row['unit']}"


def _facts(run: Mapping[str, Any]) -> str:
    return ", ".join(run["facts"].values())


def _ratio(row: Mapping[str, Any], name: str) -> str:
    found = row["ratios"].get(name)
    return "-" if found is None else f"{found['median']:,.2f}"


def _figure(spread: Mapping[str, float] | None, digits: int | None = None) -> str:
    if spread is None:
        return "-"
    median, least, most = (
        f"{spread[name]:,.{digits if digits is not None else 0 if spread[name] >= 100 else 1}f}"
        for name in ("median", "least", "most")
    )
    return f"{median} ({least}-{most})"
