"""The policy: everything that judging and telling depend on, read whole or not at all."""

from pathlib import Path

import msgspec

from app.config.faults import route_faults, slo_faults
from app.config.ownership_entries import OwnershipFile
from app.config.reading import read
from app.config.slo_entries import SlosFile
from app.core.ownership import Ownership
from app.core.slos import Slo
from app.errors import UserError


class Policy(msgspec.Struct, frozen=True):
    """Everything that judging and telling depend on."""

    slos: dict[str, Slo]
    ownership: Ownership


class ConfigError(UserError):
    """Configuration that cannot be used; `errors` holds every fault found, one a line."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        super().__init__("\n".join(errors), exit_code=1)


class NotTakenOver(UserError):
    """Configuration that is sound, but what must be stored first cannot be stored now."""


def load(config_dir: Path) -> Policy:
    """The policy of a folder; raises ConfigError with every error at once."""
    errors: list[str] = []
    slos = read(config_dir / "slos.yaml", SlosFile, errors)
    ownership = read(config_dir / "ownership.yaml", OwnershipFile, errors)
    if isinstance(slos, SlosFile):
        errors += slo_faults(config_dir / "slos.yaml", slos)
    if isinstance(ownership, OwnershipFile):
        names = {slo.id for slo in slos.slos} if isinstance(slos, SlosFile) else set()
        errors += route_faults(config_dir / "ownership.yaml", ownership, names)
    if errors or not isinstance(slos, SlosFile) or not isinstance(ownership, OwnershipFile):
        raise ConfigError(errors)
    return Policy({slo.id: slo.slo(slos.defaults) for slo in slos.slos}, ownership.ownership())
