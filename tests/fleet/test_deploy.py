"""The files in `deploy/` agree with the program, and with each other.

What tools say of them: nginx and HAProxy are run with theirs (`test_balancers`), systemd reads its units here. Kubernetes'
and Docker's files are looked at for what would be wrong with Headrace; their schemas are not in here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.balancers import DEPLOY
from bench.peers import running, wait_for_port
from proxy.core.config import load
from proxy.core.config.schema import Config
from proxy.core.model import Server, Timeouts
from tests.line.harness import config, free_port

SERVER = Server()
TOTAL = Timeouts().total
DRAIN = Server().drain
NGINX = (DEPLOY / "nginx" / "headrace.conf").read_text()
HAPROXY = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text())
CLUSTER = {
    (one["kind"], one["metadata"]["name"]): one
    for name in ("headrace.yaml", "scaling.yaml")
    for one in yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())
}
CONFIGURATIONS = {
    "compose": DEPLOY / "compose" / "headrace.yaml",
    "kubernetes": DEPLOY / "kubernetes" / "config" / "headrace.yaml",
}
SECRET = "qT7vX2mK9pL4wR8sZ1cN6bH3jF5dG0aY"


def seconds(text: str) -> float:
    """`5s`, `2m`, `10h`."""
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def nginx(directive: str, within: str = NGINX) -> float:
    found = re.findall(rf"^\s*{directive} (\d+[smh]);", within, re.MULTILINE)
    assert len(found) == 1, directive
    return seconds(found[0])


def haproxy(name: str) -> float:
    found = re.findall(rf"^\s*timeout {name} +(\d+[smh])", HAPROXY, re.MULTILINE)
    assert len(found) == 1, name
    return seconds(found[0])


def loaded(name: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Config:
    """The configuration, with a value for each variable it names."""
    path = CONFIGURATIONS[name]
    for variable in re.findall(r"\$\{(\w+)", path.read_text()):
        monkeypatch.setenv(variable, variables.get(variable, f"{SECRET}{len(variable)}"))
    found = load(path)
    assert not found.warnings
    return found.config


# --- balancers ---


def test_balancers_are_more_patient_than_headrace() -> None:
    upstream, _, server = NGINX.partition("\nserver {")
    assert nginx("proxy_read_timeout", server) > TOTAL
    assert nginx("proxy_send_timeout", server) > SERVER.body_timeout
    assert nginx("client_body_timeout", server) > SERVER.body_idle_timeout
    assert nginx("send_timeout", server) > SERVER.write_timeout
    assert nginx("keepalive_timeout", upstream) < SERVER.keepalive
    assert min(haproxy("client"), haproxy("server")) > TOTAL
    [purge] = re.findall(r"pool-purge-delay (\d+s)", HAPROXY)
    assert 2 * seconds(purge) < SERVER.keepalive


def test_nothing_is_sent_twice() -> None:
    assert "non_idempotent" not in NGINX
    assert re.search(r"proxy_next_upstream error timeout;", NGINX)
    assert re.search(r"retry-on conn-failure$", HAPROXY, re.MULTILINE)


# --- systemd ---


@pytest.fixture
def analyze(tmp_path: Path) -> Any:
    """`analyze(words)` asks systemd about the units, with a program that is there; (exit code, what it said)."""
    program = shutil.which("systemd-analyze")
    if program is None:
        reason = "systemd-analyze is not on PATH; it comes with Debian's package 'systemd'"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text().replace("/opt/headrace/bin/headrace", shutil.which("true") or "")
        (tmp_path / unit.name).write_text(text)

    def asked(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [program, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20
        )
        return done.returncode, done.stdout + done.stderr

    return asked


def test_systemd_understands_every_line(analyze: Any) -> None:
    units = sorted(f"./{one.name}" for one in (DEPLOY / "systemd").iterdir())

    # It also says what it thinks of other units of this machine.
    _, said = analyze("verify", *units)

    assert "headrace" not in said, said


def test_systemd_finds_little_that_it_may_do(analyze: Any) -> None:
    code, said = analyze("security", "--offline=true", "--threshold=20", "./headrace.service")

    assert code == 0, said


def test_a_service_may_drain() -> None:
    unit = (DEPLOY / "systemd" / "headrace.service").read_text()
    [patience] = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(patience) > DRAIN
    # The supervisor tells its workers; systemd tells the supervisor alone.
    assert "\nKillMode=mixed\n" in unit
    sockets = [one.read_text() for one in (DEPLOY / "systemd").glob("*.socket")]
    assert {re.findall(r"FileDescriptorName=(\w+)", one)[0] for one in sockets} == {"api", "admin"}


def test_a_service_may_write_where_the_page_on_logging_has_the_log() -> None:
    unit = (DEPLOY / "systemd" / "headrace.service").read_text()
    page = (DEPLOY.parent / "docs" / "logging.md").read_text()
    [file] = re.findall(r"^  file: (\S+)$", page, re.MULTILINE)

    # Nothing but what systemd makes for it (ProtectSystem=strict).
    [folder] = re.findall(r"^LogsDirectory=(\S+)$", unit, re.MULTILINE)
    assert Path(file).parent == Path("/var/log") / folder


def test_the_sockets_that_systemd_holds_are_taken_by_their_names(tmp_path: Path) -> None:
    program = shutil.which("systemd-socket-activate")
    if program is None:
        pytest.skip(
            "systemd-socket-activate is not on PATH; it comes with Debian's package 'systemd'"
        )
    units = [one.read_text() for one in sorted((DEPLOY / "systemd").glob("*.socket"))]
    names = [re.findall(r"^FileDescriptorName=(\w+)$", one, re.MULTILINE)[0] for one in units]
    ports = {name: free_port() for name in names}
    content = {
        **config("http://127.0.0.1:9"),
        # Ports that are not to be used.
        "server": {"port": 1},
        "admin": {"port": 2, "token": SECRET},
        "store": {"url": ""},
    }
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump(content))
    words = [f"--listen=127.0.0.1:{port}" for port in ports.values()]
    words += [f"--fdname={':'.join(ports)}", sys.executable, "-m", "proxy", "serve", "--config"]
    with running([program, *words, str(file)], tmp_path, frozenset()) as process:
        wait_for_port(ports["admin"], process, tmp_path)
        statuses = {}
        for name, path in (("api", "/health/live"), ("admin", "/admin/workers")):
            connection = HTTPConnection("127.0.0.1", ports[name], timeout=20)
            connection.request("GET", path)
            statuses[name] = connection.getresponse().status
            connection.close()

    assert statuses == {"api": 200, "admin": 401}


# --- containers ---


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_configuration_can_be_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, shared = (
        "postgresql://headrace:secret@postgres/headrace",
        "valkey://:secret@valkey:6379/0",
    )
    config = loaded(name, monkeypatch, HEADRACE_STORE_URL=store, HEADRACE_SHARED_URL=shared)

    assert config.store.url == store
    assert (config.server.ops.host, config.server.ops.port) == ("0.0.0.0", 8002)
    # What has to outlive a container is on its volume.
    assert str(config.ledger.path).startswith("/data/")
    assert str(config.store.copy_path).startswith("/data/")


def test_compose_begins_with_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    config = loaded("compose", monkeypatch, HEADRACE_STORE_URL="", HEADRACE_SHARED_URL="")

    assert config.store.url == "sqlite:////data/headrace.db"
    assert not config.shared.url
    always = [name for name, one in COMPOSE["services"].items() if "profiles" not in one]
    assert always == ["headrace"]


def test_what_compose_mounts_is_there() -> None:
    mounted = [
        volume.partition(":")[0] for one in COMPOSE["services"].values() for volume in one.get("volumes", ())
    ]  # fmt: skip

    assert all((DEPLOY / one).exists() for one in mounted if one.startswith("."))
    assert {one for one in mounted if not one.startswith(".")} == COMPOSE["volumes"].keys()
    assert (DEPLOY / COMPOSE["services"]["headrace"]["build"] / "Dockerfile").is_file()


def test_prometheus_reads_what_it_is_given() -> None:
    given = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())
    [service] = [one for name, one in COMPOSE["services"].items() if name == "prometheus"]
    inside = {volume.split(":")[1] for volume in service["volumes"]}
    assert {f"/etc/prometheus/{name}" for name in given["rule_files"]} <= inside
    ops = yaml.safe_load(CONFIGURATIONS["compose"].read_text())["server"]["ops"]["port"]
    assert given["scrape_configs"][0]["static_configs"][0]["targets"] == [f"headrace:{ops}"]
    [folder] = [
        one["options"]["path"]
        for one in yaml.safe_load((DEPLOY / "compose" / "dashboards.yaml").read_text())["providers"]
    ]
    dashboards = COMPOSE["services"]["grafana"]["volumes"]
    assert any(volume.split(":")[1].startswith(f"{folder}/") for volume in dashboards)


def test_compose_is_given_every_variable() -> None:
    given = set(
        re.findall(r"^#? ?(\w+)=", (DEPLOY / "compose" / "environment").read_text(), re.MULTILINE)
    )
    text = (DEPLOY / "docker-compose.yaml").read_text()

    assert set(re.findall(r"\$\{(\w+)", text)) == given
    container = COMPOSE["services"]["headrace"]["environment"]
    assert set(re.findall(r"\$\{(\w+)", CONFIGURATIONS["compose"].read_text())) == container.keys()


def test_compose_finds_the_variables_where_they_are_copied_to() -> None:
    # It reads `.env` in the folder of the file that `--file` names, and not in the one it is started in.
    text = (DEPLOY.parent / "docs" / "deploying.md").read_text()
    [there] = re.findall(r"^cp deploy/compose/environment (\S+)$", text, re.MULTILINE)
    [file] = set(re.findall(r"^docker compose --file (\S+)", text, re.MULTILINE))

    assert Path(there) == Path(file).with_name(".env")


def test_containers_may_drain() -> None:
    assert seconds(COMPOSE["services"]["headrace"]["stop_grace_period"]) > DRAIN
    pod = CLUSTER["StatefulSet", "headrace"]["spec"]["template"]["spec"]
    server = yaml.safe_load(CONFIGURATIONS["kubernetes"].read_text())["server"]
    delay = server["drain_delay"]
    assert pod["terminationGracePeriodSeconds"] > server["drain"] + delay
    # Whoever is not ready is out of the endpoints while it still serves.
    probe = pod["containers"][0]["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < delay


def test_objects_of_the_cluster_mean_each_other() -> None:
    workload = CLUSTER["StatefulSet", "headrace"]["spec"]
    labels = workload["template"]["metadata"]["labels"]
    assert workload["selector"]["matchLabels"].items() <= labels.items()
    [container] = workload["template"]["spec"]["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    for (kind, _), one in CLUSTER.items():
        if kind == "Service":
            assert one["spec"]["selector"].items() <= labels.items()
            assert all(port["targetPort"] in ports for port in one["spec"]["ports"])
    assert ("Service", workload["serviceName"]) in CLUSTER
    budget = CLUSTER["PodDisruptionBudget", "headrace"]["spec"]
    assert budget["selector"] == workload["selector"]
    scaler = CLUSTER["HorizontalPodAutoscaler", "headrace"]["spec"]
    assert ("StatefulSet", scaler["scaleTargetRef"]["name"]) in CLUSTER
    # Or each apply, of a new version for example, would bring their number back to that.
    assert "replicas" not in workload
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[name]["httpGet"]["port"] == "ops"
    server = yaml.safe_load(CONFIGURATIONS["kubernetes"].read_text())["server"]
    assert ports["ops"] == server["ops"]["port"]
    assert server["workers"] == int(container["resources"]["requests"]["cpu"])
    mounts = {one["name"] for one in container["volumeMounts"]}
    volumes = {one["name"] for one in workload["template"]["spec"]["volumes"]}
    claims = {one["metadata"]["name"] for one in workload["volumeClaimTemplates"]}
    assert mounts == volumes | claims


def test_a_pod_may_do_little() -> None:
    pod = CLUSTER["StatefulSet", "headrace"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    own = pod["containers"][0]["securityContext"]
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    service = COMPOSE["services"]["headrace"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
