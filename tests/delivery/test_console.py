"""Notices in the terminal."""

import io

from rich.console import Console

from app.core.notices import Notice
from app.delivery import console
from app.delivery.wording import Wording
from tests.delivery.samples import ADDRESSES, KEY, PAGER, TRIGGER, told


def printed(notice: Notice, *, terminal: bool = False, why: str = "") -> str:
    out = io.StringIO()
    colours = "truecolor" if terminal else None
    screen = Console(file=out, force_terminal=terminal, width=80, color_system=colours)
    console.show(screen, notice, Wording(), ADDRESSES, why=why)
    return out.getvalue()


def test_in_a_pipe_it_is_plain() -> None:
    text = printed(TRIGGER, why="SLACK_WEBHOOK_HEADLESS_ALERTS is not set")
    assert (
        text
        == f"""\
🔴 P1 availability: breach, fast burn  → #headless-alerts in Slack  \
(SLACK_WEBHOOK_HEADLESS_ALERTS is not set)
▌ @backend-team Availability: 97.2 % of 412 good in the last hour (limit 99 %).
▌ • Breach (P1): 97.2 % of 412 executions in the last hour succeeded; the limit is 99.0 %.
▌ • Fast burn (P1): 24.1 % of the error budget went in the last hour (12 bad of 412); \
the limit is 10.0 %.
▌ error budget: 41.2 % left, gone in 1 h 42 min at this rate (estimated) · objective: 99.5 % · \
owner: @backend-team · next: @platform-lead is paged at 14:35 UTC, in 30 min
▌ Agents (bad of all): coder-7 9 of 40 · planner-2 3 of 118
▌ CLI types (bad of all): claude-code 12 of 380
▌ Errors (bad of all): API key expired 9 of 9
▌ Latest failing
▌ • 2026-10-13 14:04:57 UTC coder-7 claude-code: API key expired · 1.8 s · 212 MB · \
kokino.events[3]@88121
▌ • 2026-10-13 14:04:31 UTC planner-2 claude-code · 30.0 s · kokino.events[0]@87002
▌ {KEY} · 2026-10-13 14:05:00 UTC

"""
    )


def test_a_page_is_short() -> None:
    page = told("resolve", destination=PAGER, dedup_key="k", story_resolved_at=TRIGGER.at + 60_000)
    assert (
        printed(page)
        == """\
🟢 Resolved: availability after 1 min  → @backend-team in PagerDuty: resolve
▌ dedup key k

"""
    )


def test_a_terminal_sees_colour_and_no_foreign_escapes() -> None:
    hostile = told("trigger", story_headline="\x1b[2J[red]x[/red]\x07")
    text = printed(hostile, terminal=True)
    assert "\x1b[1;31m" in text
    assert "\x1b[2J" not in text
    assert "[2J[red]x[/red]" in text
