"""`POST /admin/config/import`: a document in the words of the configuration file, taken into the store.

All of it or nothing, in one transaction; with `dry_run=true` everything is worked out and nothing written. What is as
the document says already is left alone, so that importing it again changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import asdict

from proxy.control.admin import body, changes
from proxy.control.admin.access import Permission
from proxy.control.admin.differences import Difference, between
from proxy.control.admin.edits import Create, Delete
from proxy.control.admin.intake import choice, known, switch
from proxy.control.admin.planning import plan
from proxy.control.admin.sealing import no_master_key
from proxy.control.admin.services import needs_store
from proxy.control.admin.shapes import PARENT
from proxy.control.admin.transfer import Mode, Stock
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Fault, Problem, Route
from proxy.core.config.document import Document, compose, resolve
from proxy.core.config.problem import ConfigError
from proxy.store import peppers

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.control.admin.transfer import Plan, Step
    from proxy.control.admin.web import Request
    from proxy.core.config.document import Leaf, Scalar
    from proxy.core.config.problem import Path
    from proxy.core.config.problem import Problem as Wrong

ACTIONS = ("create", "update", "delete", "unchanged")


class Done(Struct, frozen=True):
    """One object: what was done, or would be."""

    action: str
    kind: str
    name: str
    """Of a credential or a deployment: what it belongs to."""
    place: str
    """In the document."""
    differences: tuple[Difference, ...] = ()
    """Of one that is new or becomes another."""


class Report(Struct, eq=False):
    """What an import did, or would do."""

    done: list[Done] = field(default_factory=list)
    """Empty where there are problems."""
    problems: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def count(self, action: str) -> int:
        """How many objects."""
        return sum(one.action == action for one in self.done)

    def shown(self, *, dry_run: bool) -> dict[str, Any]:
        """For a program."""
        return {
            "dry_run": dry_run,
            "ok": not self.problems,
            **{action: self.count(action) for action in ACTIONS},
            "edits": [
                {
                    "action": one.action,
                    "kind": one.kind,
                    "name": one.name,
                    "at": one.place,
                    "changes": [asdict(each) for each in one.differences],
                }
                for one in self.done
            ],
            "problems": [{"field": one.field, "message": one.message} for one in self.problems],
            "warnings": self.warnings,
        }


# --- reading ---


def parsed(text: str, name: str = "body") -> Document:
    """YAML without tags, of bounded depth and bounded aliases. Raises Problem 400."""
    try:
        document = compose(text, name)
    except ConfigError as error:
        raise _unreadable(error.problems) from None
    if document.problems:
        raise _unreadable(document.problems)
    return document


def _unreadable(problems: Sequence[Wrong]) -> Problem:
    faults = tuple(
        Fault(one.path, f"line {one.line}, column {one.column}: {one.message}") for one in problems
    )
    return Problem(400, "invalid", "The document cannot be read.", faults)


def read_yaml(text: str) -> Any:
    """The plain values of a document in which `${…}` is text like any other. Raises Problem 400."""
    return parsed(text).build(_value)


def _value(_: Path, leaf: Leaf) -> Scalar:
    return resolve(leaf.text) if leaf.plain else leaf.text


def _read(request: Request) -> Any:
    """The body as plain values. Raises Problem 400, 413, 415."""
    if request.media_type in body.JSON_TYPES:
        return body.value(request)
    if request.media_type not in body.YAML_TYPES:
        raise Problem(
            415,
            "unsupported_media_type",
            "Send YAML, with content-type: application/yaml, or JSON.",
        )
    if len(request.body) > body.LIMIT:
        raise body.too_large()
    try:
        text = request.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Problem(400, "invalid", "The document is not UTF-8.") from None
    return read_yaml(text)


# --- doing ---


async def carry_out(
    request: Request, services: Services, document: Any, mode: Mode, *, dry_run: bool
) -> Report:
    """Take a document in. What is wrong with it is in the report, and nothing was written then.

    Raises Problem for what has nothing to do with the document: 503 store_down, 409 no_master_key or outrun.
    """
    sync = services.sync
    # What another worker has just written is there, too: it is not to be made a second time.
    await sync.refresh()
    since = sync.mirror.revision
    stock = Stock.of(sync.mirror, sync.vault, sync.peppers)
    made = await asyncio.to_thread(plan, document, stock, mode)
    report = Report(problems=list(made.faults), warnings=list(made.warnings))
    if not dry_run and not report.problems:
        await _keep_peppers(made, services)
    try:
        written = await changes.apply(
            request,
            services,
            [step.edit for step in made.steps],
            dry_run=dry_run or bool(report.problems),
            places=[step.place for step in made.steps],
            since=since,
        )
    except Problem as problem:
        if problem.status >= 500 or problem.code in ("no_master_key", "outrun"):
            raise
        found = problem.faults or (Fault("", problem.detail),)
        follows = set(_follows(made.steps))
        report.problems += [fault for fault in found if fault.field not in follows]
        return report
    if not report.problems:
        report.done = [
            Done(
                _action(step, one),
                step.kind,
                step.name,
                step.place,
                between(step.before, one.record),
            )
            async for step, one in turns(zip(made.steps, written, strict=True))
        ]
    report.warnings += dict.fromkeys(said for one in written for said in one.warnings)
    return report


def _follows(steps: Sequence[Step]) -> Iterator[str]:
    """Fields that are wrong only because what they belong to was refused."""
    for step in steps:
        if isinstance(step.edit, Create) and step.edit.parent.startswith("@"):
            # What an edit calls it: a document has no such field there.
            yield f"{step.place}.{PARENT[step.kind]}"


async def _keep_peppers(made: Plan, services: Services) -> None:
    """In a transaction of their own: one that no key was made with does no harm."""
    if not made.peppers:
        return
    if services.sync.vault is None:
        raise no_master_key()
    await peppers.keep(needs_store(services), services.sync.vault, made.peppers)


def _action(step: Step, written: changes.Written) -> str:
    if isinstance(step.edit, Create):
        return "create"
    if isinstance(step.edit, Delete):
        return "delete"
    before = step.before
    same = before is not None and before.revision == written.record.revision
    return "unchanged" if same else "update"


# --- the route ---


async def import_document(request: Request, services: Services) -> Answer:
    """Take in the body. 400 names everything that is wrong; a dry run answers 200 and says the same."""
    needs_store(services)
    known(request, "mode", "dry_run")
    mode = choice(request, "mode", Mode, Mode.MERGE)
    dry_run = switch(request, "dry_run")
    document = await asyncio.to_thread(_read, request)
    report = await carry_out(request, services, document, mode, dry_run=dry_run)
    if report.problems and not dry_run:
        raise Problem(
            400,
            "invalid",
            f"{len(report.problems)} problems, so nothing was changed.",
            tuple(report.problems),
        )
    shown = report.shown(dry_run=dry_run)
    return Answer({**shown, "mode": mode, "revision": services.sync.revision})


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/admin/config/import",
        Permission.CONFIGURE,
        import_document,
        "Import objects into the store",
        aliases=("/api/config/import",),
        body={
            "type": "object",
            "description": "As the configuration file: providers, models, keys and settings.",
            "additionalProperties": True,
        },
        tag="config",
        query={"mode": {"enum": list(Mode)}, "dry_run": {"enum": ["true", "false"]}},
        takes=("application/json", "application/yaml"),
    ),
)
