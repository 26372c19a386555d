"""`headrace serve` with a configuration of a test's own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import ROOT

LISTENERS = "server: {host: 127.0.0.1, port: 0}\nhealth: {enabled: false}\n"


class Served:
    """Where it listens."""

    def __init__(self, api: str, admin: str, token: str) -> None:
        self.api = api
        self.admin = admin
        self.token = token
        """The one that was printed; empty where the configuration has one."""


@contextmanager
def served(folder: Path, text: str) -> Iterator[Served]:
    """Serve this configuration, with a store in the folder."""
    file = folder / "headrace.yaml"
    file.write_text(f'{LISTENERS}store: {{url: "sqlite:///{folder}/headrace.db"}}\n{text}')
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "serve", "--config", str(file)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stderr is not None
    try:
        said = ""
        for line in process.stderr:
            said += line
            if line.startswith("dashboard at"):
                break
        api = re.search(r"listening on http://(\S+)", said)
        admin = re.search(r"admin on http://(\S+)", said)
        assert api, said
        assert admin, said
        token = re.search(r"admin token.*: (\S+)", said)
        yield Served(api[1], admin[1], token[1] if token else "")
    finally:
        process.terminate()
        process.stderr.read()
        process.wait(20)
        process.stderr.close()
