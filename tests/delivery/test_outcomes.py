"""What answers mean."""

import pytest

from app.delivery.outcomes import (
    Accepted,
    Answer,
    FallbackText,
    Outcome,
    Permanent,
    Retry,
    backoff_s,
    of_pagerduty,
    of_slack,
    retry_after_s,
)
from tests.delivery.samples import ms

NOW = ms("2026-10-13 14:05:00")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"ok", Accepted(200)),
        (
            200,
            b"<html>sign in</html>",
            Retry("200 without ok: <html>sign in</html>", None, 200, True),
        ),
        (400, b"invalid_payload", FallbackText("400 invalid_payload")),
        (403, b"action_prohibited", Permanent("403 action_prohibited", 403)),
        (404, b"no_service", Permanent("404 no_service", 404)),
        (410, b"channel_is_archived", Permanent("410 channel_is_archived", 410)),
        (302, b"", Permanent("302", 302)),
        (429, b"", Retry("429", 30.0, 429)),
        (500, b"", Retry("500", None, 500, True)),
        (503, b"", Retry("503", None, 503)),
    ],
)
def test_of_slack(status: int, body: bytes, outcome: Outcome) -> None:
    assert of_slack(Answer(status, body), text_alone=False) == outcome


def test_a_refused_fallback_is_final() -> None:
    answer = Answer(400, b"invalid_payload")
    assert of_slack(answer, text_alone=True) == Permanent("400 invalid_payload", 400)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (202, b"{}", Accepted(202)),
        (
            400,
            b'{"status":"invalid event","message":"Event object is invalid","errors":["a","b"]}',
            Permanent("400 Event object is invalid; a; b", 400),
        ),
        (400, b'{"message":"m","errors":"odd"}', Permanent("400 m; odd", 400)),
        (400, b"[]", Permanent("400 []", 400)),
        (400, b"\xff", Permanent("400 \ufffd", 400)),
        (403, b"", Permanent("403", 403)),
        (408, b"", Retry("408", None, 408, True)),
        (429, b"", Retry("429", 30.0, 429)),
        (502, b"bad gateway", Retry("502 bad gateway", None, 502, True)),
    ],
)
def test_of_pagerduty(status: int, body: bytes, outcome: Outcome) -> None:
    assert of_pagerduty(Answer(status, body)) == outcome


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("3", 3.0),
        ("2.5", 2.5),
        ("0", 1.0),
        ("300", 300.0),
        ("301", 30.0),
        ("86400", 30.0),
        ("-1", 30.0),
        ("nan", 30.0),
        ("inf", 30.0),
        ("", 30.0),
        ("soon", 30.0),
        ("Tue, 13 Oct 2026 14:05:20 GMT", 20.0),
        ("Tue, 13 Oct 2026 14:04:00 GMT", 1.0),
        ("Tue, 13 Oct 2099 14:04:00 GMT", 30.0),
        ("Tue, 99 Oct 2026 99:04:00 GMT", 30.0),
    ],
)
def test_retry_after_is_honoured_within_bounds(header: str, wait_s: float) -> None:
    assert retry_after_s(Answer(429, b"", {"retry-after": header}, NOW)) == wait_s


def test_backoff_grows_and_is_spread() -> None:
    assert [backoff_s(attempt, 1.0) for attempt in (1, 2, 3, 6, 7, 8, 10_000)] == [
        1.0, 2.0, 4.0, 32.0, 60.0, 60.0, 60.0,
    ]  # fmt: skip
    assert backoff_s(3, 0.0) == 2.0
