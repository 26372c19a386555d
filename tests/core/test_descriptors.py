from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import descriptors
from proxy.core.descriptors import BASE, LEAST, RESERVE, TIGHT, check, clients, lowest_free, needed


@given(st.integers(0, 10**6))
def test_what_fits_is_what_is_enough(most: int) -> None:
    room = clients(most)

    assert room == 0 or needed(room) <= most < needed(room + 1)


def test_too_few_files_for_anybody_are_refused() -> None:
    with pytest.raises(ValueError, match=f"may have 100 files open, and needs {needed(LEAST)}"):
        check(0, 100)


def test_more_clients_than_files_allow_are_refused_with_what_would_do() -> None:
    with pytest.raises(ValueError, match="max_connections: 20000 clients") as refused:
        check(20_000, 1024)

    said = str(refused.value)
    assert "40128 open files" in said
    assert "1024 are allowed" in said
    assert "LimitNOFILE" in said
    assert f"lower max_connections to {clients(1024)}" in said
    assert check(clients(1024), 1024) == ""


def test_few_clients_are_said_to_be_few_unless_they_were_asked_for() -> None:
    few = needed(TIGHT) - 1

    assert f"takes {TIGHT - 1} clients" in check(0, few)
    assert check(TIGHT - 1, few) == ""
    assert check(0, needed(TIGHT)) == ""


def test_the_next_file_is_the_first_that_is_free() -> None:
    reading, writing = os.pipe()
    try:
        free = lowest_free(reading)
        held = os.dup(reading)
        assert held == free
        assert lowest_free(reading) > free
        os.close(held)
        assert lowest_free(reading) == free
    finally:
        os.close(reading)
        os.close(writing)


def test_a_limit_is_there() -> None:
    assert descriptors.limit() > RESERVE + BASE


PROGRAM = """
import resource
from proxy.core import descriptors
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (100, min(hard, 5000) if hard > 0 else 5000))
assert descriptors.limit() == 100
assert descriptors.raised() == min(hard, 5000) if hard > 0 else 5000
assert descriptors.limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
held = []
while descriptors.lowest_free(0) < descriptors.limit():
    held.append(open("/dev/null"))
assert held
"""


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 200
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
