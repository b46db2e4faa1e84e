"""How a policy did: what it found and how fast, what it paged for nothing, how often it paged."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import msgspec

from app.backtest.running import Outcome
from app.core.events import Refused, parse_timestamp
from app.core.labels import Label, Score, score
from app.core.notices import Notice
from app.errors import UserError

WEEK_MS = 7 * 86_400_000
LABELS = "incidents.json"


class _Written(msgspec.Struct, rename={"begin": "from", "end": "to"}):
    """A label as a file writes it."""

    slo: str
    begin: str
    end: str
    what: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled incident, and what became of it. Seconds; None where it did not come to that."""

    label: Label
    incident: str | None  # the key of what found it first
    detected_s: int | None  # from its beginning
    reset_s: int | None  # from its end until nothing that had found it was open


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One policy's scores."""

    result: Score
    found: tuple[Found, ...]
    incidents: int
    notices: int
    pages: int  # triggers of a pager, escalations left out
    escalations: int  # of the pager
    pages_a_week: float
    by_rule: dict[str, float]  # pages a week for each rule that fired when paged, by SLO
    detected_s: float | None  # median
    reset_s: float | None  # median


def labels_of(path: Path) -> list[Label]:
    """The labelled incidents of a file; raises UserError where it cannot be read."""
    try:
        written = msgspec.json.decode(path.read_bytes(), type=list[_Written])
        return [
            Label(
                slo=one.slo,
                begin=parse_timestamp(one.begin),
                end=parse_timestamp(one.end),
                what=one.what,
            )
            for one in written
        ]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", exit_code=2) from error
    except (msgspec.MsgspecError, Refused, UnicodeDecodeError) as error:
        raise UserError(f"{path} holds no labelled incidents: {error}", exit_code=2) from error


def card(outcome: Outcome, labels: Sequence[Label]) -> Card:
    """The scores of an outcome."""
    notices = outcome.notices
    weeks = max(outcome.end_ms - outcome.begin_ms, 1) / WEEK_MS
    paged = [notice for notice in notices if notice.page and notice.kind == "trigger"]
    rules = Counter(f"{page.slo} {rule}" for page in paged for rule in page.rules)
    found = tuple(_found(label, notices) for label in labels)
    return Card(
        result=score(labels, notices),
        found=found,
        incidents=len(outcome.incidents),
        notices=len(notices),
        pages=len(paged),
        escalations=sum(notice.page and notice.kind == "escalate" for notice in notices),
        pages_a_week=len(paged) / weeks,
        by_rule={rule: number / weeks for rule, number in sorted(rules.items())},
        detected_s=_median(one.detected_s for one in found),
        reset_s=_median(one.reset_s for one in found),
    )


def _median(seconds: Iterator[int | None]) -> float | None:
    known = [one for one in seconds if one is not None]
    return median(known) if known else None


def _found(label: Label, notices: Sequence[Notice]) -> Found:
    finding = [n for n in notices if score([label], [n]).found]
    if not finding:
        return Found(label=label, incident=None, detected_s=None, reset_s=None)
    return Found(
        label=label,
        incident=finding[0].incident,
        detected_s=(finding[0].at - label.begin) // 1000,
        reset_s=_reset_s(label, {n.incident for n in finding}, notices),
    )


def _reset_s(label: Label, keys: set[str], notices: Sequence[Notice]) -> int | None:
    """When the last of these incidents was over; a freeze is a ledger, not an alert."""
    over = {n.incident: n.at for n in notices if n.kind == "resolve" and n.incident in keys}
    burning = {n.incident for n in notices if n.incident in keys and n.rules != ("exhausted",)}
    if not over or burning - set(over):
        return None
    return max(0, max(over.values()) - label.end) // 1000
