"""An incident in Slack by a bot: one message that is kept up to date, and its thread.

| notice                        | what is done                                              |
|-------------------------------|-----------------------------------------------------------|
| the first of an incident      | `chat.postMessage`; its `ts` and channel are kept         |
| every further one             | an answer in its thread, then `chat.update` of the first  |
| … trigger, escalate, reminder | the answer is broadcast to the channel as well            |

https://docs.slack.dev/reference/methods/chat.postMessage and chat.update. The colour needs an
attachment: title and lead stand above it as text, everything else within.
"""

from typing import Any

from msgspec.structs import replace

from app.core.notices import Kind, Notice
from app.delivery import groups, slack
from app.delivery.drafts import Draft
from app.delivery.limits import cut_lines, plain
from app.delivery.wording import Addresses, Wording

POST, UPDATE = "chat.postMessage", "chat.update"

BROADCAST: frozenset[Kind] = frozenset({"trigger", "escalate", "reminder"})

COLOURS: dict[Kind, str] = {  # a burning one has its severity's
    "resolve": "#1a7f37",
    "unfreeze": "#1a7f37",
    "freeze": "#54aeff",
    "test": "#8c959f",
}
SEVERITY_COLOURS = {"P1": "#cf222e", "P2": "#d97706"}
ACKNOWLEDGED = "#0969da"

ANSWERS: dict[Kind, tuple[str, ...]] = {  # the rest of a notice stands in the incident's message
    "update": ("findings", "fields"),
    "downgrade": ("findings", "fields"),
    "resolve": ("fields",),
}
KEPT: dict[Kind, tuple[str, ...]] = {  # evidence stays in sight where a notice brings none
    "ack": slack.SECTIONS["trigger"],
    "reminder": slack.SECTIONS["trigger"],
    "resolve": ("fields", *slack.EVIDENCE),
}


def call(
    draft: Draft, wording: Wording, addresses: Addresses, *, buttons: bool
) -> tuple[str, dict[str, Any]]:
    """The method, and its arguments: valid and within limits, whatever the notice says."""
    if draft.grouped:
        body = groups.message(draft, wording, addresses)
    elif draft.text_alone:
        body = slack.fallback(
            draft.notice, wording, addresses, possible_duplicate=draft.possible_duplicate
        ) | {"attachments": []}
    else:
        body = _written(draft, wording, addresses, buttons=buttons)
    if draft.ts:
        return UPDATE, {"channel": draft.channel, "ts": draft.ts, **body}
    return POST, body | _whereto(draft)


def _whereto(draft: Draft) -> dict[str, Any]:
    _, _, name = draft.notice.destination.partition(":")
    if not draft.thread:
        return {"channel": name}
    return {
        "channel": draft.channel or name,
        "thread_ts": draft.thread,
        "reply_broadcast": draft.notice.kind in BROADCAST,
    }


def _written(
    draft: Draft, wording: Wording, addresses: Addresses, *, buttons: bool
) -> dict[str, Any]:
    notice, sections = _shown(draft)
    letter = slack.letter(
        notice,
        wording,
        addresses,
        possible_duplicate=draft.possible_duplicate and not draft.ts,
    )
    context = letter.part("context")
    if draft.ts and draft.acknowledged:
        context += f"\n{slack.escaped(plain(draft.acknowledged))}"
    blocks = [
        *slack.body(letter, sections),
        *(slack.to_press(notice, acknowledged=bool(draft.acknowledged)) if buttons else []),
        *slack.context(cut_lines(context, slack.MOST_FIELD)),
    ]
    title = slack.title(letter)
    lead = letter.part("lead")
    return {
        "text": f"*{title}*\n{lead}" if lead else f"*{title}*",
        "attachments": [{"color": colour(draft), "fallback": title, "blocks": blocks}],
        **slack.QUIET,
    }


def _shown(draft: Draft) -> tuple[Notice, tuple[str, ...]]:
    """What is written, and which of its sections: an answer is short, the first message full."""
    notice, kind = draft.notice, draft.notice.kind
    if draft.thread:
        return notice, ANSWERS.get(kind, slack.SECTIONS[kind])
    if not draft.ts or kind not in KEPT or draft.evidence is None:
        return notice, slack.SECTIONS[kind]
    told = draft.evidence.story
    story = replace(
        notice.story,
        findings=told.findings,
        contributors=told.contributors,
        examples=told.examples,
    )
    return replace(notice, story=story), KEPT[kind]


def colour(draft: Draft) -> str:
    """The colour that shows the state at a glance."""
    notice = draft.notice
    if notice.kind == "reminder" and slack.of_freeze(notice):
        return COLOURS["freeze"]
    if notice.kind in COLOURS:
        return COLOURS[notice.kind]
    return ACKNOWLEDGED if draft.acknowledged else SEVERITY_COLOURS[notice.severity]
