"""What machines of this kind have: nginx and HAProxy as `deploy/` configures them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bench.balancers import BALANCERS, Front, program

Balance = Callable[[str, Sequence[int]], Front]


@pytest.fixture
def balance() -> Iterator[Balance]:
    """`balance("nginx", ports)` starts it in front of two ports of this machine."""
    with ExitStack() as stack:

        def start(name: str, ports: Sequence[int]) -> Front:
            if program(name) is None:
                reason = f"{name} is neither on PATH nor in /usr/sbin; it comes with Debian's package of that name"
                if os.environ.get("CI") == "true":
                    pytest.fail(reason, pytrace=False)
                pytest.skip(reason)
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="headrace-front-")))
            folder.chmod(0o755)  # as root, both work as another user
            return stack.enter_context(BALANCERS[name](ports, folder))

        yield start
