"""The API token: given, kept, or made."""

from pathlib import Path

import pytest

from app.errors import UserError
from app.settings import Settings
from app.web.tokens import api_token, kept_token, matches


def test_a_given_token_is_taken_and_not_kept(tmp_path: Path) -> None:
    assert api_token(Settings(data_dir=tmp_path, api_token="given")) == "given"
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "state")
    made = api_token(settings)
    kept = tmp_path / "state" / "api-token"
    assert len(made) >= 43
    assert (api_token(settings), kept_token(settings)) == (made, made)
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in kept.parent.iterdir()] == ["api-token"]


def test_an_empty_file_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "api-token").touch()
    made = api_token(Settings(data_dir=tmp_path))
    assert made == kept_token(Settings(data_dir=tmp_path)) != ""


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(UserError, match="make the folder writable, or set BURNRATE_API_TOKEN"):
        api_token(Settings(data_dir=tmp_path / "state"))


@pytest.mark.parametrize(
    ("given", "expected", "same"),
    [("a", "a", True), ("a", "b", False), ("", "", False), ("é", "é", True), ("", "a", False)],
)
def test_tokens_are_compared(given: str, expected: str, same: bool) -> None:  # noqa: FBT001
    assert matches(given, expected) is same
