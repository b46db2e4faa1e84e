"""The JSON Schemas of the configuration: current, named in the files, and of the same opinion."""

from typing import Any

import jsonschema
import pytest
import yaml

from app.config import schemas
from tests.core.policies import ROOT

FOLDER = ROOT / "config"


def shipped(name: str) -> Any:  # noqa: ANN401 - any YAML
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def validator(name: str) -> jsonschema.Draft202012Validator:
    made = yaml.safe_load((FOLDER / f"schemas/{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("name", schemas.FILES)
def test_the_shipped_schema_is_that_of_the_code(name: str) -> None:
    text = (FOLDER / f"schemas/{name}.schema.json").read_text()
    assert text == schemas.schema_of(name), "run: PYTHONPATH=. python docs/generate_schemas.py"


@pytest.mark.parametrize("name", schemas.FILES)
def test_the_file_names_its_schema_and_fits_it(name: str) -> None:
    first = (FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema=schemas/{name}.schema.json"
    assert [error.message for error in validator(name).iter_errors(shipped(name))] == []


SPOILT = {
    "an unknown key": ("slos", ["slos", 0, "colour"], "red"),
    "a duration that is none": ("slos", ["slos", 0, "breach", "window"], "1 hour"),
    "a promise of more than all": ("slos", ["slos", 0, "objective"], 1.5),
    "a way that does not exist": ("ownership", ["routes", "latency", "escalation", 0, "how"], "x"),
    "a channel without #": ("ownership", ["routes", "latency", "channel"], "alerts"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_an_editor_marks(what: str) -> None:
    name, path, value = SPOILT[what]
    document = shipped(name)
    into = document
    for key in path[:-1]:
        into = into[key]
    into[path[-1]] = value
    assert [*validator(name).iter_errors(document)]
