from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from proxy.core import descriptors, memory, resources
from proxy.core.model import Server
from tests.line.asking import fleet
from tests.line.harness import ROOT

MIB = 1024**2


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a container, whatever the machine of this test is."""
    monkeypatch.setattr(memory, "of_container", lambda: None)
    monkeypatch.setattr(descriptors, "raised", lambda: 65536)


def test_on_a_usual_machine_there_is_nothing_to_say() -> None:
    assert resources.check(Server()) == []


def test_memory_for_less_than_one_worker_is_refused() -> None:
    with pytest.raises(ValueError, match="512 MiB are 64 MiB for each of 8 workers"):
        resources.check(Server(workers=8, memory_limit=512 * MIB))
    assert resources.check(Server(workers=4, memory_limit=512 * MIB)) == []


def test_a_small_container_is_said_to_be_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "of_container", lambda: memory.Limit(512 * MIB, lambda: 0))

    [warning] = resources.check(Server(workers=4))
    assert "128 MiB for each of 4 workers" in warning
    assert resources.check(Server(workers=2)) == []


def test_a_start_that_cannot_work_ends_with_what_would(tmp_path: Path) -> None:
    content = fleet(("http://127.0.0.1:9", "a"), server__max_connections=600_000)
    content["store"] = {"url": f"sqlite:///{tmp_path}/headrace.db"}
    path = tmp_path / "headrace.yaml"
    path.write_text(yaml.safe_dump(content))

    done = subprocess.run(
        [sys.executable, "-m", "proxy", "serve", "--config", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "server.max_connections: 600000 clients" in done.stderr
    assert "Traceback" not in done.stderr
