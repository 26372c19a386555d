"""The secrets of an object on their way into the store: which fields they are, what stays, when they have to go.

Who may write a provider may not read its keys. So a provider that is sent somewhere else loses them: otherwise its
base URL would be a way to have them delivered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from proxy.control.admin.web import Fault, Problem
from proxy.core.config.plain import is_false
from proxy.core.config.presets import address_of
from proxy.core.config.stored import SEALED
from proxy.core.records import place
from proxy.core.redact import MASK
from proxy.core.secret import Secret
from proxy.core.vault import Unopened

if TYPE_CHECKING:
    from proxy.core.records import Record
    from proxy.core.vault import Vault

NO_MASTER_KEY = (
    "There is no master key to seal secrets with: set HEADRACE_MASTER_KEY (or 'secrets.keys' in the configuration) "
    "to 32 random characters or more, and restart."
)
_PORTS = {"http": 80, "https": 443}


def fields_of(kind: str) -> frozenset[str]:
    """The fields of a kind that are kept sealed."""
    return SEALED.get(kind, frozenset())


def open_sealed(vault: Vault | None, record: Record) -> dict[str, Any] | None:
    """Its secrets; None when they are sealed and cannot be opened here."""
    if not record.sealed:
        return {}
    if vault is None:
        return None
    try:
        opened: dict[str, Any] = orjson.loads(
            vault.open(record.sealed, place(record.kind, record.id))
        )
    except (Unopened, ValueError):
        return None
    return opened


def key_of(credential: Record, vault: Vault | None) -> str | None:
    """A credential's key; None when it has none, or when it cannot be opened here."""
    key = (open_sealed(vault, credential) or {}).get("key")
    return key if isinstance(key, str) else None


def last4(key: str) -> str:
    """Enough to tell two of one's own apart, and never most of it. The end of a document tells nothing."""
    return key[-4:] if len(key) >= 12 and not key.endswith("}") else ""


def seal(vault: Vault | None, kind: str, id: int, secrets: Mapping[str, Any]) -> str:
    """What is stored of them; empty for none. Raises Problem 409 no_master_key."""
    if not secrets:
        return ""
    if vault is None:
        raise no_master_key()
    return vault.seal(orjson.dumps(secrets, default=revealed), place(kind, id))


def no_master_key() -> Problem:
    """409."""
    return Problem(409, "no_master_key", NO_MASTER_KEY)


def kept(known: Mapping[str, Any], given: Mapping[str, Any], *, merge: bool) -> dict[str, Any]:
    """The secrets after a change. What is not given, or given as `***`, stays; null goes.

    Raises Problem 400 for a mask that stands for nothing.
    """
    result = dict(known)
    faults: list[Fault] = []
    for name, value in given.items():
        before = known.get(name)
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            old = before if isinstance(before, dict) else {}
            result[name] = _entries(name, old, value, faults, merge=merge)
        elif value != MASK:
            result[name] = value
        elif before is None:
            faults.append(_unmasked(name))
    if faults:
        raise Problem(400, "invalid", "A mask is not a value.", tuple(faults))
    return {name: value for name, value in result.items() if value not in ({}, None)}


def _entries(
    name: str,
    old: Mapping[str, Any],
    given: Mapping[str, Any],
    faults: list[Fault],
    *,
    merge: bool,
) -> dict[str, Any]:
    # The name of a header is the same in other letters, and one that was kept beside the new one would be sent.
    spelled = {key.lower(): key for key in old} if name == "headers" else {}
    result = dict(old) if merge else {}
    for key, value in given.items():
        before = spelled.get(key.lower(), key)
        if value == MASK and before not in old:
            faults.append(_unmasked(f"{name}.{key}"))
            continue
        # Both spellings in one body are for the check to refuse.
        if before == key or before not in given:
            result.pop(before, None)
        if value is not None:
            result[key] = old[before] if value == MASK else value
    return result


def _unmasked(field: str) -> Fault:
    return Fault(field, f"'{MASK}' stands for a secret that is kept, and none is")


def is_sent_elsewhere(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a provider's secrets would now reach somebody else: another host, no encryption, no check of who it is."""
    if _origin(before) != _origin(after):
        return True
    return is_false(after.get("verify_tls")) and not is_false(before.get("verify_tls"))


def left_behind(
    known: Mapping[str, Any],
    kept: Mapping[str, Any],
    given: Mapping[str, Any],
    credentials: Sequence[int],
) -> tuple[str, ...]:
    """What a provider that is sent elsewhere has no more, to be said; not what somebody took away themselves."""
    gone: list[str] = []
    for name, value in known.items():
        if name in given and given[name] is None:
            continue
        if isinstance(value, dict):
            there = kept.get(name, {})
            gone += [f"{name}.{each}" for each in value if each not in there]
        elif name not in kept:
            gone.append(name)
    listed = " and ".join(filter(None, (", ".join(gone[:-1]), *gone[-1:])))
    if credentials:
        ids = ", ".join(map(str, credentials))
        listed = (
            f"{listed}, and the keys of credentials {ids},"
            if listed
            else f"the keys of credentials {ids}"
        )
    if not listed:
        return ()
    return (
        "Its requests take another way now, so what was secret on the old one is gone: "
        f"give {listed} once more.",
    )


def _origin(spec: Mapping[str, Any]) -> tuple[str, str, int | None]:
    url = address_of(spec) or ""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return ("", url, None)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").rstrip("."), port or _PORTS.get(scheme)


def is_private(spec: Mapping[str, Any]) -> bool:
    """Whether nobody on the way can read what is sent."""
    return _origin(spec)[0] == "https" and not is_false(spec.get("verify_tls"))


def revealed(value: object) -> str:
    """For an encoder: a secret as text."""
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError
