"""The policy: everything that judging and telling depend on, read whole or not at all."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from app.config.faults import route_faults, slo_faults
from app.config.findings import Finding
from app.config.lints import route_lints, slo_lints
from app.config.maintenance_entries import Maintenance, read_maintenance
from app.config.ownership_entries import OwnershipFile
from app.config.slo_entries import SlosFile
from app.config.sources import Read, read
from app.core.groups import Grouping
from app.core.ownership import Ownership
from app.core.slos import Slo, family_of
from app.errors import UserError


class Policy(msgspec.Struct, frozen=True):
    """Everything that judging and telling depend on."""

    slos: dict[str, Slo]
    ownership: Ownership
    groupings: dict[str, Grouping] = {}  # by entry, those whose groups are the values seen

    def seeing(self, values: Mapping[str, Iterable[str]]) -> "Policy":
        """With the groups of further values, by entry; itself where that makes no difference."""
        groupings = {
            name: grouping.seeing(values.get(name, ())) for name, grouping in self.groupings.items()
        }
        return self if groupings == self.groupings else self._regrouped(groupings)

    def like(self, other: "Policy") -> "Policy":
        """With the groups that another policy has of the same entries' fields."""
        return self.seeing(
            {
                name: grouping.values
                for name, grouping in other.groupings.items()
                if name in self.groupings and self.groupings[name].by == grouping.by
            }
        )

    def _regrouped(self, groupings: dict[str, Grouping]) -> "Policy":
        slos: dict[str, Slo] = {}
        routes = dict(self.ownership.routes)
        for slo in self.slos.values():
            grouping = groupings.get(family_of(slo.id))
            slos |= {one.id: one for one in (grouping.slos() if grouping else (slo,))}
        for name in slos.keys() - routes.keys():
            routes[name] = replace(groupings[family_of(name)].route, slo=name)
        return Policy(slos, replace(self.ownership, routes=routes), groupings)


class Examined(msgspec.Struct, frozen=True):
    """A folder's policy, None where there is an error in it, and all that was found."""

    policy: Policy | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[str]:
        """The errors alone, each as a line."""
        return [str(finding) for finding in self.findings if finding.level == "error"]


class ConfigError(UserError):
    """Configuration that cannot be used; `errors` holds every fault found, one a line."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        super().__init__("\n".join(errors), exit_code=1)


class NotTakenOver(UserError):
    """Configuration that is sound, but what must be stored first cannot be stored now."""


def load(config_dir: Path) -> Policy:
    """The policy of a folder; raises ConfigError with every error at once."""
    found = examine(config_dir)
    if found.policy is None:
        raise ConfigError(found.errors)
    return found.policy


def examine(config_dir: Path) -> Examined:
    """The policy of a folder with everything that is wrong, or might be, by file and line."""
    slos = read(config_dir / "slos.yaml", SlosFile)
    ownership = read(config_dir / "ownership.yaml", OwnershipFile)
    windows = read_maintenance(config_dir / "maintenance.yaml", slos.model)
    errors = (*slos.findings, *ownership.findings, *windows.findings, *_faults(slos, ownership))
    made: dict[str, Slo] = {}
    lints: tuple[Finding, ...] = ()
    if slos.model is not None:
        made = {
            slo.id: replace(slo, maintenance=windows.of(slo.id)) for _, slo in slos.model.made()
        }
        lints += slos.source.findings(slo_lints(slos.model))
    if ownership.model is not None:
        lints += ownership.source.findings(route_lints(ownership.model, made))
    if errors or slos.model is None or ownership.model is None:
        return Examined(None, (*errors, *lints))
    groupings = dict(_groupings(slos.model, ownership.model, windows))
    policy = Policy(made, ownership.model.ownership(made, [*groupings]), groupings)
    return Examined(policy, lints)


def _groupings(
    slos: SlosFile, ownership: OwnershipFile, windows: Maintenance
) -> Iterator[tuple[str, Grouping]]:
    for entry in slos.slos:
        if entry.seen is not None:
            whole = replace(entry.slo(slos.defaults), maintenance=windows.of(entry.id))
            yield (
                entry.id,
                Grouping(
                    whole=whole,
                    route=ownership.routes[entry.id].route(entry.id),
                    by=entry.field,
                    most=entry.seen.most,
                    windows={name: windows.of(name) for name in windows.groups_of(entry.id)},
                ),
            )


def _faults(slos: Read[SlosFile], ownership: Read[OwnershipFile]) -> Iterator[Finding]:
    if slos.model is not None:
        yield from slos.source.findings(slo_faults(slos.model))
    if ownership.model is not None:
        names = [slo.id for _, slo in slos.model.made()] if slos.model is not None else []
        growing = slos.model.grouped_as_seen() if slos.model is not None else frozenset[str]()
        yield from ownership.source.findings(route_faults(ownership.model, names, growing))
