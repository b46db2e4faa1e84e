"""Drafts: what is to be sent for an entry, as far as its outbox knows."""

import msgspec

from app.core.notices import Notice


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One message to write. With `ts` it changes that one, with `thread` it answers that one."""

    notice: Notice
    possible_duplicate: bool = False
    text_alone: bool = False  # Slack refused its blocks
    channel: str = ""  # Slack's id of it, where it has told one
    ts: str = ""
    thread: str = ""
    evidence: Notice | None = None  # the newest of the incident that shows what is wrong
    acknowledged: str = ""  # by whom, in words
    grouped: tuple[Notice, ...] = ()  # all that this one message tells, the worst first
