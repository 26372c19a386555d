"""Command lines of other programs' documentation, run as they stand against a server somewhere else."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import urllib.error
import urllib.request
from typing import Any

import orjson
from msgspec import Struct

_PLACE = re.compile(r"http://localhost:\d+")
CURL = shutil.which("curl")


class Said(Struct, frozen=True):
    """An answer."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def curl(line: str, url: str) -> Said:
    """Run one command line that begins with `curl`, with `url` in the place of the server it names."""
    words = shlex.split(_PLACE.sub(url, line).replace("\\\n", " "))
    assert words[0] == "curl"
    return _by_curl(words[1:]) if CURL is not None else by_hand(words[1:])


def _by_curl(words: list[str]) -> Said:
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}", *words],
        capture_output=True,
        check=True,
        timeout=25,
    )
    body, _, status = done.stdout.rpartition(b"\n")
    return Said(int(status), body)


def by_hand(words: list[str]) -> Said:
    """The same for a machine without curl: `-X`, `-H`, `-d` and the URL."""
    method, headers, data, url = "", {}, None, ""
    rest = iter(words)
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(":")
            headers[name] = value.strip()
        elif word == "-d":
            data = next(rest).encode()
        else:
            assert not word.startswith("-"), word
            url = word
    method = method or ("GET" if data is None else "POST")
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Said(answer.status, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Said(error.code, error.read())
