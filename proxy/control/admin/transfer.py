"""What an import is made of: what is there, how to treat what is not named, and the edits in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct, field

from proxy.control.admin.web import Fault
from proxy.core.config.problem import Path, dotted
from proxy.core.records import Kind

if TYPE_CHECKING:
    from proxy.control.admin.edits import Edit
    from proxy.core.records import Record
    from proxy.core.vault import Vault
    from proxy.core.virtual_key import Pepper
    from proxy.state.mirror import Mirror


class Mode(StrEnum):
    """What becomes of objects that the document does not name."""

    MERGE = "merge"
    """They stay."""
    REPLACE = "replace"
    """They are deleted."""


class Step(Struct, frozen=True, eq=False):
    """One edit, and where it comes from."""

    edit: Edit
    kind: str
    name: str
    """Of the object; of a credential or a deployment, of what it belongs to."""
    place: str
    """In the document: `providers.openai.credentials[0]`."""
    before: Record | None = None


class Plan(Struct, eq=False):
    """All of them, in the order in which they can be done."""

    steps: list[Step] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    peppers: dict[str, bytes] = field(default_factory=dict)
    """To be kept before: without them the virtual keys of the document are unknown."""

    def fault(self, path: Path, message: str) -> None:
        """Something that is wrong with the document."""
        self.faults.append(Fault(dotted(path), message))


class Stock(Struct, frozen=True, eq=False):
    """What the store has. A copy: a plan of many objects is made beside the loop."""

    records: Mapping[str, Mapping[int, Record]]
    vault: Vault | None
    peppers: Sequence[Pepper]

    @classmethod
    def of(cls, mirror: Mirror, vault: Vault | None, peppers: Sequence[Pepper]) -> Stock:
        """Of a worker."""
        return cls({kind: dict(mirror.records.get(kind, {})) for kind in Kind}, vault, peppers)

    def named(self, kind: str) -> dict[str, Record]:
        """Name to record."""
        return {record.name: record for record in self.records.get(kind, {}).values()}

    def families(self, kind: str) -> dict[int, list[Record]]:
        """The id of a parent to its children, in the order of their ids."""
        found: dict[int, list[Record]] = {}
        records = self.records.get(kind, {})
        for id in sorted(records):
            found.setdefault(records[id].parent, []).append(records[id])
        return found
