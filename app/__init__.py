"""The burn-rate alerter. `faust -A app worker` finds its Faust app here."""

from typing import Any


def __getattr__(name: str) -> Any:  # noqa: ANN401 - Faust's app has no useful type
    """Build the app when Faust asks for it, not whenever something is imported from here."""
    if name == "app":
        from app.faust_worker import app  # noqa: PLC0415

        return app
    raise AttributeError(f"module 'app' has no attribute {name!r}")
