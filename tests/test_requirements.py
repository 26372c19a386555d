"""The locked requirements: complete, pinned by hash, and without an address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILES = [
    "requirements.txt",
    "requirements-runtime.txt",
    "requirements-image.txt",
    "requirements-build.txt",
]


def entries(file: str) -> list[str]:
    """The logical lines of a requirements file."""
    return (ROOT / file).read_text().replace("\\\n", " ").splitlines()


def pins(file: str) -> dict[str, str]:
    """Each package's version."""
    found = [Requirement(entry.split(" --hash", 1)[0].strip()) for entry in entries(file)]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in found}


@pytest.mark.parametrize("file", FILES)
def test_every_entry_is_one_version_with_its_hashes(file: str) -> None:
    entry = re.compile(
        r"[\w.-]+(\[[\w, -]+\])?==[\w.]+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+"
    )

    assert [line for line in entries(file) if not entry.fullmatch(line)] == []


@pytest.mark.parametrize("file", FILES)
def test_no_file_names_an_address(file: str) -> None:
    assert "://" not in (ROOT / file).read_text()


@pytest.mark.parametrize("part", FILES[1:])
def test_a_part_has_the_versions_of_the_whole(part: str) -> None:
    assert pins(part).items() <= pins("requirements.txt").items()


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("requirements-runtime.txt", PROJECT["dependencies"]),
        ("requirements-image.txt", PROJECT["dependencies"]),
        ("requirements-image.txt", PROJECT["optional-dependencies"]["redis"]),
        ("requirements.txt", PROJECT["dependencies"]),
        ("requirements.txt", PROJECT["optional-dependencies"]["test"]),
    ],
)
def test_the_lock_holds_what_the_project_asks_for(file: str, wanted: list[str]) -> None:
    locked = pins(file)

    for requirement in map(Requirement, wanted):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"run scripts/lock: {requirement}"


@pytest.mark.parametrize("file", ["requirements-runtime.txt", "requirements-image.txt"])
def test_what_only_tests_need_is_not_installed_to_run(file: str) -> None:
    assert not pins(file).keys() & {"pytest", "ruff", "mypy", "openai"}


def test_the_image_has_what_hosts_need_to_share_limits_and_nothing_else() -> None:
    more = pins("requirements-image.txt").keys() - pins("requirements-runtime.txt").keys()

    assert {"redis", "hiredis"} <= more <= {"redis", "hiredis", "async-timeout"}
