"""The worker that the operating commands talk to, over HTTP."""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from httpx import codes

from app.errors import UserError
from app.settings import Settings
from app.web.tokens import kept_token, token_path

DEFAULT_URL = "http://127.0.0.1:5050"
_USAGE = 2
TIMEOUT_S = 15.0  # longer than a worker waits for Kafka
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Document = dict[str, Any]


class Refused(UserError):
    """The worker's own answer that something cannot be done; `status` is HTTP's."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail, exit_code=_USAGE if status == codes.BAD_REQUEST else 1)
        self.status = status


class Unreachable(UserError):
    """Nobody answers, or somebody else does."""


class Worker:
    """The API of one worker. Every method raises Unreachable, or Refused for an error of its."""

    def __init__(
        self, settings: Settings, url: str, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._settings = settings
        self._http = httpx.Client(
            base_url=self.url,
            timeout=TIMEOUT_S,
            # a proxy cannot know this machine's own addresses
            trust_env=urlsplit(url).hostname not in _LOOPBACK,
            transport=transport,
        )

    def status(self) -> Document:
        """Every SLO."""
        return self._get("/api/slo/status")

    def policy(self) -> Document:
        """The configuration in force."""
        return self._get("/api/config")

    def incidents(self, state: str | None = None) -> list[Document]:
        """The incidents, newest first."""
        found: list[Document] = self._get("/api/incidents", state=state)["incidents"]
        return found

    def gate(self, change: str) -> Document:
        """Whether such a change may be deployed."""
        return self._get("/api/slo/gate", change=change)

    def history(self, slo: str) -> Document:
        """An SLO's last 31 days, by the hour."""
        return self._get("/api/history", slo=slo)

    def report(self, month: str | None) -> Document:
        """The month report; of every month where none is named."""
        return self._get("/api/report", month=month)

    def command(self, kind: str, key: str, *, by: str, why: str = "") -> Document:
        """Acknowledge ("ack") or resolve an incident."""
        return self.order(
            "POST", f"/api/incidents/{quote(key, safe='')}/{kind}", {"by": by, "why": why}
        )

    def listed(self, what: str) -> list[Document]:
        """All silences, maintenance windows or corrections."""
        found: list[Document] = self._get(f"/api/{what}")[what]
        return found

    def begin(self, what: str, order: Document) -> Document:
        """Make a silence, a maintenance window or a correction."""
        return self.order("POST", f"/api/{what}", order)

    def end(self, what: str, name: str, *, by: str) -> Document:
        """End one before its time."""
        return self.order("DELETE", f"/api/{what}/{quote(name, safe='')}", {"by": by})

    def order(self, method: str, path: str, body: Document) -> Document:
        """Change something; needs the API token."""
        token = self._settings.api_token or kept_token(self._settings)
        if not token:
            raise UserError(
                f"this needs the API token: set BURNRATE_API_TOKEN, or BURNRATE_DATA to the "
                f"worker's folder ({token_path(self._settings)} is not there)"
            )
        return self._ask(method, path, token, json=body)

    def _get(self, path: str, **query: str | None) -> Document:
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", path, self._settings.read_token, params=given)

    def _ask(self, method: str, path: str, token: str, **more: Any) -> Document:  # noqa: ANN401
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = self._http.request(method, path, headers=headers, **more)
            document = answer.json()
        except httpx.HTTPError as error:
            raise self._unreachable(_reason(error)) from error
        except ValueError as error:
            raise self._unreachable("what answers there is no burn-rate worker") from error
        if answer.is_error:
            detail = document.get("detail") if isinstance(document, dict) else None
            raise Refused(answer.status_code, detail or f"the worker says {answer.status_code}")
        return dict(document)

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(
            f"no worker answers at {self.url} ({reason}): start one with `burnrate up`, "
            "or name another with BURNRATE_URL"
        )


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"nothing within {TIMEOUT_S:g} s"
    if isinstance(error, httpx.ConnectError):
        return "nobody listens there"
    return str(error) or type(error).__name__


def worker(env: Mapping[str, str] = os.environ) -> Worker:
    """The worker that BURNRATE_URL names; raises UserError for settings that are none."""
    url = env.get("BURNRATE_URL", "") or DEFAULT_URL
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"BURNRATE_URL is {url!r}: write it like {DEFAULT_URL}", exit_code=2)
    return Worker(settings(env), url)


def settings(env: Mapping[str, str] = os.environ) -> Settings:
    """The environment's settings; raises UserError naming the variable at fault."""
    try:
        return Settings.from_env(env)
    except ValueError as error:
        raise UserError(str(error), exit_code=2) from error
