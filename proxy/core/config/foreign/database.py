"""Where those programs keep things, and where we do instead.

A database of theirs is never opened: an SQLite file gets a neighbour, `headrace.db`. A PostgreSQL database is shared,
ours are other tables. There is no MySQL here, and to start without it would be to lose what is managed.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from proxy.core.config.foreign.source import Said, usual
from proxy.core.config.problem import printable, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.core.config.foreign.source import Sheet

FILE = "headrace.db"
_MYSQL = "SQLite or PostgreSQL"
_ADVICE = "there is no MySQL here; name a PostgreSQL database, or SQLite"
_PARTS = {
    "host": ("host", "server"),
    "port": ("port",),
    "user": ("username", "userid", "user", "uid"),
    "password": ("password", "pwd"),
    "name": ("database", "db", "initialcatalog"),
}
"""Words of a connection string, spaces left out."""
_PARAMETERS = {
    "sslmode": "sslmode",
    "rootcertificate": "sslrootcert",
    "sslcertificate": "sslcert",
    "sslkey": "sslkey",
}
"""Those that say how safe the connection is, as libpq calls them in a URL."""
_MODES = {
    "verifyca": "verify-ca",
    "verifyfull": "verify-full",
    "true": "require",
    "false": "disable",
}
_SSL = re.compile(r"(?<=[?&])ssl=([^&]*)")
"""What asyncpg calls libpq's `sslmode`."""
_PAIR = re.compile(r"""([^=;]+)=\s*("(?:[^"]|"")*"|'(?:[^']|'')*'|[^;]*)""")


def refused(sheet: Sheet, said: Said) -> None:
    """MySQL."""
    sheet.error(said.origin, sentence(_MYSQL, "MySQL", _ADVICE))


def of_kind(
    sheet: Sheet,
    kind: Said,
    where: Said | None,
    read: Callable[[Sheet, Said], Said | None],
    *,
    name: str,
    otherwise: str,
) -> Said | None:
    """The store, by a word for its kind and what is said of its place, in the field `name`. Who wants PostgreSQL does not
    get a file: several hosts would have one each."""
    word = str(kind.value).casefold()
    if word in ("mysql", "mariadb"):
        refused(sheet, kind)
        return None
    if word not in ("sqlite", "postgresql", "postgres"):
        sheet.error(kind.origin, sentence("sqlite or postgresql", repr(printable(str(kind.value)))))
        return None
    if where is None and word == "sqlite":
        return usually(otherwise)
    found = None if where is None else read(sheet, where)
    if word == "sqlite" or (where is not None and found is None):
        return found
    if found is not None and str(found.value).startswith("postgres"):
        return found
    at = "none" if where is None else "SQLite's"
    sheet.error(kind.origin, sentence("the address of a PostgreSQL", at, f"write it in {name}"))
    return None


def beside(sheet: Sheet, said: Said, path: str) -> Said:
    """The URL of an SQLite file of ours in the folder of theirs."""
    ours = PurePosixPath(path.replace("\\", "/")).with_name(FILE)
    sheet.warn(
        said.origin,
        f"this file is left alone, and what is in it is not taken over: {FILE} beside it is used",
    )
    return said.as_(f"sqlite:///{ours}")


def from_url(sheet: Sheet, said: Said) -> Said | None:
    """A URL as SQLAlchemy has it: `sqlite:///./data/x.db`, `postgresql+asyncpg://…`, `mysql+asyncmy://…`."""
    scheme, _, rest = str(said.value).partition("://")
    kind = scheme.partition("+")[0].casefold()
    if kind in ("mysql", "mariadb"):
        refused(sheet, said)
        return None
    if kind in ("postgresql", "postgres"):
        rest = _SSL.sub(lambda found: f"sslmode={_MODES.get(found[1], found[1])}", rest)
        ours = f"{kind}://{rest}"
        return said if ours == said.value else said.as_(ours)
    if (
        kind == "sqlite"
        and rest.startswith("/")
        and rest[1:].partition("?")[0] not in ("", ":memory:")
    ):
        return beside(sheet, said, rest[1:].partition("?")[0])
    if kind == "sqlite":
        return said.as_("", "only in memory there: nothing is kept")
    found = "another address"
    sheet.error(said.origin, sentence("sqlite:///… or postgresql://…", found))
    return None


def from_string(sheet: Sheet, said: Said) -> Said | None:
    """A connection string of .NET, of SQLite or of PostgreSQL: `Data Source=…`, `Host=…;Database=…`."""
    text = str(said.value)
    if "://" in text:
        return from_url(sheet, said)
    parts = {
        re.sub(r"\s", "", name).casefold(): _plain(value)
        for name, value in _PAIR.findall(text)
        if value.strip()
    }
    file = parts.get("datasource") or parts.get("filename")
    if file is not None and not parts.keys() & {"uid", "pwd", "userid"}:
        return beside(sheet, said, file) if file != ":memory:" else said.as_("")
    found = {
        ours: next((parts[name] for name in names if name in parts), "")
        for ours, names in _PARTS.items()
    }
    if not found["host"] or not found["name"]:
        sheet.error(
            said.origin, sentence("Data Source=FILE, or Host=…;Database=…", "something else")
        )
        return None
    user = quote(found["user"], safe="")
    password = f":{quote(found['password'], safe='')}" if found["password"] else ""
    port = f":{found['port']}" if found["port"] else ""
    at = f"{user}{password}@" if user else ""
    url = f"postgresql://{at}{found['host']}{port}/{quote(found['name'], safe='')}"
    return said.as_(url + _query(sheet, said, parts))


def _plain(value: str) -> str:
    """Without its quotes: what has a `;` in it needs some, and one of them inside is there twice."""
    value = value.strip()
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1].replace(value[0] * 2, value[0]) if quoted else value


def _query(sheet: Sheet, said: Said, parts: Mapping[str, str]) -> str:
    """What else is said of a PostgreSQL, as parameters; what means nothing here is named."""
    found: dict[str, str] = {}
    for name, value in parts.items():
        if name in _PARAMETERS:
            word = re.sub(r"[\s_-]", "", value).casefold()
            found[_PARAMETERS[name]] = _MODES.get(word, word) if name == "sslmode" else value
        elif not any(name in names for names in _PARTS.values()):
            sheet.warn(said.origin, f"{printable(name)}: not used here")
    return f"?{urlencode(found)}" if found else ""


def usually(path: str) -> Said:
    """The file of ours that stands for theirs where nothing is said."""
    return usual(f"sqlite:///{PurePosixPath(path).with_name(FILE)}")
