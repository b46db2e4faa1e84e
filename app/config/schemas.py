"""JSON Schemas of the configuration's files, for editors and for whoever generates such files."""

import json
from typing import Any

from app.config.maintenance_entries import MaintenanceFile
from app.config.ownership_entries import OwnershipFile
from app.config.slo_entries import SlosFile
from app.config.values import Model

FILES: dict[str, type[Model]] = {
    "slos": SlosFile,
    "ownership": OwnershipFile,
    "maintenance": MaintenanceFile,
}
"""Each file by its name without ending; its schema is `config/schemas/NAME.schema.json`."""


def schema_of(name: str) -> str:
    """The schema of a file, as it is shipped."""
    made = FILES[name].model_json_schema(by_alias=True)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{name}.yaml",
        "description": made.pop("description", ""),
    }
    return json.dumps(head | _without_titles(made), indent=1, ensure_ascii=False) + "\n"


def _without_titles(schema: Any) -> Any:  # noqa: ANN401 - any JSON
    """Pydantic's titles only repeat the names."""
    if isinstance(schema, list):
        return [_without_titles(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _without_titles(value)
        for name, value in schema.items()
        if not (name == "title" and isinstance(value, str)) and not _is_seconds(name, value, schema)
    }


def _is_seconds(name: str, value: object, schema: dict[str, Any]) -> bool:
    """A default that the model holds in seconds, where the file has 5m: editors would write it."""
    return name == "default" and isinstance(value, int) and schema.get("type") == "string"
