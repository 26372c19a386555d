"""Where the master keys come from, and what is done when there are none.

secrets.keys, secrets.file     as they are given
SQLite, nothing given          `<database>.key`, made when the database holds no secret yet
PostgreSQL, nothing given      none: secrets cannot be stored, and the start is refused if some are
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.core import redact
from proxy.core.log import logger
from proxy.core.naming import name_once
from proxy.core.secret import Secret
from proxy.core.vault import MAKE_ONE, Vault, kid_of
from proxy.store.opening import sqlite_path

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.store.base import Session

_SEALED = "SELECT 1 FROM peppers UNION ALL SELECT 1 FROM objects WHERE sealed <> '' LIMIT 1"

PRIVATE = 0o077
"""Whom a file that we made lets nobody else read."""
TRUSTED = 0o027
"""A file that is given: orchestrators mount secrets readable to a group, and that may be the only way in."""


async def holds_secrets(session: Session) -> bool:
    """Whether the database has anything that is sealed. Raises StoreDown."""
    return bool(await session.fetch(_SEALED))


def vault(config: Config, *, sealed: bool | None) -> Vault | None:
    """The vault of this configuration; None where there is no key and none is needed. Blocks.

    `sealed`: whether the database holds secrets; None: it cannot be asked. Raises ValueError with what to do.
    """
    others = [one for one in (config.admin.token, config.admin.password) if one is not None]
    keys = [*config.secrets.keys, *_given(config.secrets.file)]
    if not keys:
        keys = _own(own_file(config.store.url), sealed)
    if not keys:
        return None
    for key in keys:
        redact.register(key)
    return Vault(keys, not_these=others)


def replaced(old: Vault | None, config: Config, sealed: Collection[str]) -> Vault | None:
    """The vault of a configuration that is read anew: the old one where its keys are the same. Blocks.

    `sealed` is everything the database has sealed. Raises ValueError, as `vault` does, and for a key that was taken
    out while something is still under it.
    """
    new = vault(config, sealed=True if sealed else None)
    if old is None:
        return new
    kids = () if new is None else new.kids
    if kids == old.kids:
        return old
    left = Counter(map(kid_of, sealed))
    for kid in old.kids:
        if kid not in kids and left[kid]:
            raise ValueError(
                f"secrets.keys: {left[kid]} values in the database are still under master key {kid}: "
                "put that key back after the new one, and run 'headrace secrets rotate'"
            )
    return new


def own_file(url: str) -> Path | None:
    """The file of an SQLite database's own key; None for another database."""
    if not url.lower().startswith("sqlite"):
        return None
    database = sqlite_path(url)
    return database.with_name(database.name + ".key")


def _given(name: str | None) -> list[Secret]:
    return [] if name is None else _lines(Path(name), TRUSTED, "secrets.file")


def _own(path: Path | None, sealed: bool | None) -> list[Secret]:
    if path is not None and path.exists():
        return _lines(path, PRIVATE, "the key of the database")
    if sealed:
        where = "" if path is None else f"restore {path}, or "
        raise ValueError(
            "store: the database holds secrets, and there is no master key to open them: "
            f"{where}put the key it was used with into secrets.keys"
        )
    if path is None or sealed is None:
        return []
    return [_make(path)]


def _make(path: Path) -> Secret:
    key = secrets.token_urlsafe(32)
    try:
        first = _written(key, path)
    except OSError as error:
        raise ValueError(
            f"store: the master key {path} cannot be made: {error.strerror}; "
            "put one into secrets.keys, or name a file with secrets.file"
        ) from None
    if not first:  # another worker was faster
        return _lines(path, PRIVATE, "the key of the database")[0]
    logger.warning(
        "made the master key %s: keep a copy elsewhere, without it the secrets in the database are lost",
        path,
    )
    return Secret(key)


def _written(key: str, path: Path) -> bool:
    """Whether it is in this file now; False when there was one before. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written before it has its name: whoever finds the file finds a whole key in it.
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        return name_once(Path(draft), path)
    finally:
        Path(draft).unlink(missing_ok=True)


def _lines(path: Path, forbidden: int, what: str) -> list[Secret]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text()
    except OSError as error:
        raise ValueError(f"{what}: {path}: {error.strerror or 'it cannot be read'}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{what}: {path}: it is no text; {MAKE_ONE}") from None
    if mode & forbidden:
        raise ValueError(f"{what}: {path} is open to others (mode {mode:04o}): chmod 600 {path}")
    keys = [Secret(line.strip()) for line in text.splitlines() if line.strip()]
    if not keys:
        raise ValueError(f"{what}: {path} is empty; {MAKE_ONE}")
    return keys
