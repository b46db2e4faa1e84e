"""The outbox of one destination: what is still to be sent, and what became of the rest. Pure.

| state   | on                              | becomes                                        |
|---------|---------------------------------|------------------------------------------------|
| none    | a notice                        | queued; skipped where it is stale              |
| queued  | its turn                        | sending (stored before the request is made)    |
| queued  | its incident resolves           | skipped                                        |
| sending | accepted, printed               | sent                                           |
| sending | retry, fallback                 | queued; failed after `GIVE_UP_S`               |
| sending | permanent                       | failed                                         |
| sending | a restart                       | queued, as a possible duplicate                |
| sent, skipped, failed | 24 h later        | forgotten, once what it opened is closed       |

Decisions return the entries that change; the caller stores them, then puts them. Times are
milliseconds since the epoch.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

import msgspec
from msgspec.structs import replace

from app.core.notices import Kind, Notice
from app.delivery import pagerduty
from app.delivery.outcomes import Accepted, FallbackText, Outcome, Permanent, Retry
from app.delivery.secrets import service_of

State = Literal["queued", "sending", "sent", "skipped", "failed"]

KEPT_MS = 24 * 3600 * 1000
"""How long finished entries are remembered, and how old a notice may be when it comes."""

KEPT_OPEN_MS = 40 * 24 * 3600 * 1000
"""The same for those whose incident has not been closed: longer than any compliance period."""

GIVE_UP_S = {"pagerduty": 6 * 3600, "slack": 3600}
"""How long after its first attempt a notice is still tried."""

OPENS: frozenset[Kind] = frozenset({"trigger", "escalate", "freeze"})
CLOSES: frozenset[Kind] = frozenset({"resolve", "unfreeze"})
_Key = TypeVar("_Key")
_FINISHED: frozenset[State] = frozenset({"sent", "skipped", "failed"})


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One notice on its way. Stored under its notice's id."""

    notice: Notice
    seq: int  # its place in the outbox
    queued_at: int
    state: State = "queued"
    attempts: int = 0
    tried_since: int | None = None
    next_at: int = 0
    done_at: int | None = None
    possible_duplicate: bool = False  # it may have been accepted without our knowing
    text_alone: bool = False  # Slack refused its blocks
    fingerprint: str = ""  # of the secret it was last tried with
    reason: str = ""  # of its state

    @property
    def id(self) -> str:
        """The notice's id."""
        return self.notice.id

    @property
    def finished(self) -> bool:
        """Nothing more happens to it."""
        return self.state in _FINISHED

    @property
    def told(self) -> bool:
        """The destination has it, or may have it."""
        return self.state in ("sent", "sending") or self.possible_duplicate

    @property
    def closes(self) -> bool:
        """It ends what earlier ones began. For PagerDuty a downgrade resolves the page."""
        pager = service_of(self.notice.destination) == "pagerduty"
        return self.notice.kind in CLOSES or (pager and self.notice.kind == "downgrade")


def encoded(entry: Entry) -> bytes:
    """The entry as it is stored."""
    return msgspec.json.encode(entry)


def decoded(data: bytes) -> Entry:
    """The entry as it was stored; msgspec.DecodeError or ValidationError for anything else."""
    return msgspec.json.decode(data, type=Entry)


def scope_of(notice: Notice) -> tuple[str, str]:
    """What a resolve closes: a Slack channel's incident, a pager's dedup key."""
    if service_of(notice.destination) == "pagerduty":
        return notice.incident, pagerduty.dedup_key(notice)
    return notice.incident, ""


