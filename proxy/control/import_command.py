"""`headrace config import FILE`: what `POST /admin/config/import` does, on the database itself, with or without a worker.

Whoever runs it may read this machine's variables and files, so references in the document are resolved here: an
export with references is filled in by setting its variables. One that leads nowhere is a secret that is left out.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.control.admin.access import Principal, Role
from proxy.control.admin.importing import ACTIONS, Report, carry_out, parsed
from proxy.control.admin.services import Services
from proxy.control.admin.transfer import Mode
from proxy.control.admin.web import Fault, Problem, Request
from proxy.control.sync import ConfigFile, Sync
from proxy.core import redact
from proxy.core.config.document import Leaf, Scalar, resolve
from proxy.core.config.problem import dotted
from proxy.core.config.references import References, Unresolved, refers
from proxy.core.metrics import Metrics
from proxy.state.live import Live
from proxy.state.snapshot import compile_snapshot
from proxy.state.state import State
from proxy.store.base import StoreDown
from proxy.store.console import DOWN, OK, UNUSABLE, answer, tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.core.config.problem import Path as Where
    from proxy.core.config.schema import Config

PRINCIPAL = Principal("command line", Role.OWNER)
LIMIT = 256 * 1024 * 1024
"""Bytes of a document."""


def run(
    config: Config,
    file: str,
    *,
    mode: str = Mode.MERGE,
    dry_run: bool = False,
    as_json: bool = False,
    env: Mapping[str, str] = os.environ,
) -> int:
    """Import a file (`-`: standard input) into the database of this configuration; the exit code."""
    try:
        document = _read(file, env)
        report = asyncio.run(_carried_out(config, document, Mode(mode), dry_run=dry_run))
    except StoreDown as error:
        tell(f"the database does not answer: {error}")
        return DOWN
    except Problem as problem:
        tell(f"{file}: {problem.detail}")
        for fault in problem.faults:
            tell(f"  {_fault(fault)}")
        return UNUSABLE
    except (ValueError, OSError) as error:
        tell(f"{file}: {error}")
        return UNUSABLE
    _tell(report, dry_run=dry_run, as_json=as_json)
    return UNUSABLE if report.problems else OK


# --- reading ---


def _read(file: str, env: Mapping[str, str]) -> Any:
    source = sys.stdin.buffer if file == "-" else open(file, "rb")  # noqa: SIM115 - closed below
    with source:
        raw = source.read(LIMIT + 1)
    if len(raw) > LIMIT:
        raise ValueError(f"a file of at most {LIMIT} bytes is expected")
    folder = Path() if file == "-" else Path(file).parent
    references = References(env, folder)
    faults: list[Fault] = []

    def scalar(path: Where, leaf: Leaf) -> Scalar:
        if not refers(leaf.text):
            return resolve(leaf.text) if leaf.plain else leaf.text
        try:
            return references.resolve(leaf.text)
        except Unresolved as error:
            if error.variable and _is_secret(path):
                return leaf.text
            said = f"line {leaf.line}: expected {error.expected}, found {error.found}"
            faults.append(Fault(dotted(path), said))
            return ""

    try:
        document = parsed(raw.decode("utf-8-sig"), file).build(scalar)
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8") from None
    if document is None:
        # With `replace` it would delete everything, and an export that failed leaves such a file.
        raise ValueError("the document is empty; write {} if that is what is meant")
    for value in references.hidden:
        redact.register(value)
    if faults:
        raise Problem(400, "invalid", "The document cannot be read.", tuple(faults))
    return document


def _is_secret(path: Where) -> bool:
    """Whether what may be left out is here: see `carried.is_left_out`."""
    match path:
        case ("providers", _, "credentials" | "headers" | "query" | "proxy", *_):
            return True
        case ("keys", _, "key"):
            return True
        case _:
            return False


# --- doing ---


async def _carried_out(config: Config, document: Any, mode: Mode, *, dry_run: bool) -> Report:
    if not config.store.url:
        raise ValueError("the configuration has no database: 'store.url' is empty")
    state = State(compile_snapshot(config), Live(), Metrics("import"))
    sync = Sync(ConfigFile(config), state, lambda _: None, name="import")
    try:
        # A clash of file and store is no reason not to put it right.
        state.use(await sync.start(strict=False))
        if not sync.up:
            raise StoreDown("no answer")
        request = Request("POST", "/admin/config/import", {}, {}, b"", "", "command", {}, PRINCIPAL)
        return await carry_out(request, Services(state, sync), document, mode, dry_run=dry_run)
    finally:
        await sync.close()


# --- telling ---


def _tell(report: Report, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        answer(report.shown(dry_run=dry_run))
        return
    for warning in report.warnings:
        tell(f"warning: {warning}")
    for fault in report.problems:
        tell(_fault(fault))
    for one in report.done:
        if one.action != "unchanged":
            tell(f"{one.action} {one.kind} {one.name}")
    if report.problems:
        tell(f"{len(report.problems)} problems, so nothing was changed")
        return
    counts = ((action, report.count(action)) for action in ACTIONS)
    said = ", ".join(f"{number} {_WORDS[action]}" for action, number in counts)
    tell(f"nothing was written; it would be: {said}" if dry_run else said)


_WORDS = {"create": "created", "update": "updated", "delete": "deleted", "unchanged": "unchanged"}


def _fault(fault: Fault) -> str:
    return f"{fault.field}: {fault.message}" if fault.field else fault.message
