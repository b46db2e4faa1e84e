"""Configuration: `slos.yaml` and `ownership.yaml`, checked whole, each finding with its line."""

from app.config.findings import Finding
from app.config.policy import ConfigError, Examined, NotTakenOver, Policy, examine, load

__all__ = ["ConfigError", "Examined", "Finding", "NotTakenOver", "Policy", "examine", "load"]
