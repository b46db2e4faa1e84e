"""The outbox of one destination: what is still to be sent, and what became of the rest. Pure.

| state   | on                              | becomes                                        |
|---------|---------------------------------|------------------------------------------------|
| none    | a notice                        | queued; skipped where it is stale              |
| queued  | its turn                        | sending (stored before the request is made)    |
| queued  | its incident resolves           | skipped                                        |
| sending | accepted, printed               | sent                                           |
| sending | retry, fallback                 | queued; failed after `GIVE_UP_S`               |
| sending | permanent                       | failed                                         |
| sending | an answer in a thread accepted  | queued: the first message is still to change   |
| sending | its thread is lost              | queued, to go without one                      |
| sending | a restart                       | queued, as a possible duplicate                |
| queued  | the group it is in is accepted  | sent                                           |
| sent, skipped, failed | 24 h later        | forgotten, once what it opened is closed       |

Decisions return the entries that change; the caller stores them, then puts them. Times are
milliseconds since the epoch.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

import msgspec
from msgspec.structs import replace

from app.core.notices import Kind, Notice, Severity
from app.core.probes import FRESH_MS
from app.delivery import groups, pagerduty, words
from app.delivery.drafts import Draft
from app.delivery.outcomes import Accepted, FallbackText, LostThread, Outcome, Permanent, Retry
from app.delivery.secrets import service_of

State = Literal["queued", "sending", "sent", "skipped", "failed"]

KEPT_MS = 24 * 3600 * 1000
"""How long finished entries are remembered, and how old a notice may be when it comes."""

KEPT_OPEN_MS = 40 * 24 * 3600 * 1000
"""The same for those whose incident has not been closed: longer than any compliance period."""

GIVE_UP_S = {"pagerduty": 6 * 3600, "slack": 3600, "heartbeat": 60}
"""How long after its first attempt a notice is still tried."""

GROUP_OVER = 20
"""More than so many waiting notices are told together: a channel takes about one a second."""

P1_ALONE = 10
"""So many P1 still go in a message each, before all else."""

OPENS: frozenset[Kind] = frozenset({"trigger", "escalate", "freeze"})
CLOSES: frozenset[Kind] = frozenset({"resolve", "unfreeze"})
BURNS: frozenset[Kind] = frozenset({"trigger", "update", "downgrade", "escalate"})
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
    channel: str = ""  # Slack's id of it, told to a bot
    ts: str = ""  # of the message, told to a bot
    thread: str = ""  # the `ts` that it answers
    unthreaded: bool = False  # its thread is lost

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
        return self.state in ("sent", "sending") or self.possible_duplicate or bool(self.ts)

    @property
    def group(self) -> bool:
        """It stands for all that waited before it."""
        return self.notice.kind == "group"

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
        self._unfinished: Counter[str] = Counter()  # by severity
        self._group: Entry | None = None  # unfinished: it goes before all others
        self._last_seq = 0
        for entry in sorted(entries, key=lambda entry: entry.seq):
            self.put(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def put(self, entry: Entry) -> None:
        """Take in what has been stored."""
        self._tally(self._entries.get(entry.id), entry)
        self._entries[entry.id] = entry
        self._last_seq = max(self._last_seq, entry.seq)
        self._scopes.setdefault(scope_of(entry.notice), {})[entry.id] = entry
        _place(self._waiting, entry.notice.incident, entry, keep=not entry.finished)

    def drop(self, entry: Entry) -> None:
        """Take out what is forgotten."""
        self._tally(self._entries.pop(entry.id, None), None)
        _place(self._scopes, scope_of(entry.notice), entry, keep=False)
        _place(self._waiting, entry.notice.incident, entry, keep=False)

    def _tally(self, before: Entry | None, after: Entry | None) -> None:
        for entry, sign in ((before, -1), (after, 1)):
            if entry is not None and not entry.finished and not entry.group:
                self._unfinished[entry.notice.severity] += sign
        if after is not None and after.group:
            self._group = None if after.finished else after

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
        if service_of(notice.destination) == "heartbeat":
            stale_after_ms = FRESH_MS
        entry = Entry(notice=notice, seq=self._last_seq + 1, queued_at=now)
        scope = [*self._scope(entry)]
        stale = stale_after_ms is not None and notice.at < now - stale_after_ms
        if stale and not (entry.closes and _is_told(scope)):
            return [_skipped(entry, now, "too old to be of use")]
        if self._group is not None and self._group.told:
            return [entry]  # what waits before it may be told already
        return _changes([*scope, entry], pruned([*scope, entry], now), entry)

    def next(self, now: int) -> Entry | None:
        """What to send now: the first of each incident, the highest severity first."""
        if self._group is not None:
            return self._group if _is_due(self._group, now) else None
        due = [e for e in self._heads() if _is_due(e, now)]
        return min(due, key=_urgency, default=None)

    def wait_ms(self, now: int) -> int | None:
        """How long until something is due; None: nothing waits."""
        if self._group is not None:
            return max(0, self._group.next_at - now) if self._group.state == "queued" else None
        return min(
            (max(0, e.next_at - now) for e in self._heads() if e.state == "queued"), default=None
        )

    def settled(self, entry: Entry, outcome: Outcome, now: int, delay_s: float) -> list[Entry]:
        """What an outcome changes: the entry, and what waited behind it."""
        after = _after(entry, outcome, now, delay_s)
        if entry.group:
            return [after, *self._with_group(after)]
        scope = [after if e.id == entry.id else e for e in self._scope(entry)]
        return _changes(scope, pruned(scope, now), after)

    def opened_with(self, entry: Entry) -> str:
        """The fingerprint that what this entry closes was told with; empty where none is known."""
        marks = [
            e.fingerprint for e in _since_closed(self._scope(entry)) if e.told and e.fingerprint
        ]
        return marks[-1] if marks else ""

    @property
    def crowded(self) -> bool:
        """More waits than can be told one by one; a few P1 go alone all the same."""
        waiting, p1 = self._unfinished.total(), self._unfinished["P1"]
        return waiting > GROUP_OVER and self._group is None and not 0 < p1 <= P1_ALONE

    def grouped(self, destination: str, now: int) -> Entry:
        """A group of all that waits now."""
        severity: Severity = "P1" if self._unfinished["P1"] else "P2"
        notice = groups.notice(destination, severity, now)
        return Entry(notice=notice, seq=self._last_seq + 1, queued_at=now)

    def unmarked(self) -> list[Entry]:
        """What a group has told, where a stop came before that was stored."""
        told = [e for e in self if e.group and e.state == "sent"]
        newest = max(told, key=lambda e: e.seq, default=None)
        return [] if newest is None else self._with_group(newest)

    def _with_group(self, group: Entry) -> list[Entry]:
        """The members as they are after their group: all that waited before it."""
        if not group.finished:
            return []
        reason = f"told in {group.notice.incident}" if group.state == "sent" else group.reason
        return [
            replace(e, state=group.state, done_at=group.done_at, reason=reason)
            for e in self._members(group)
        ]

    def _members(self, group: Entry) -> list[Entry]:
        held = [e for e in self.waiting() if e.seq < group.seq and not e.group]
        return sorted(held, key=_urgency)

    def root(self, entry: Entry) -> Entry | None:
        """The entry with the incident's first message, whose thread this one belongs into."""
        kept = [e for e in self._scope(entry) if e.ts and not e.thread and e.id != entry.id]
        return kept[-1] if kept and not entry.unthreaded else None

    def draft(self, entry: Entry) -> Draft:
        """What is to be sent for an entry."""
        draft = Draft(
            notice=entry.notice,
            possible_duplicate=entry.possible_duplicate,
            text_alone=entry.text_alone,
        )
        if entry.group:
            return replace(draft, grouped=tuple(e.notice for e in self._members(entry)))
        scope = [e for e in self._scope(entry) if e.seq <= entry.seq]
        burning = [e.notice for e in scope if e.notice.kind in BURNS]
        return replace(
            draft,
            channel=entry.channel,
            ts=entry.thread if entry.ts else "",
            thread="" if entry.ts else entry.thread,
            evidence=burning[-1] if burning else None,
            acknowledged=_acknowledged(scope),
        )

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
        if entry.state == "sending" and not entry.ts
        else replace(entry, state="queued", next_at=now)  # a message is changed twice without harm
        if entry.state == "sending"
        else entry
        for entry in entries
    ]


