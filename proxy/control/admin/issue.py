"""Virtual keys: making them, and whose they may be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proxy.control.admin.access import Principal, Role, may_touch
from proxy.control.admin.sealing import no_master_key
from proxy.control.admin.web import Fault, Problem
from proxy.core import virtual_key
from proxy.core.secret import Secret

if TYPE_CHECKING:
    from proxy.core.virtual_key import Pepper

SHORTEST = 16
LONGEST = 512
LONGEST_OVERLAP = 90 * 86_400.0
"""Seconds."""
_CHARACTERS = re.compile(r"[\x21-\x7e]+")


def issue(given: object, peppers: Sequence[Pepper]) -> tuple[Secret, bytes]:
    """A key, and what is stored of it: the one that is given, else a new one.

    Raises Problem: 400 for one that is too weak, 409 no_master_key without peppers.
    """
    if given is not None and not _is_good(given):
        raise Problem(
            400,
            "invalid",
            "The key cannot be used.",
            (
                Fault(
                    "key",
                    f"{SHORTEST} to {LONGEST} printable ASCII characters without spaces are expected, "
                    "eight different ones or more",
                ),
            ),
        )
    if not peppers:
        raise no_master_key()
    key = Secret(str(given)) if given is not None else virtual_key.mint()
    return key, virtual_key.private([virtual_key.kept(key, peppers[0])])


def rotate(
    private: bytes, overlap: float, peppers: Sequence[Pepper], now: float
) -> tuple[Secret, bytes]:
    """A new key beside those that are still good for `overlap` seconds. Raises Problem 400, 409 no_master_key."""
    if not 0 <= overlap <= LONGEST_OVERLAP:
        raise Problem(
            400,
            "invalid",
            "The old key cannot stay for so long.",
            (Fault("overlap", f"0 to {LONGEST_OVERLAP:.0f} seconds are expected"),),
        )
    if not peppers:
        raise no_master_key()
    return virtual_key.rotated(private, peppers[0], overlap, now)


def digests(key: Secret, peppers: Sequence[Pepper]) -> list[bytes]:
    """What it could be known by already."""
    return [virtual_key.digest(key.reveal(), pepper) for pepper in peppers]


def owned(principal: Principal, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a new key, in the team of whoever is bound to one."""
    return {**body, "team": body.get("team") or principal.team} if principal.team else dict(body)


def check_owner(
    principal: Principal, before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> None:
    """Whose key it will be; `before` is one they may touch. Raises Problem 403 for giving it away."""
    if not may_touch(principal, after.get("team") or ""):
        raise Problem(403, "forbidden", "You may have keys of your own team only.")
    if principal.role is Role.KEY_MANAGER and before is not None:
        for field in ("team", "owner"):
            if (before.get(field) or "") != (after.get(field) or ""):
                raise Problem(403, "forbidden", f"The {field} of a key is not yours to change.")


def _is_good(key: object) -> bool:
    return (
        isinstance(key, str)
        and SHORTEST <= len(key) <= LONGEST
        and _CHARACTERS.fullmatch(key) is not None
        and len(set(key)) >= 8
        and not key.startswith(virtual_key.ADMIN_PREFIX)
    )
