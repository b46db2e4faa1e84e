"""The policy that is shipped, and the SLOs of it that tests speak of."""

from pathlib import Path

from app import config
from app.core.slos import Slo

ROOT = Path(__file__).parents[2]
POLICY = config.load(ROOT / "config")

AVAILABILITY: Slo = POLICY.slos["availability"]
LATENCY: Slo = POLICY.slos["latency"]
CORRECTNESS: Slo = POLICY.slos["correctness"]
INTEGRITY: Slo = POLICY.slos["data-integrity"]
RESOURCES: Slo = POLICY.slos["resource-efficiency"]
ROUTES = POLICY.ownership.routes
