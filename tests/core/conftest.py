"""How thoroughly properties are tried: HYPOTHESIS_PROFILE=quick (the default) or thorough."""

import os

from hypothesis import HealthCheck, settings

_ALWAYS = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}

settings.register_profile("quick", max_examples=150, **_ALWAYS)
settings.register_profile("thorough", max_examples=10_000, **_ALWAYS)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
