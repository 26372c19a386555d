"""Every command in the documentation runs, and says what the documentation says it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.conftest import Demo
from tests.docs.pages import Block, blocks, every
from tests.docs.snippets import is_configuration, variables, whole, with_files


def configuration(block: Block) -> str:
    """The last configuration the page has shown before this block."""
    shown = [
        one.text
        for one in blocks(block.page, "yaml")
        if one.line < block.line and is_configuration(one)
    ]
    return shown[-1] if shown else "providers: {}\nmodels: {}\n"


def output(block: Block) -> str | None:
    """What the page says it prints: the next block, if that is plain text."""
    later = [one for one in blocks(block.page) if one.line > block.line]
    return later[0].text if later and later[0].language == "text" else None


def run(text: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run shell commands; output and errors in the order they came."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )


def looks_like(line: str) -> re.Pattern[str]:
    """A line of the documentation as a pattern: `…` stands for anything."""
    return re.compile(".*".join(map(re.escape, line.split("…"))))


def missing(expected: str, said: str) -> str | None:
    """The first expected line that is not in what was said, in this order; None when all are."""
    at = 0
    for line in filter(str.strip, expected.splitlines()):
        found = looks_like(line).search(said, at)
        if found is None:
            return line
        at = found.end()
    return None


@pytest.mark.parametrize("block", every("sh"), ids=lambda block: block.name)
def test_a_command_runs_as_written(
    block: Block, checkout: Path, environment: dict[str, str], demo: Demo
) -> None:
    shown = with_files(whole(configuration(block)), checkout)
    (checkout / "headrace.yaml").write_text(shown)

    done = run(demo.here(block.text), checkout, {**variables(shown), **environment})

    assert done.returncode == 0, done.stdout
    expected = output(block)
    if expected is not None:
        assert missing(demo.here(expected), done.stdout) is None, done.stdout


def test_a_line_that_is_not_said_is_found_out() -> None:
    said = 'data: {"a":1}\n\ndata: [DONE]\n'

    assert missing("data: {…}\n\ndata: [DONE]\n", said) is None
    assert missing("data: [DONE]\ndata: {…}\n", said) == "data: {…}"
    assert missing('data: {"a":2}\n', said) == 'data: {"a":2}'


def test_a_command_that_fails_is_found_out(checkout: Path, environment: dict[str, str]) -> None:
    assert run("false\ntrue", checkout, environment).returncode != 0
    assert run("headrace serve --nonsense", checkout, environment).returncode != 0
    assert run("python -m bench --nonsense", checkout, environment).returncode != 0
