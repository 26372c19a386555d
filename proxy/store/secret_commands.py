"""`headrace secrets`: the master keys of the database, replaced while it is in use.

Gives the exit code: 0, 1 for a database that is not there or something that is still under another key, 2 for what
cannot be done at all. It may be killed at any time, and run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from proxy.store import rotation
from proxy.store.console import DOWN, OK, answer, say
from proxy.store.key_commands import with_vault

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.vault import Vault
    from proxy.store.base import Store


def rotate(config: Config, *, as_json: bool = False) -> int:
    """Seal everything again under the first of `secrets.keys`, and say what is left under the others."""

    async def work(store: Store, vault: Vault) -> int:
        done = await rotation.rotate(store, vault, _progress)
        for sentence in done.unopened:
            say(f"left as it is: {sentence}")
        answer(msgspec.to_builtins(done) if as_json else _report(done))
        return DOWN if done.left else OK

    return with_vault(config, work)


def _progress(done: int, total: int) -> None:
    say(f"sealed again: {done} of {total}")


def _report(done: rotation.Rotated) -> str:
    lines = [f"sealed again under master key {done.kid}: {done.resealed}"]
    for kid, count in done.left.items():
        whose = (
            f"under master key {kid}, which has to stay" if kid else "in no form that can be read"
        )
        lines.append(f"still {whose}: {count}")
    if not done.left:
        lines.append("still under another key: 0, so the others can be taken out of secrets.keys")
    return "\n".join(lines)
