from __future__ import annotations

from typing import Any

import pytest

from proxy.core.config.foreign import access
from proxy.core.config.foreign.source import Given, Said, Sheet, usual
from proxy.core.config.foreign.tree import pruned
from tests.core.config.foreign.examples import here, plain


def found(
    host: str | None = None, ours: dict[str, str] | None = None, **own: str
) -> tuple[dict[str, Any], list[str]]:
    sheet = Sheet("file")
    values = {name: Said(value) for name, value in (ours or {}).items()}
    sections = access.sections(
        sheet,
        host=None if host is None else here(host),
        port=usual(7000),
        ours=Given(sheet, values),
        **{name: here(value) for name, value in own.items()},
    )
    return plain(pruned(sections)), [one.message for one in sheet.warnings]


def test_with_a_token_it_is_reached_from_everywhere() -> None:
    for sections, said in (found(token="its token"), found(None, {access.TOKEN: "its token"})):
        assert sections["server"] == {"host": "0.0.0.0", "port": 7000}
        assert sections["admin"]["host"] == "0.0.0.0"
        assert sections["admin"]["port"] == 7000
        assert sections["admin"]["token"] == "its token"
        assert said == []
    # Ours goes first.
    assert found(None, {access.TOKEN: "ours"}, token="its")[0]["admin"]["token"] == "ours"


def test_with_a_password_too() -> None:
    sections, said = found("10.0.0.1", username="root", password="a password")

    assert sections["server"]["host"] == "10.0.0.1"
    assert sections["admin"]["username"] == "root"
    assert sections["admin"]["password"] == "a password"
    assert "anonymous" not in sections["admin"]
    assert said == []


def test_with_nothing_only_this_machine_reaches_it() -> None:
    sections, said = found()

    assert sections["server"]["host"] == sections["admin"]["host"] == "127.0.0.1"
    assert sections["admin"]["anonymous"] is True
    assert access.TOKEN in said[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_with_an_address_of_this_machine_nothing_has_to_be_said(host: str) -> None:
    sections, said = found(host)

    assert sections["admin"] == {"host": host, "port": 7000, "anonymous": True}
    assert said == []


def test_nobody_else_is_ever_let_in_without_a_credential() -> None:
    sections, said = found("0.0.0.0")

    assert sections == {"server": {"host": "0.0.0.0", "port": 7000}}
    assert access.TOKEN in said[0]


def test_a_master_key_of_the_file_is_taken_and_one_of_a_variable_is_there_anyway() -> None:
    assert found(None, {access.MASTER: "m"})[0]["secrets"] == {"keys": ["m"]}
    sheet = Sheet("file")
    ours = Given(sheet, {access.MASTER: Said("m", None, "", access.MASTER)})
    assert access.sections(sheet, host=None, port=usual(1), ours=ours)["secrets"] == {}