def _acknowledged(scope: list[Entry]) -> str:
    """Who has the incident since it last fired, in words; empty: nobody."""
    for entry in reversed(scope):
        if entry.notice.kind == "trigger":
            break
        if entry.notice.kind == "ack":
            return entry.notice.story.reason or "acknowledged"
    return ""


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
    if entry.ts:  # it was told; the first message will show what comes after it
        return replace(entry, state="sent", done_at=now)
    return replace(entry, state="skipped", done_at=now, reason=reason)


def _changes(scope: list[Entry], changed: list[Entry], entry: Entry) -> list[Entry]:
    """The changed entries together with `entry`, in their order."""
    by_id = {entry.id: entry} | {e.id: e for e in changed}
    return [by_id[e.id] for e in scope if e.id in by_id]


def _after(entry: Entry, outcome: Outcome, now: int, delay_s: float) -> Entry:
    if isinstance(outcome, Accepted):
        return _accepted(entry, outcome, now)
    if entry.ts and isinstance(outcome, Permanent | LostThread):
        reason = f"the incident's message cannot be changed: {outcome.reason}"
        return replace(entry, state="sent", done_at=now, reason=reason)
    if isinstance(outcome, LostThread):
        return replace(
            entry, state="queued", next_at=now, thread="", unthreaded=True, reason=outcome.reason
        )
    if isinstance(outcome, Permanent):
        return replace(entry, state="failed", done_at=now, reason=outcome.reason)
    if isinstance(outcome, FallbackText):
        return replace(entry, state="queued", next_at=now, text_alone=True, reason=outcome.reason)
    return _retried(entry, outcome, now, delay_s)


