"""The calls of other gateways run as the page shows them, against a server with their file that the page shows."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from proxy.core.config.foreign import dotenv
from tests.docs.pages import DOCS, Block, blocks
from tests.docs.test_commands import missing, run
from tests.line.harness import Process, free_port

PAGE = DOCS / "coming-from.md"
CALLS = blocks(PAGE, "console")
MASTER = "a master key for tests, of no use to anyone 7f3a9c1e5b2d8064"


def exchanges(block: Block) -> list[tuple[str, str]]:
    """Each command, and what the page says it prints."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        # Answers are JSON on one line; nothing else of a command begins like one.
        end = next(at for at, line in enumerate(lines) if line.startswith(("{", "[")))
        found.append(("\n".join(lines[:end]), "\n".join(lines[end:])))
    return found


def file_of(block: Block) -> Block:
    """The configuration of that gateway that the page shows before its calls."""
    shown = [one for one in blocks(PAGE, "json", "env") if one.line < block.line]
    return shown[-1]


NAMES = {"json": "provider.json", "env": ".env"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("block", CALLS, ids=lambda block: block.name)
def test_every_call_is_answered_as_the_page_says(block: Block, tmp_path: Path) -> None:
    shown = file_of(block)
    # Whose it is says what is in it.
    file = tmp_path / NAMES[shown.language]
    file.write_text(shown.text)
    variables = {} if shown.language == "json" else dotenv.parse(shown.text, ".env", {})
    process = Process(file, tmp_path, PORT=str(free_port()), HEADRACE_MASTER_KEY=MASTER)
    environment = {name: one.value for name, one in variables.items()}
    environment["PATH"] = os.environ["PATH"]
    try:
        for command, expected in exchanges(block):
            line = re.sub(r"http://localhost:\d+", process.url, command)
            done = run(line.replace("curl ", "curl -sS ", 1), tmp_path, environment)

            assert done.returncode == 0, done.stdout
            assert missing(expected, done.stdout) is None, (command, done.stdout)
    finally:
        assert process.stop() == 0


def test_the_page_has_calls_of_every_gateway_it_names() -> None:
    named = re.findall(r"^\| \[(.+?)\]", PAGE.read_text(), re.MULTILINE)

    assert len(CALLS) == len(named) == 5
    assert len({file_of(block).line for block in CALLS}) == 5
    assert all(exchanges(block) for block in CALLS)
