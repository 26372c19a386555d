"""Every snippet in the documentation is right: Python runs, configurations load, JSON and JavaScript parse."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import yaml

from proxy.core.config import load
from proxy.state.snapshot import compile_snapshot
from tests.docs.conftest import Demo
from tests.docs.pages import Block, every
from tests.docs.snippets import is_configuration, variables, whole, with_files, with_sources

LANGUAGES = {"sh", "text", "python", "js", "yaml", "json", "console", "promql", "nginx", "env", ""}
OTHER_CONFIGURATIONS = {"scrape_configs"}
"""First keys of YAML that is not for us."""


def test_every_block_is_in_a_language_that_is_tested() -> None:
    assert {block.language for block in every()} <= LANGUAGES


@pytest.mark.parametrize("block", every("env"), ids=lambda block: block.name)
def test_variables_are_a_configuration_of_somebody(block: Block, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(block.text)

    assert load(file, {}).config.server.port


@pytest.mark.parametrize("block", every("python"), ids=lambda block: block.name)
def test_python_runs(block: Block, checkout: Path, environment: dict[str, str], demo: Demo) -> None:
    done = subprocess.run(
        [sys.executable, "-c", demo.here(block.text)],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "The mill turns" in done.stdout


@pytest.mark.parametrize("block", every("yaml"), ids=lambda block: block.name)
def test_a_configuration_loads(block: Block, tmp_path: Path) -> None:
    if not is_configuration(block):
        assert next(iter(yaml.safe_load(block.text))) in OTHER_CONFIGURATIONS
        return
    text = with_sources(with_files(whole(block.text), tmp_path), tmp_path)
    path = tmp_path / "headrace.yaml"
    path.write_text(text)

    loaded = load(path, variables(text))

    compile_snapshot(loaded.config)


@pytest.mark.parametrize("block", every("json"), ids=lambda block: block.name)
def test_json_parses(block: Block) -> None:
    orjson.loads(block.text)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")
@pytest.mark.parametrize("block", every("js"), ids=lambda block: block.name)
def test_javascript_parses(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "snippet.mjs"
    path.write_text(block.text)

    done = subprocess.run(["node", "--check", path], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
