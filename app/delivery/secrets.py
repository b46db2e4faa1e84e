"""Secrets of destinations: found by name, known by fingerprint, kept out of every text.

`slack:#headless-alerts` → `SLACK_BOT_TOKEN` where it is set, which is for all channels, else the
channel's own `SLACK_WEBHOOK_HEADLESS_ALERTS`; `pagerduty:@platform-lead` →
`PAGERDUTY_KEY_PLATFORM_LEAD`; `heartbeat:url` → `BURNRATE_HEARTBEAT_URL`. Each also as `…_FILE`,
whose file is read again when it changes.
"""

import hashlib
import ipaddress
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

import msgspec

Service = Literal["slack", "pagerduty", "heartbeat"]
Way = Literal["own", "bot"]
"""A destination's own secret (webhook, routing key, address), or a bot's for all channels."""

PREFIXES: dict[str, str] = {"slack": "SLACK_WEBHOOK_", "pagerduty": "PAGERDUTY_KEY_"}
BOT_TOKEN = "SLACK_BOT_TOKEN"  # noqa: S105 - a variable's name
SIGNING_SECRET = "SLACK_SIGNING_SECRET"  # noqa: S105 - a variable's name
WEBHOOK_SECRET = "PAGERDUTY_WEBHOOK_SECRET"  # noqa: S105 - a variable's name
HEARTBEAT_URL = "BURNRATE_HEARTBEAT_URL"
SERVICES = (*PREFIXES, "heartbeat")
ALSO_SECRET = (
    BOT_TOKEN,
    SIGNING_SECRET,
    HEARTBEAT_URL,
    WEBHOOK_SECRET,
    "BURNRATE_API_TOKEN",
    "BURNRATE_READ_TOKEN",
    "BURNRATE_KAFKA_SASL_PASSWORD",
)
"""Found in the environment besides, and removed from texts as well."""

PAGERDUTY_KEY_LENGTH = 32
REMOVED = "[secret]"
_LEAST_REMOVED = 6  # shorter ones would take ordinary words along
_SLACK_HOOK = re.compile(
    r"https?://[\w.-]*slack[\w.-]*/(?:services|workflows|triggers)/[^\s\"'<>]+"
)


class Secret(msgspec.Struct, frozen=True):
    """A webhook address, a token or a routing key; its repr shows the fingerprint alone."""

    value: str
    fingerprint: str
    way: Way = "own"

    def __repr__(self) -> str:
        return f"Secret({self.fingerprint})"


class Found(msgspec.Struct, frozen=True):
    """What a look-up gives: a usable secret or none, and what is to be said about it."""

    variable: str
    secret: Secret | None
    hint: str = ""


def service_of(destination: str) -> str:
    """slack:#headless-alerts → "slack"."""
    return destination.partition(":")[0]


def variable_of(destination: str) -> str:
    """The variable that holds a destination's secret; ValueError for an unknown service."""
    service, _, target = destination.partition(":")
    if service == "heartbeat":
        return HEARTBEAT_URL
    if service not in PREFIXES:
        raise ValueError(f"{destination!r} is neither slack:#CHANNEL nor pagerduty:@OWNER")
    return PREFIXES[service] + re.sub(r"[^A-Z0-9]+", "_", target.upper()).strip("_")


