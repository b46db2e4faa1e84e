"""The gate's snippets do what they say: run as they stand there, against a real server."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.tools import needs
from tests.web import samples

DOCUMENT = Path(__file__).parents[2] / "docs" / "deployment-gate.md"
NOBODY = "http://127.0.0.1:9"

pytestmark = needs("jq", "curl", "bash")


def snippet(language: str, number: int = 0) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    return str(found[number])


def action() -> str:
    (step,) = yaml.safe_load(snippet("yaml"))
    script: str = step["run"]
    return script


SCRIPTS = {"action": action(), "shell": snippet("sh")}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A worker's server while data integrity freezes deployments."""
    with samples.served(samples.server(tmp_path_factory.mktemp("gate"), samples.outage())) as url:
        yield url


def run(script: str, url: str, change: str) -> tuple[int, str]:
    script = script.replace("--retry 3 --retry-all-errors", "")  # nobody answers the fourth time
    env = os.environ | {"BURNRATE_URL": url, "CHANGE": change, "BURNRATE_READ_TOKEN": ""}
    env.pop("http_proxy", None)
    done = subprocess.run(
        ["bash", "-e", "-c", script], env=env, text=True, capture_output=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(("change", "ends"), [("feature", 1), ("hotfix", 0)])
def test_a_freeze_stops_a_feature_and_lets_a_hotfix_pass(
    name: str, change: str, ends: int, frozen: str
) -> None:
    code, said = run(SCRIPTS[name], frozen, change)
    assert code == ends, said
    assert ("data-integrity" in said) == (ends == 1)


@pytest.mark.parametrize("name", SCRIPTS)
def test_where_nobody_answers_nothing_is_deployed(name: str) -> None:
    code, said = run(SCRIPTS[name], NOBODY, "hotfix")
    assert (code, "not deployed" in said or "cannot be asked" in said) == (1, True)
