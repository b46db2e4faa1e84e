"""From a draft and a secret to the request that is made."""

import msgspec

from app.core.notices import Notice
from app.delivery import groups, pagerduty, slack, threads
from app.delivery.drafts import Draft
from app.delivery.redirects import Elsewhere
from app.delivery.secrets import Secret, service_of
from app.delivery.sender import Request
from app.delivery.wording import Addresses, Wording


class Presentation(msgspec.Struct, frozen=True, kw_only=True):
    """How notices are written and who is told instead, as configuration says now."""

    wording: Wording
    addresses: Addresses
    elsewhere: Elsewhere = Elsewhere()
    destinations: tuple[str, ...] = ()  # all that are configured
    events_url: str = "https://events.pagerduty.com"
    slack_url: str = "https://slack.com/api"


def request(draft: Draft, secret: Secret, shown: Presentation, *, buttons: bool) -> Request:
    """The request; `buttons`: what people press in Slack comes back to us and can be verified."""
    service = service_of(draft.notice.destination)
    if service == "slack":
        return _in_slack(draft, secret, shown, buttons=buttons)
    if service == "pagerduty":
        return _to_pager(draft.notice, secret, shown)
    return Request(service="heartbeat", url=secret.value)


def _in_slack(draft: Draft, secret: Secret, shown: Presentation, *, buttons: bool) -> Request:
    if secret.way == "bot":
        call, body = threads.call(draft, shown.wording, shown.addresses, buttons=buttons)
        return Request(
            service="slack-api",
            url=f"{shown.slack_url.rstrip('/')}/{call}",
            body=msgspec.json.encode(body),
            text_alone=draft.text_alone,
            token=secret.value,
            call=call,
        )
    return Request(
        service="slack",
        url=secret.value,
        body=msgspec.json.encode(_by_webhook(draft, shown, buttons=buttons)),
        text_alone=draft.text_alone,
    )


def _by_webhook(draft: Draft, shown: Presentation, *, buttons: bool) -> dict[str, object]:
    doubt = draft.possible_duplicate
    if draft.grouped:
        return groups.message(draft, shown.wording, shown.addresses)
    if draft.text_alone:
        return slack.fallback(
            draft.notice, shown.wording, shown.addresses, possible_duplicate=doubt
        )
    return slack.message(
        draft.notice, shown.wording, shown.addresses, possible_duplicate=doubt, buttons=buttons
    )


def _to_pager(notice: Notice, secret: Secret, shown: Presentation) -> Request:
    body = pagerduty.event(notice, shown.wording, shown.addresses) or {}
    url = f"{shown.events_url.rstrip('/')}/v2/enqueue"
    return Request(service="pagerduty", url=url, body=pagerduty.keyed(body, secret.value))
