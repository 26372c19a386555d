from __future__ import annotations

import pytest

from proxy.core.config.foreign import database
from proxy.core.config.foreign.source import Sheet
from tests.core.config.foreign.examples import here


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("sqlite:///./data/llm.db", "sqlite:///data/headrace.db"),
        ("sqlite+aiosqlite:////var/lib/llm.db", "sqlite:////var/lib/headrace.db"),
        ("sqlite:///llm.db?mode=rw", "sqlite:///headrace.db"),
        ("sqlite:///:memory:", ""),
        ("sqlite://", ""),
        ("postgresql://u:p@h:5432/n", "postgresql://u:p@h:5432/n"),
        ("postgresql+asyncpg://u:p@h/n", "postgresql://u:p@h/n"),
        ("postgres://h/n?sslmode=require", "postgres://h/n?sslmode=require"),
        (
            "postgresql+asyncpg://h/n?a=b&ssl=verify-full",
            "postgresql://h/n?a=b&sslmode=verify-full",
        ),
        ("postgresql+asyncpg://h/n?ssl=true", "postgresql://h/n?sslmode=require"),
    ],
)
def test_a_url_of_sqlalchemy(url: str, ours: str) -> None:
    sheet = Sheet("file")

    found = database.from_url(sheet, here(url))

    assert found is not None
    assert found.value == ours
    assert not sheet.problems
    # A file of theirs is not opened, and that is said.
    assert bool(sheet.warnings) is ours.endswith(database.FILE)


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("Data Source=Data/orchestration_api.db", "sqlite:///Data/headrace.db"),
        ("DataSource='C:\\data\\o.db';Cache=Shared", "sqlite:///C:/data/headrace.db"),
        ("Filename=o.db", "sqlite:///headrace.db"),
        ("Data Source=:memory:", ""),
        (
            "Host=db;Port=5433;Database=o api;Username=u@x;Password=p;",
            "postgresql://u%40x:p@db:5433/o%20api",
        ),
        ("Server=db;Database=o", "postgresql://db/o"),
        ("Host=db;Database=o;SSL Mode=Require", "postgresql://db/o?sslmode=require"),
        (
            "Host=db;Database=o;SslMode=VerifyFull;Root Certificate=/etc/ssl/db.pem",
            "postgresql://db/o?sslmode=verify-full&sslrootcert=%2Fetc%2Fssl%2Fdb.pem",
        ),
        (
            """Host=db;Database=o;Username=u;Password='a;b=''c'""",
            "postgresql://u:a%3Bb%3D%27c@db/o",
        ),
        ("postgresql://u:p@h/n", "postgresql://u:p@h/n"),
    ],
)
def test_a_connection_string(text: str, ours: str) -> None:
    sheet = Sheet("file")

    found = database.from_string(sheet, here(text))

    assert found is not None
    assert found.value == ours
    assert not sheet.problems


def of_kind(word: str, where: str | None) -> tuple[str | None, list[str]]:
    sheet = Sheet("file")
    found = database.of_kind(
        sheet,
        here(word, "TYPE"),
        None if where is None else here(where, "URL"),
        database.from_url,
        name="URL",
        otherwise="data/theirs.db",
    )
    return (
        None if found is None else found.value,
        [f"{one.path}: {one.message}" for one in sheet.problems],
    )


def test_who_wants_postgresql_does_not_get_a_file() -> None:
    missing = "TYPE: expected the address of a PostgreSQL, found none; write it in URL"
    other = "TYPE: expected the address of a PostgreSQL, found SQLite's; write it in URL"

    assert of_kind("PostgreSQL", "postgresql://h/n") == ("postgresql://h/n", [])
    assert of_kind("postgres", None) == (None, [missing])
    assert of_kind("postgresql", "sqlite:///x.db") == (None, [other])
    assert of_kind("postgresql", "sqlite://") == (None, [other])


def test_a_kind_that_is_none_of_ours_is_refused() -> None:
    assert of_kind("oracle", None) == (
        None,
        ["TYPE: expected sqlite or postgresql, found 'oracle'"],
    )


def test_an_address_says_more_than_the_usual_kind() -> None:
    assert of_kind("sqlite", None) == ("sqlite:///data/headrace.db", [])
    assert of_kind("sqlite", "postgresql://h/n") == ("postgresql://h/n", [])


def test_what_a_connection_string_says_besides_is_named() -> None:
    sheet = Sheet("file")

    found = database.from_string(sheet, here("Host=db;Database=o;Password=s;Maximum Pool Size=9"))

    assert found is not None
    assert [problem.message for problem in sheet.warnings] == ["maximumpoolsize: not used here"]


@pytest.mark.parametrize("url", ["mysql+asyncmy://u:secret@h/n", "mariadb://u:secret@h/n"])
def test_mysql_is_refused(url: str) -> None:
    sheet = Sheet("file")

    assert database.from_url(sheet, here(url, "DATABASE_URL", 3)) is None

    (problem,) = sheet.problems
    assert (problem.line, problem.path) == (3, "DATABASE_URL")
    assert "SQLite or PostgreSQL" in problem.message
    assert "secret" not in problem.message


@pytest.mark.parametrize("text", ["nonsense", "Timeout=5", "oracle://u:secret@h/n"])
def test_what_names_no_database_is_refused(text: str) -> None:
    sheet = Sheet("file")

    assert database.from_string(sheet, here(text)) is None

    assert "secret" not in sheet.problems[0].message


def test_where_nothing_is_said_there_is_a_file_where_theirs_would_be() -> None:
    assert database.usually("Data/orchestration_api.db").value == "sqlite:///Data/headrace.db"