def _accepted(entry: Entry, outcome: Accepted, now: int) -> Entry:
    channel, ts = outcome.channel or entry.channel, entry.ts or outcome.ts
    if entry.thread and ts and not entry.ts:
        return replace(entry, state="queued", next_at=now, channel=channel, ts=ts, reason="")
    return replace(entry, state="sent", done_at=now, channel=channel, ts=ts, reason="")


def _retried(entry: Entry, outcome: Retry, now: int, delay_s: float) -> Entry:
    doubtful = entry.possible_duplicate or (outcome.unsure and not entry.ts)
    give_up_s = GIVE_UP_S[service_of(entry.notice.destination)]
    since = now if entry.tried_since is None else entry.tried_since
    if now - since >= give_up_s * 1000:
        reason = f"gave up after {words.span(give_up_s)}: {outcome.reason}"
        state: State = "sent" if entry.ts else "failed"
        return replace(entry, state=state, done_at=now, possible_duplicate=doubtful, reason=reason)
    return replace(
        entry,
        state="queued",
        next_at=now + round(delay_s * 1000),
        possible_duplicate=doubtful,
        reason=outcome.reason,
    )


def sending(entry: Entry, fingerprint: str, now: int, root: Entry | None = None) -> Entry:
    """The entry as it is stored before its request is made; `root`: whose thread it goes into."""
    if root is not None and not entry.ts:
        entry = replace(entry, thread=root.ts, channel=root.channel)
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
        e for e in scope if e.done_at is not None and now - e.done_at >= _kept_ms(e, still_open)
    ]


def _kept_ms(entry: Entry, still_open: set[str]) -> int:
    if service_of(entry.notice.destination) == "heartbeat":
        return 2 * FRESH_MS
    lasts = entry.id in still_open and not entry.group
    return KEPT_OPEN_MS if lasts else KEPT_MS


def _is_due(entry: Entry, now: int) -> bool:
    return entry.state == "queued" and entry.next_at <= now


def _urgency(entry: Entry) -> tuple[str, int]:
    return entry.notice.severity, entry.seq


def _place(index: dict[_Key, dict[str, Entry]], key: _Key, entry: Entry, *, keep: bool) -> None:
    if keep:
        index.setdefault(key, {})[entry.id] = entry
    elif key in index:
        index[key].pop(entry.id, None)
        if not index[key]:
            del index[key]