class Outbox:
    """The entries of one destination, in the order in which they came."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[str, Entry] = {}
        self._scopes: dict[tuple[str, str], dict[str, Entry]] = {}
        self._waiting: dict[str, dict[str, Entry]] = {}  # unfinished, by incident
        self._last_seq = 0
        for entry in sorted(entries, key=lambda entry: entry.seq):
            self.put(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def put(self, entry: Entry) -> None:
        """Take in what has been stored."""
        self._entries[entry.id] = entry
        self._last_seq = max(self._last_seq, entry.seq)
        self._scopes.setdefault(scope_of(entry.notice), {})[entry.id] = entry
        _place(self._waiting, entry.notice.incident, entry, keep=not entry.finished)

    def drop(self, entry: Entry) -> None:
        """Take out what is forgotten."""
        self._entries.pop(entry.id, None)
        _place(self._scopes, scope_of(entry.notice), entry, keep=False)
        _place(self._waiting, entry.notice.incident, entry, keep=False)

    def waiting(self) -> list[Entry]:
        """What is still to be sent or being sent."""
        return [entry for entries in self._waiting.values() for entry in entries.values()]

    def queue(self) -> tuple[int, int | None]:
        """How many are not finished, and since when the oldest of them waits."""
        since = [entry.queued_at for entry in self.waiting()]
        return len(since), min(since, default=None)

    def offered(self, notice: Notice, now: int, *, stale_after_ms: int | None) -> list[Entry]:
        """What a notice changes; nothing where its id is known.

        A notice older than `stale_after_ms` comes from a topic read again, or too late to be of
        use: it is skipped, unless it closes something that was told. None: no age is too old.
        """
        if notice.id in self._entries:
            return []
        entry = Entry(notice=notice, seq=self._last_seq + 1, queued_at=now)
        scope = [*self._scope(entry)]
        stale = stale_after_ms is not None and notice.at < now - stale_after_ms
        if stale and not (entry.closes and _is_told(scope)):
            return [_skipped(entry, now, "too old to be of use")]
        return _changes([*scope, entry], pruned([*scope, entry], now), entry)

    def next(self, now: int) -> Entry | None:
        """What to send now: the first of each incident, the highest severity first."""
        due = [e for e in self._heads() if e.state == "queued" and e.next_at <= now]
        return min(due, key=_urgency, default=None)

    def wait_ms(self, now: int) -> int | None:
        """How long until something is due; None: nothing waits."""
        return min(
            (max(0, e.next_at - now) for e in self._heads() if e.state == "queued"), default=None
        )

    def settled(self, entry: Entry, outcome: Outcome, now: int, delay_s: float) -> list[Entry]:
        """What an outcome changes: the entry, and what waited behind it."""
        after = _after(entry, outcome, now, delay_s)
        scope = [after if e.id == entry.id else e for e in self._scope(entry)]
        return _changes(scope, pruned(scope, now), after)

    def opened_with(self, entry: Entry) -> str:
        """The fingerprint that what this entry closes was told with; empty where none is known."""
        marks = [
            e.fingerprint for e in _since_closed(self._scope(entry)) if e.told and e.fingerprint
        ]
        return marks[-1] if marks else ""

    def forgettable(self, now: int) -> list[Entry]:
        """Finished entries that nothing will ask for any more."""
        return [
            entry for scope in self._scopes.values() for entry in _old(list(scope.values()), now)
        ]

    def _scope(self, entry: Entry) -> list[Entry]:
        scope = self._scopes.get(scope_of(entry.notice), {})
        return sorted(scope.values(), key=lambda e: e.seq)

    def _heads(self) -> Iterator[Entry]:
        return (next(iter(entries.values())) for entries in self._waiting.values())


def recovered(entries: Iterable[Entry], now: int) -> list[Entry]:
    """The entries after a restart: one that was being sent goes again."""
    return [
        replace(
            entry, state="queued", next_at=now, possible_duplicate=True, reason="sent before a stop"
        )
        if entry.state == "sending"
        else entry
        for entry in entries
    ]


def pruned(scope: list[Entry], now: int) -> list[Entry]:
    """What a waiting resolve makes pointless.

    That is everything queued before it, and, where nothing of it was ever told, the resolve itself.
    """
    closers = [e for e in scope if e.closes and e.state == "queued"]
    if not closers:
        return []
    closer = closers[-1]
    reason = "resolved before it was sent"
    skipped = [
        _skipped(e, now, reason) for e in scope if e.state == "queued" and e.seq < closer.seq
    ]
    if _is_told(scope) or not _opener_unsent(scope, skipped):
        return skipped
    return [*skipped, _skipped(closer, now, "nothing of it was ever sent")]


def _opener_unsent(scope: list[Entry], skipped: list[Entry]) -> bool:
    """Whether we know that what began it never went out (a forgotten one may have)."""
    lost = [*skipped, *(e for e in _since_closed(scope) if e.state in ("skipped", "failed"))]
    return any(e.notice.kind in OPENS for e in lost)


def _since_closed(scope: list[Entry]) -> list[Entry]:
    """The entries after the last one that closed and was sent."""
    closed = max((e.seq for e in scope if e.closes and e.state == "sent"), default=-1)
    return [e for e in scope if e.seq > closed]


def _is_told(scope: list[Entry]) -> bool:
    return any(e.told and not e.closes for e in _since_closed(scope))


def _skipped(entry: Entry, now: int, reason: str) -> Entry:
    return replace(entry, state="skipped", done_at=now, reason=reason)


def _changes(scope: list[Entry], changed: list[Entry], entry: Entry) -> list[Entry]:
    """The changed entries together with `entry`, in their order."""
    by_id = {entry.id: entry} | {e.id: e for e in changed}
    return [by_id[e.id] for e in scope if e.id in by_id]


def _after(entry: Entry, outcome: Outcome, now: int, delay_s: float) -> Entry:
    if isinstance(outcome, Accepted):
        return replace(entry, state="sent", done_at=now, reason="")
    if isinstance(outcome, Permanent):
        return replace(entry, state="failed", done_at=now, reason=outcome.reason)
    if isinstance(outcome, FallbackText):
        return replace(entry, state="queued", next_at=now, text_alone=True, reason=outcome.reason)
    return _retried(entry, outcome, now, delay_s)


def _retried(entry: Entry, outcome: Retry, now: int, delay_s: float) -> Entry:
    doubtful = entry.possible_duplicate or outcome.unsure
    give_up_s = GIVE_UP_S[service_of(entry.notice.destination)]
    since = now if entry.tried_since is None else entry.tried_since
    if now - since >= give_up_s * 1000:
        reason = f"gave up after {give_up_s // 3600} h: {outcome.reason}"
        return replace(
            entry, state="failed", done_at=now, possible_duplicate=doubtful, reason=reason
        )
    return replace(
        entry,
        state="queued",
        next_at=now + round(delay_s * 1000),
        possible_duplicate=doubtful,
        reason=outcome.reason,
    )


def sending(entry: Entry, fingerprint: str, now: int) -> Entry:
    """The entry as it is stored before its request is made."""
    since = now if entry.tried_since is None else entry.tried_since
    return replace(
        entry,
        state="sending",
        attempts=entry.attempts + 1,
        tried_since=since,
        fingerprint=fingerprint,
    )


def skipped(entry: Entry, now: int, reason: str) -> Entry:
    """The entry where there is nothing to send."""
    return _skipped(entry, now, reason)


def _old(scope: list[Entry], now: int) -> list[Entry]:
    still_open = {e.id for e in _since_closed(scope) if e.told}
    return [
        e
        for e in scope
        if e.done_at is not None
        and now - e.done_at >= (KEPT_OPEN_MS if e.id in still_open else KEPT_MS)
    ]


def _urgency(entry: Entry) -> tuple[str, int]:
    return entry.notice.severity, entry.seq


def _place(index: dict[_Key, dict[str, Entry]], key: _Key, entry: Entry, *, keep: bool) -> None:
    if keep:
        index.setdefault(key, {})[entry.id] = entry
    elif key in index:
        index[key].pop(entry.id, None)
        if not index[key]:
            del index[key]
