"""Certificates that a configuration names, before anybody is served with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.core.config import ConfigError
from proxy.core.config.loading import parse
from proxy.state.certified import remarks
from proxy.state.snapshot import tls
from tests.upstream.certificates import Authority


def text(certificate: object, key: object, section: str = "server") -> str:
    return f"{section}:\n  tls:\n    certificate: {certificate}\n    key: {key}\n"


def test_one_that_can_be_used_is_not_spoken_of(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue(days=90)

    assert remarks(parse(text(*files))) == ()
    assert remarks(parse("{}")) == ()


@pytest.mark.parametrize("section", ["server", "admin"])
def test_one_that_cannot_is_an_error_with_its_line(tmp_path: Path, section: str) -> None:
    certificate, _ = Authority(tmp_path).issue()

    with pytest.raises(ConfigError) as error:
        remarks(parse(text(certificate, "/nowhere/key.pem", section), "headrace.yaml"))

    assert str(error.value) == (
        f"headrace.yaml:4:10: {section}.tls.key: /nowhere/key.pem: it cannot be read: "
        "No such file or directory"
    )


def test_one_that_ends_soon_or_has_ended_is_a_warning(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    (soon,) = remarks(parse(text(*authority.issue(days=3))))
    (over,) = remarks(parse(text(*authority.issue(expired=True))))

    assert soon.message.endswith("it ends in 3 days")
    assert over.message.endswith("it ended 1 days ago")


def test_both_files_that_are_bad_are_said(tmp_path: Path) -> None:
    both = text("/no/a.pem", "/no/b.pem") + text("/no/c.pem", "/no/d.pem", "admin")

    with pytest.raises(ConfigError) as error:
        remarks(parse(both))

    assert [problem.path for problem in error.value.problems] == [
        "server.tls.certificate",
        "admin.tls.certificate",
    ]


@pytest.mark.parametrize("written", ["1.2", '"1.2"', "1.3", "null"])
def test_a_version_may_be_written_as_a_number(written: str) -> None:
    settings = tls(parse(f"{text('a', 'b')}    min_version: {written}\n").config.server.tls)

    assert settings is not None
    assert settings.min_version == ("1.3" if written == "1.3" else "1.2")


def test_older_versions_are_not_spoken() -> None:
    with pytest.raises(ConfigError, match=r"server\.tls\.min_version: expected"):
        parse(f"{text('a', 'b')}    min_version: 1.1\n")


def test_one_listener_for_both_has_one_certificate() -> None:
    shared = f"{text('a', 'b', 'admin')}  port: 8000\n  token: a-token-of-some-length\n"

    with pytest.raises(ConfigError, match=r"admin\.tls: expected none, where one listener serves"):
        parse(shared)
