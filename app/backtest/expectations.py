"""Policy tests: given these series of events, at this time expect these incidents."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import yaml
from pydantic import AfterValidator, BeforeValidator, Field

from app import config
from app.backtest.grouping import grouped
from app.backtest.running import Outcome, outcomes_at, wanted_events
from app.backtest.series import Happening, Series, span_ms, times_of
from app.backtest.sources import kinds_for
from app.config import Policy, sources
from app.config.values import Model, Severity
from app.core import events
from app.core.events import Event, Refused
from app.core.notices import Notice
from app.core.slots import FINE_S
from app.errors import UserError

START_MS = 1_767_571_200_000  # 2026-01-05, a Monday: a test's times count from it

Fields = dict[str, Any]
"""One thing expected, or one that came."""


def _moment(value: object) -> int:
    at = span_ms(str(value))
    if at % (FINE_S * 1000):
        raise ValueError(f"{value} is no multiple of {FINE_S}s, in which windows move")
    return at


def _times(value: str) -> str:
    times_of(value)
    return value


class _Incident(Model):
    """An open incident; what is not given may be anything."""

    slo: str
    severity: Severity | None = None
    rules: tuple[str, ...] | None = None
    state: Literal["firing", "acknowledged"] | None = None


class _Told(Model):
    """A notice; what is not given may be anything."""

    slo: str
    kind: str | None = None
    to: str | None = None
    severity: Severity | None = None
    page: bool | None = None


class _Expectation(Model):
    at: Annotated[int, BeforeValidator(_moment), Field(gt=0)]
    incidents: tuple[_Incident, ...] | None = None
    told: tuple[_Told, ...] | None = None  # since the expectation before
    frozen: tuple[str, ...] | None = None


def _in_order(expected: tuple[_Expectation, ...]) -> tuple[_Expectation, ...]:
    times = [one.at for one in expected]
    if times != sorted(set(times)):
        raise ValueError("the times of expectations go up")
    return expected


class _Series(Model):
    event: str | dict[str, Any]
    times: Annotated[str, AfterValidator(_times)]


class _Test(Model):
    name: str
    series: Annotated[tuple[_Series, ...], Field(min_length=1)]
    expect: Annotated[tuple[_Expectation, ...], Field(min_length=1), AfterValidator(_in_order)]


class _File(Model):
    policy: Path | None = None  # beside the file
    events: dict[str, dict[str, Any]] = Field(default_factory=dict)
    tests: Annotated[tuple[_Test, ...], Field(min_length=1)]


class Fault(NamedTuple):
    """What came otherwise than expected, at one time of one test."""

    line: int  # of the expectation, in the file
    at: str  # as people write it
    what: str  # "incidents", "told", "frozen"
    missing: tuple[Fields, ...]
    unexpected: tuple[Fields, ...]


class Verdict(NamedTuple):
    """One test and its faults; none: it holds."""

    path: Path
    name: str
    faults: tuple[Fault, ...]


def verdicts(path: Path, config_dir: Path) -> Iterator[Verdict]:
    """Run a file's tests; `config_dir` is the policy where the file names none.

    Raises UserError where the file cannot be run: what is wrong, and where.
    """
    found = _read(path)
    policy = config.load(path.parent / found.policy if found.policy else config_dir)
    lines = _lines(path)
    for number, test in enumerate(found.tests):
        happenings = _happenings(path, found, test, policy)
        yield Verdict(path, test.name, tuple(_faults(test, happenings, policy, lines[number])))


def _read(path: Path) -> _File:
    found = sources.read(path, _File)
    if found.model is None:
        raise UserError("\n".join(map(str, found.findings)), exit_code=2)
    return found.model


def _lines(path: Path) -> list[list[int]]:
    """The line of each expectation of each test."""
    root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    return [
        [expectation.start_mark.line + 1 for expectation in _under(test, "expect").value]
        for test in _under(root, "tests").value
    ]


def _under(node: Any, name: str) -> Any:  # noqa: ANN401 - yaml's nodes
    """The node under a key, which is there: the file was read before, and merges are refused."""
    return next(value for key, value in node.value if key.value == name)


def _happenings(path: Path, file: _File, test: _Test, policy: Policy) -> list[Happening]:
    found: list[Happening] = []
    for number, series in enumerate(test.series):
        where = f"{path}: test {test.name!r}: series.{number}"
        event = _event(where, series, file, policy)
        found += [Happening(START_MS + at, event) for at in times_of(series.times)]
    return sorted(found, key=lambda one: one.at_ms)


def _event(where: str, series: _Series, file: _File, policy: Policy) -> Event:
    given = series.event
    if isinstance(given, str):
        if given not in file.events:
            known = ", ".join(file.events) or "none"
            raise UserError(f"{where}: no event {given!r} among the file's: {known}", exit_code=2)
        given = file.events[given]
    decoded = events.decode(msgspec.json.encode(given), kinds_for([policy]))[0]
    if isinstance(decoded, Refused):
        raise UserError(f"{where}: {decoded}", exit_code=2)
    if decoded.event not in wanted_events([policy]):
        raise UserError(f"{where}: no SLO of the policy counts {decoded.event}", exit_code=2)
    return decoded


def _faults(
    test: _Test, happenings: Sequence[Happening], policy: Policy, lines: Sequence[int]
) -> Iterator[Fault]:
    outcomes = _outcomes(happenings, policy, [START_MS + one.at for one in test.expect])
    before = _nothing(START_MS)
    for expected, line, outcome in zip(test.expect, lines, outcomes, strict=True):
        for what, (missing, unexpected) in _compared(expected, outcome, before).items():
            if missing or unexpected:
                yield Fault(line, written(expected.at), what, tuple(missing), tuple(unexpected))
        before = outcome


def _outcomes(
    happenings: Sequence[Happening], policy: Policy, moments: Sequence[int]
) -> list[Outcome]:
    """Everything that was told before each moment (ms), and what is open then."""
    series = Series(happenings, max(moments))
    (known,) = grouped(series, [policy])
    found = dict(outcomes_at(series, known, moments))
    return [found.get(at) or _nothing(at) for at in moments]


def _nothing(at: int) -> Outcome:
    return Outcome(begin_ms=at, end_ms=at, notices=(), incidents=())


def _compared(
    expected: _Expectation, outcome: Outcome, before: Outcome
) -> dict[str, tuple[list[Fields], list[Fields]]]:
    """For each kind of expectation that is given: what is missing, and what is not expected."""
    found: dict[str, tuple[list[Fields], list[Fields]]] = {}
    if expected.incidents is not None:
        still_open = [one for one in outcome.incidents if one["state"] != "resolved"]
        came = [{name: one[name] for name in _Incident.model_fields} for one in still_open]
        found["incidents"] = _unmatched(_given(expected.incidents), came)
    if expected.told is not None:
        known = {(one.at, one.id) for one in before.notices}
        came = [_told(one) for one in outcome.notices if (one.at, one.id) not in known]
        found["told"] = _unmatched(_given(expected.told), came)
    if expected.frozen is not None:
        came = [{"slo": slo} for slo in _frozen(outcome.notices)]
        found["frozen"] = _unmatched([{"slo": slo} for slo in expected.frozen], came)
    return found


def _given(expected: Sequence[Model]) -> list[Fields]:
    """The fields that were written, as JSON has them."""
    return [one.model_dump(mode="json", exclude_unset=True) for one in expected]


def _told(notice: Notice) -> Fields:
    return {
        "slo": notice.slo,
        "kind": notice.kind,
        "to": notice.destination,
        "severity": notice.severity,
        "page": notice.page,
    }


def _frozen(notices: Sequence[Notice]) -> list[str]:
    frozen: dict[str, bool] = {}
    for notice in notices:
        if notice.kind in ("freeze", "unfreeze"):
            frozen[notice.slo] = notice.kind == "freeze"
    return sorted(slo for slo, is_frozen in frozen.items() if is_frozen)


def _unmatched(
    expected: Sequence[Fields], came: Sequence[Fields]
) -> tuple[list[Fields], list[Fields]]:
    """Each expectation takes one that agrees, those that say most first; the rest of both."""
    missing, left = [], list(came)
    for one in sorted(expected, key=len, reverse=True):
        match = next((other for other in left if _agrees(one, other)), None)
        if match is None:
            missing.append(one)
        else:
            left.remove(match)
    return missing, left


def _agrees(expected: Fields, came: Fields) -> bool:
    return all(_comparable(came[name]) == _comparable(value) for name, value in expected.items())


def _comparable(value: object) -> object:
    return sorted(value) if isinstance(value, list) else value  # rules have no order


def written(ms: int) -> str:
    """A time as such a file writes it: 1h30m."""
    rest, text = ms // 1000, ""
    for unit, size_s in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, size_s)
        text += f"{number}{unit}" if number else ""
    return text
