"""`burnrate check`."""

import shutil
from pathlib import Path

from click.testing import CliRunner, Result

from app.cli import burnrate
from tests.web.samples import REPO


def check(*words: str, **env: str) -> Result:
    return CliRunner().invoke(burnrate, ["check", *words], env=env)


def test_the_shipped_configuration_is_fine() -> None:
    result = check(str(REPO / "config"))
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "fine: 5 SLOs, 4 owners"
    assert "hint: owners.@backend-team: no slack_id" in result.output


def test_the_folder_comes_from_the_environment(tmp_path: Path) -> None:
    assert check(BURNRATE_CONFIG=str(REPO / "config")).exit_code == 0
    assert check(BURNRATE_CONFIG=str(tmp_path)).exit_code == 1


def test_every_error_is_a_line_of_its_own(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(REPO / "config", config)
    slos, ownership = config / "slos.yaml", config / "ownership.yaml"
    slos.write_text(slos.read_text().replace("objective: 0.995", "objective: 1.5"))
    ownership.write_text(ownership.read_text().replace("how: page", "how: shout", 1))
    result = check(str(config))
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{slos}: slos.0.objective: Input should be less than or equal to 1",
        f"{ownership}: routes.availability.escalation.0.how: Input should be 'page' or 'notify'",
    ]


def test_no_configuration_at_all(tmp_path: Path) -> None:
    result = check(str(tmp_path))
    assert (result.exit_code, len(result.output.splitlines())) == (1, 2)
    assert f"{tmp_path / 'slos.yaml'}: there is no such file" in result.output
