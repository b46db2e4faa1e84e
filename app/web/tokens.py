"""The token for everything that changes something, and how given tokens are compared."""

import hmac
import os
import secrets
from pathlib import Path

from app.errors import UserError
from app.settings import Settings

_BYTES = 32


def token_path(settings: Settings) -> Path:
    """Where the token is kept that was made here."""
    return settings.data_dir / "api-token"


def api_token(settings: Settings) -> str:
    """BURNRATE_API_TOKEN, else the kept token, else a new one, kept from now on (mode 0600).

    Raises UserError where the data folder cannot be written.
    """
    return settings.api_token or kept_token(settings) or _make(token_path(settings))


def kept_token(settings: Settings) -> str:
    """The token in the data folder; empty where there is none that can be read."""
    try:
        return token_path(settings).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def matches(given: str, expected: str) -> bool:
    """Whether a token is the expected one, in a time that tells nothing; empty ones never are."""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


def _make(path: Path) -> str:
    token = secrets.token_urlsafe(_BYTES)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(draft, token)
        return _place(draft, path, token)
    except OSError as error:
        raise UserError(
            f"{path}: the API token cannot be kept ({error.strerror}): make the folder writable, "
            "or set BURNRATE_API_TOKEN"
        ) from error


def _write(draft: Path, token: str) -> None:
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")


def _place(draft: Path, path: Path, token: str) -> str:
    """Whole or not at all; of two workers that start at once, the first one's token stands."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        if kept := path.read_text(encoding="ascii").strip():
            return kept
        draft.replace(path)  # it was empty
    finally:
        draft.unlink(missing_ok=True)
    return token