def fingerprint(secret: str) -> str:
    """Twelve hex digits that tell secrets apart and give none away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def fault_of_url(url: str) -> str:
    """Why a URL is not to be called; empty: https, or http to this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is not a URL"
    if not host or any(char.isspace() or not char.isprintable() for char in url):
        return "it is not a URL"
    if parts.scheme == "https" or (parts.scheme == "http" and _loopback(host)):
        return ""
    return "only https is called, or http to this machine"


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Secrets:
    """The secrets of an environment. Every value that was ever seen stays known to the end.

    So an incident can be resolved with the key it was triggered with after that was replaced, and
    no text shows a secret of yesterday.
    """

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self._env = env
        self._files: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._seen: dict[tuple[str, str], Secret] = {}  # by service and fingerprint
        self._removed: set[str] = set()
        for name in {name.removesuffix("_FILE") for name in env}:
            if name.startswith(tuple(PREFIXES.values())) or name in ALSO_SECRET:
                self._value(name)

    def lookup(self, destination: str) -> Found:
        """The destination's secret as it is now; never raises for a known service."""
        service, variable = service_of(destination), variable_of(destination)
        if service == "slack" and (token := self._value(BOT_TOKEN)):
            return self._token(token)
        value = self._value(variable)
        if not value:
            return Found(variable, None, f"{variable} is not set")
        if service == "pagerduty":
            return self._routing_key(variable, value)
        return self._address(service, variable, value)

    def is_set(self, variable: str) -> bool:
        """Whether there is a secret of this name now."""
        return bool(self._value(variable))

    def several(self, variable: str) -> tuple[str, ...]:
        """All secrets of this name now, parted by spaces or commas: an old and a new one."""
        found = tuple(self._value(variable).replace(",", " ").split())
        self._removed |= {one for one in found if len(one) >= _LEAST_REMOVED}
        return found

    def _token(self, value: str) -> Found:
        if not value.isascii() or not value.isprintable() or " " in value:
            return Found(BOT_TOKEN, None, f"{BOT_TOKEN} cannot be used: it is not a token")
        return Found(BOT_TOKEN, self._kept("slack", value, "bot"))

    def _address(self, service: str, variable: str, value: str) -> Found:
        if fault := fault_of_url(value):
            return Found(variable, None, f"{variable} cannot be used: {fault}")
        return Found(variable, self._kept(service, value))

    def _routing_key(self, variable: str, value: str) -> Found:
        if not value.isascii() or not value.isprintable():
            return Found(variable, None, f"{variable} cannot be used: it is not a routing key")
        hint = ""
        if len(value) != PAGERDUTY_KEY_LENGTH:
            hint = (
                f"{variable} has {len(value)} characters, a routing key has {PAGERDUTY_KEY_LENGTH}"
            )
        return Found(variable, self._kept("pagerduty", value), hint)

    def known(self, service: str, mark: str) -> Secret | None:
        """A secret that was seen before, by its fingerprint."""
        return self._seen.get((service, mark))

    def removed_from(self, text: str) -> str:
        """The text without any secret."""
        for value in sorted(self._removed, key=len, reverse=True):
            text = text.replace(value, REMOVED)
        return _SLACK_HOOK.sub(REMOVED, text)

    def _kept(self, service: str, value: str, way: Way = "own") -> Secret:
        secret = Secret(value, fingerprint(value), way)
        self._seen[service, secret.fingerprint] = secret
        return secret

    def _value(self, variable: str) -> str:
        path = self._env.get(f"{variable}_FILE", "")
        value = self._file(path) if path else self._env.get(variable, "").strip()
        if value:
            self._conceal(variable, value)
        return value

    def _file(self, path: str) -> str:
        """The file's text; empty while there is none that can be read."""
        try:
            now = Path(path).stat()
            state = (now.st_mtime_ns, now.st_size, now.st_ino)
            known = self._files.get(path)
            if known is None or known[0] != state:
                known = (state, Path(path).read_text(encoding="utf-8").strip())
                self._files[path] = known
        except (OSError, UnicodeDecodeError):
            return ""
        return known[1]

    def _conceal(self, variable: str, value: str) -> None:
        forms = {value, quote(value, safe="")}
        if variable.startswith(PREFIXES["slack"]) or variable == HEARTBEAT_URL:
            forms |= {value.partition("://")[2], _path(value)}
        self._removed |= {form for form in forms if len(form) >= _LEAST_REMOVED}


def _path(url: str) -> str:
    """The part of an address that is secret; errors may show it alone."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


class Redactor(logging.Formatter):
    """Removes every known secret from what is logged, tracebacks included.

    Wraps another formatter: `handler.setFormatter(Redactor(secrets, handler.formatter))`.
    """

    def __init__(self, secrets: Secrets, inner: logging.Formatter | None = None) -> None:
        super().__init__()
        self._secrets = secrets
        self._inner = inner or logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def __call__(self, text: str) -> str:
        """The text without any secret."""
        return self._secrets.removed_from(text)

    def format(self, record: logging.LogRecord) -> str:
        """The record as the inner formatter writes it, without any secret."""
        return self(self._inner.format(record))
