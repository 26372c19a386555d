"""One port for clients and operators, as those programs have, and who is asked for a credential there.

    a token or a password is known     all addresses, and management calls need it
    none, and no address is given      this machine only, and management calls need nothing, as there
    none, and an address is given      that address for clients; management calls on a port of their own

The last two are said in a warning. Nothing that anybody may manage is ever reachable from another machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.address import is_loopback
from proxy.core.config.foreign.source import Said, usual

if TYPE_CHECKING:
    from proxy.core.config.foreign.source import Given, Sheet

TOKEN, MASTER = "HEADRACE_ADMIN_TOKEN", "HEADRACE_MASTER_KEY"
OURS = frozenset((TOKEN, MASTER))
"""Variables of ours beside those of the other program: also in its file of variables."""
_ALL = "0.0.0.0"  # noqa: S104 - what those programs listen on


def sections(
    sheet: Sheet,
    *,
    host: Said | None,
    port: Said,
    ours: Given,
    token: Said | None = None,
    password: Said | None = None,
    username: Said | None = None,
) -> dict[str, Any]:
    """`server`, `admin` and `secrets`. `ours` has our own variables, `token` and `password` are the other program's."""
    token = ours.text(TOKEN) or token
    master = ours.text(MASTER)
    secrets = {} if master is None or master.variable else {"keys": [master]}
    if token is not None or password is not None:
        at = host or usual(_ALL)
        return {
            "server": {"host": at, "port": port},
            "admin": {
                "host": at,
                "port": port,
                "token": token,
                "username": username,
                "password": password,
            },
            "secrets": secrets,
        }
    if host is not None and not is_loopback(str(host.value)):
        sheet.warn(
            host.origin,
            "management calls are not answered on this port, which other machines reach: "
            f"set {TOKEN} to have them here",
        )
        return {"server": {"host": host, "port": port}, "secrets": secrets}
    if host is None:
        sheet.warn(
            None,
            "only this machine reaches the port, because management calls need no credential: "
            f"set {TOKEN} to listen on all addresses",
        )
        host = Said("127.0.0.1", None, f"all addresses there; here, with {TOKEN}")
    return {
        "server": {"host": host, "port": port},
        "admin": {
            "host": host,
            "port": port,
            "username": username,
            "anonymous": Said(True, None, "as there: management calls need no credential"),
        },
        "secrets": secrets,
    }
