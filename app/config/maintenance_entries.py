"""`maintenance.yaml` as it is written, and what the core makes of it."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from app.config.findings import Fault, Finding, Loc
from app.config.slo_entries import SlosFile, name_fault
from app.config.sources import read
from app.config.values import Model, Seconds
from app.core import maintenance
from app.core.maintenance import Window
from app.core.slos import family_of

Everything = Literal["all"]


def _moment(value: object) -> object:
    """YAML reads an unquoted time as one already."""
    return value.isoformat() if isinstance(value, datetime) else value


class WindowEntry(Model):
    """One maintenance window, of some SLOs or of all."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")]
    slos: Everything | tuple[str, ...]
    begins: Annotated[str, BeforeValidator(_moment)]
    for_: Seconds = Field(alias="for")
    by: Annotated[str, Field(min_length=1, max_length=100)]
    why: Annotated[str, Field(min_length=1, max_length=1000)]
    zone: str = "UTC"
    repeats: str = ""
    exclude_from_budget: bool = False

    def window(self) -> Window:
        """As the core takes it."""
        return Window(
            id=self.id,
            begins=self.begins,
            lasts_s=self.for_,
            by=self.by,
            why=self.why,
            zone=self.zone,
            repeats=self.repeats,
            exclude_from_budget=self.exclude_from_budget,
        )

    def is_for(self, slo: str) -> bool:
        """Whether it is a window of this SLO."""
        return self.slos == "all" or slo in self.slos


class MaintenanceFile(Model):
    """The whole file."""

    windows: tuple[WindowEntry, ...] = ()


class Maintenance(NamedTuple):
    """The file as it was read: its windows, and what is wrong with them."""

    windows: tuple[WindowEntry, ...] = ()
    findings: tuple[Finding, ...] = ()

    def of(self, slo: str) -> tuple[Window, ...]:
        """An SLO's windows; a group has those of its SLO as well."""
        names = {slo, family_of(slo)}
        return tuple(e.window() for e in self.windows if any(map(e.is_for, names)))

    def groups_of(self, entry: str) -> frozenset[str]:
        """The groups of an entry that have windows of their own."""
        named = (slo for one in self.windows if one.slos != "all" for slo in one.slos)
        return frozenset(slo for slo in named if slo != entry and family_of(slo) == entry)


def read_maintenance(path: Path, slos: SlosFile | None) -> Maintenance:
    """The maintenance windows; a folder may have none."""
    if not path.exists():
        return Maintenance()
    found = read(path, MaintenanceFile)
    if found.model is None:
        return Maintenance(findings=found.findings)
    faults = found.source.findings(maintenance_faults(found.model, slos))
    return Maintenance(found.model.windows, (*found.findings, *faults))


def maintenance_faults(file: MaintenanceFile, slos: SlosFile | None) -> Iterator[Fault]:
    """What is wrong with a window that no single entry shows; `slos`: where they are known."""
    seen = set[str]()
    known = {slo.id for slo in slos.slos} | {slo.id for _, slo in slos.made()} if slos else None
    growing = slos.grouped_as_seen() if slos else frozenset[str]()
    for index, entry in enumerate(file.windows):
        at: Loc = ("windows", index)
        if entry.id in seen:
            message = f"{entry.id!r} is taken already; every window needs an id of its own"
            yield Fault("taken-id", (*at, "id"), message)
        seen.add(entry.id)
        if fault := maintenance.fault_of(entry.window()):
            yield Fault("invalid", at, fault)
        for slo in () if entry.slos == "all" else entry.slos:
            if known is not None and (missing := name_fault(slo, known, growing)):
                yield Fault("unknown-slo", (*at, "slos"), missing)
