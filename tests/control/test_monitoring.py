"""Rules and the dashboard ask for what there is: a real Prometheus scrapes a whole instance, and answers all of it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from proxy.core.metrics import Metrics
from proxy.core.metrics_beside import Shipping, Supervision
from proxy.core.series import Kind
from tests.control.conftest import program
from tests.line.harness import KEY, Process, Raw, Simulator, config, request, until

if TYPE_CHECKING:
    from tests.control.conftest import Start

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = FOLDER / "headrace.rules.yml"
DASHBOARD: dict[str, Any] = orjson.loads(
    (ROOT / "deploy" / "grafana" / "headrace.json").read_bytes()
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES = {"$job": ".*", "$instance": ".*", "$model": ".*", "$provider": ".*"}


def dashboard() -> list[str]:
    """Every query of the dashboard, as Grafana would send it."""
    found = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
    found += [one["expr"] for one in DASHBOARD["annotations"]["list"]]
    for name, value in {**VARIABLES, "$__rate_interval": "1m"}.items():
        found = [expr.replace(name, value) for expr in found]
    return found


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def documented() -> list[str]:
    """The queries of docs/metrics.md."""
    text = (ROOT / "docs" / "metrics.md").read_text()
    blocks = re.findall(r"^```promql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [
        line for block in blocks for line in block.splitlines() if line and not line.startswith("#")
    ]


def expressions() -> list[str]:
    """All that somebody asks Prometheus: the dashboard, the rules, the pages."""
    return [*dashboard(), *(rule["expr"] for rule in rules()), *documented()]


def declared() -> set[str]:
    """What samples may be called."""
    names = {"up", "ALERTS"}
    for registry in (Metrics().registry, Supervision(1).registry, Shipping().registry):
        for family in registry.families.values():
            ends = ("_bucket", "_sum", "_count") if family.kind is Kind.HISTOGRAM else ("",)
            names.update(family.name + end for end in ends)
    return names | {rule["record"] for rule in rules() if "record" in rule}


def named(expression: str) -> set[str]:
    """The metrics an expression asks for."""
    plain = re.sub(r'"[^"]*"|\b(by|on|without|ignoring|group_left)\s*\([^)]*\)', "", expression)
    return set(re.findall(r"\b(?:headrace|process)_\w+|\bheadrace:[\w:]+|\bup\b", plain))


def test_everything_that_is_asked_for_is_counted() -> None:
    asked = expressions()

    names = set().union(*map(named, asked))

    assert names - declared() == set()
    assert len(names) > 80


def test_the_dashboard_is_what_its_table_says() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "deploy" / "grafana" / "make.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (made.returncode, made.stderr) == (0, "")


def test_the_dashboard_is_of_no_server_in_particular() -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert DASHBOARD["id"] is DASHBOARD["uid"] is None
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["datasource"] == source
            assert all(target["datasource"] == source for target in panel["targets"])
    names = [one["name"] for one in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "job", "instance", "model", "provider"]


def test_no_two_panels_are_at_one_place() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)


def test_every_panel_says_what_it_shows() -> None:
    kinds = {"row", "stat", "timeseries", "heatmap", "table"}
    for panel in PANELS:
        assert panel["title"]
        assert panel["type"] in kinds
        if panel["type"] != "row":
            assert panel["targets"]
            refs = [target["refId"] for target in panel["targets"]]
            assert len(set(refs)) == len(refs)
            assert panel["fieldConfig"]["overrides"] == []
    rows = [panel["title"] for panel in PANELS if panel["type"] == "row"]
    assert rows == [
        "Now",
        "Traffic",
        "Latency and overhead",
        "Tokens and money",
        "Providers and circuits",
        "Limits",
        "Workers and process",
        "Ledger and store",
    ]


def test_every_alert_says_what_it_is() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]

    assert len(alerts) >= 25
    for alert in alerts:
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["description"]


def test_rules_say_what_their_tests_want() -> None:
    tested = (FOLDER / "headrace.test.yml").read_text()
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert {alert for alert in alerts if not re.search(rf"\b{alert}\b", tested)} == set()
    for words in (["check", "config", "prometheus.yml"], ["test", "rules", "headrace.test.yml"]):
        done = subprocess.run(
            [program("promtool"), *words], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_deployment_that_is_out_is_one_however_many_hosts_say_so(tmp_path: Path) -> None:
    [panel] = [one for one in PANELS if one["title"] == "Deployments out"]
    [expression] = [one for one in dashboard() if "headrace_target_health" in one]
    assert panel["targets"][0]["expr"].count("headrace_target_health") == 1
    health = {("a", "m/0:p"): 0, ("b", "m/0:p"): 0, ("a", "m/1:q"): 1, ("b", "m/1:q"): 0.5}
    series = [
        {"series": f'headrace_target_health{{job="j",instance="{instance}",target="{target}"}}', "values": f"{value}"}
        for (instance, target), value in health.items()
    ]  # fmt: skip
    sample = {"labels": "{}", "value": 1}
    asked = {"expr": expression, "eval_time": "0s", "exp_samples": [sample]}
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    file = tmp_path / "out.yml"
    file.write_text(yaml.safe_dump({"tests": [test]}))

    done = subprocess.run(
        [program("promtool"), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


class Instance(Process):
    """Two workers and a shipper, over one simulated provider."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        ledger = {"path": str(folder / "ledger")}
        server = {"workers": 2, "ops": {"port": 0}}
        super().__init__(config(simulator.url, server=server, ledger=ledger), folder)

    @property
    def ops(self) -> str:
        """Where its metrics are; empty: not said yet."""
        found = re.search(r"ops on http://(\S+)", "".join(self.lines))
        return found[1] if found else ""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with ExitStack() as stack:
        simulator = Simulator()
        stack.callback(simulator.stop)
        one = Instance(simulator, tmp_path)
        stack.callback(one.stop)
        yield one


async def test_a_real_prometheus_answers_every_query_and_rule(
    instance: Instance, prometheus: Start
) -> None:
    await until(lambda: bool(instance.ops))
    scraper = await prometheus(instance.ops, rules=RULES)
    port = int(instance.url.rpartition(":")[2])
    for stream in (True, False) * 4:
        client = await Raw.open(port)
        message = [{"role": "user", "content": "hi"}]
        body = orjson.dumps({"model": "sim", "stream": stream, "messages": message})
        client.send(request("POST", "/v1/chat/completions", body, key=KEY))
        assert (await client.answer()).status == 200
        client.close()

    await scraper.until('sum(headrace_requests_total{status="200"}) == 8')

    for expression in await asyncio.to_thread(expressions):  # to read YAML takes its time
        await scraper.query(expression)  # ValueError: it is none
    assert await scraper.query("sum(headrace_worker_up) == on () headrace_workers")
    processes = {labels["process"] for labels, _ in await scraper.query("process_open_fds")}
    assert processes == {"supervisor", "shipper", "worker-0", "worker-1"}
    assert await scraper.query("sum(headrace_overhead_seconds_count) == 8")
    # There is no server of shared limits, so it is not down.
    assert not await scraper.query("headrace_shared_up")
    async with asyncio.timeout(10):
        while {rule["health"] for rule in await scraper.rules()} != {"ok"}:
            failed = [rule["lastError"] for rule in await scraper.rules() if "lastError" in rule]
            assert failed == []
            await asyncio.sleep(0.05)
