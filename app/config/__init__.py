"""Configuration: `slos.yaml` and `ownership.yaml`, checked whole, each error with file and path."""

from app.config.lints import hints
from app.config.policy import ConfigError, NotTakenOver, Policy, load

__all__ = ["ConfigError", "NotTakenOver", "Policy", "hints", "load"]
