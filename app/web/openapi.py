"""The API described in OpenAPI 3.1, for `/openapi.json`: what is answered, and nothing else."""

from typing import Any

from app.web.views import STATES

Described = dict[str, Any]

_TIME = {"type": ["string", "null"], "format": "date-time"}
_RATIO = {"type": ["number", "null"], "minimum": 0}
_RATE = {"description": 'A number, or "inf".', "type": ["number", "string", "null"]}


def _ref(name: str) -> Described:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Described) -> Described:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(of: Described) -> Described:
    return {"type": "array", "items": of}


def _text(*values: str) -> Described:
    return {"type": "string", "enum": list(values)} if values else {"type": "string"}


_INTEGER = {"type": "integer", "minimum": 0}
_TRUTH = {"type": "boolean"}
_NO_DATA = {"description": "There, and true, where nothing was counted.", **_TRUTH}

_KIND = _text("ratio", "quantile", "mean", "distinct")
_UNIT = _text("ratio", "ms", "MB", "count")

_KOKINO_BUDGET = _object(
    sli=_text(),
    target=_RATIO,
    budget=_INTEGER,
    consumed=_INTEGER,
    remaining=_INTEGER,
    percentConsumed={"type": "number"},
    windowHours=_INTEGER,
)
_KOKINO_BUDGET["properties"]["noData"] = _NO_DATA

_OVERRIDE = _object(id=_text(), by=_text(), why=_text(), at=_TIME, until=_TIME)

_SLO = _object(
    id=_text(),
    title=_text(),
    owner=_text(),
    channel=_text(),
    objective=_RATIO,
    judgedAt=_TIME,
    judged=_TRUTH,
    incident={"type": ["string", "null"]},
    incidents=_list(_text()),
    noData=_TRUTH,
    headline=_object(
        kind=_KIND,
        value={"type": ["number", "null"]},
        target={"type": "number"},
        window={"description": "Seconds.", **_INTEGER},
        unit=_UNIT,
    ),
    windows={
        "description": "By 5m, 1h, 6h, 24h, 7d, 30d; the counts are exact.",
        "type": "object",
        "additionalProperties": _object(
            total=_INTEGER, bad=_INTEGER, value={"type": ["number", "null"]}
        ),
    },
    quantiles={
        "description": "Milliseconds, at most 1 % off.",
        "type": "object",
        "additionalProperties": _object(
            p50={"type": ["number", "null"]},
            p95={"type": ["number", "null"]},
            p99={"type": ["number", "null"]},
        ),
    },
    budget=_object(
        basis=_text("events", "time"),
        allowed={"type": "number"},
        bad=_INTEGER,
        consumed=_RATE,
        remaining=_RATE,
        exhausted=_TRUTH,
        estimated=_TRUTH,
        exhaustedIn_s=_RATE,
        byTime=_object(consumed=_RATE, remaining=_RATE),
    ),
    burn={
        "description": "By 1h, 6h, 7d; 1.0 spends the budget in exactly the compliance period.",
        "type": "object",
        "additionalProperties": _RATE,
    },
    rules=_list(
        _object(
            id=_text(),
            severity=_text("P1", "P2"),
            state=_text("inactive", "pending", "firing"),
            value=_RATE,
            threshold={"type": "number"},
            window=_INTEGER,
            heldBackBy={"type": ["string", "null"]},
        )
    ),
    frozen=_TRUTH,
    overrides=_list(_OVERRIDE),
    silences=_list(_ref("Silence")),
    maintenance=_list(_ref("Window")),
    corrections=_list(_ref("Correction")),
    rest={
        "description": "Of ENTRY:other where groups are those seen: how many, of how many at most.",
        "type": ["object", "null"],
        "properties": {"by": _text(), "groups": _INTEGER, "most": _INTEGER},
    },
)

_DUE = _object(what=_text(), owner=_text(), doneAt=_TIME, link={"type": ["string", "null"]})

_SILENCE = _object(
    id=_text(),
    slo=_text(),
    severity={"enum": ["P1", "P2", None]},
    rule={"type": ["string", "null"]},
    kind=_text("silence", "maintenance"),
    beginsAt=_TIME,
    endsAt=_TIME,
    by=_text(),
    why=_text(),
)

_WINDOW = _object(
    id=_text(),
    slo=_text(),
    begins={"description": "On the clock of the zone.", **_text()},
    lasts_s=_INTEGER,
    zone=_text(),
    repeats={"description": "A recurrence rule (RFC 5545).", "type": ["string", "null"]},
    excludeFromBudget=_TRUTH,
    by=_text(),
    why=_text(),
    nextBeginsAt=_TIME,
    nextEndsAt=_TIME,
)

_CORRECTION = _object(
    **{"from": _TIME, "to": _TIME},
    id=_text(),
    slo=_text(),
    agent={"type": ["string", "null"]},
    cliType={"type": ["string", "null"]},
    by=_text(),
    why=_text(),
    at=_TIME,
    applied={"description": "False: still being recounted, nothing of it counts yet.", **_TRUTH},
)

_WHO_TOOK_IT = _object(by=_text(), at=_TIME, via=_text())

_INCIDENT = _object(
    key=_text(),
    slo=_text(),
    severity=_text("P1", "P2"),
    state=_text("firing", "acknowledged", "resolved"),
    rules=_list(_text()),
    openedAt=_TIME,
    acknowledged={"oneOf": [{"type": "null"}, _WHO_TOOK_IT]},
    resolvedAt=_TIME,
    runbook=_text(),
    escalation=_list(_object(to=_text(), how=_text("page", "notify"), dueAt=_TIME, doneAt=_TIME)),
    conversations=_list(_text()),
    silences=_list(_ref("Silence")),
    reopened=_INTEGER,
    history=_list(_object(at=_TIME, kind=_text(), reason=_text(), told=_TRUTH)),
    evidence=_object(
        contributors=_list(
            _object(
                by=_text("agent_id", "cli_type", "error"),
                name=_text(),
                bad=_INTEGER,
                total=_INTEGER,
                mean={"type": ["number", "null"]},
            )
        ),
        examples=_list(
            _object(
                at=_TIME,
                agent_id={"type": ["string", "null"]},
                cli_type={"type": ["string", "null"]},
                error={"type": ["string", "null"]},
                duration_ms={"type": ["integer", "null"]},
                memory_mb={"type": ["number", "null"]},
                conversationId={"type": ["string", "null"]},
                issueTypes=_list(_text()),
                ticketId={"type": ["string", "null"]},
                topic=_text(),
                partition=_INTEGER,
                offset=_INTEGER,
            )
        ),
        series={
            "oneOf": [
                {"type": "null"},
                _object(
                    begin=_TIME,
                    step_s=_INTEGER,
                    total=_list(_INTEGER),
                    bad=_list(_INTEGER),
                    value=_list({"type": ["number", "null"]}),
                ),
            ]
        },
    ),
)

_SERIES = _object(
    begin={"description": "Milliseconds since the epoch.", **_INTEGER},
    step_s=_INTEGER,
    total=_list(_INTEGER),
    bad=_list(_INTEGER),
    value=_list({"type": ["number", "null"]}),
)

_REPORT = _object(
    month=_text() | {"pattern": "^[0-9]{4}-[0-9]{2}$"},
    begin=_TIME,
    end=_TIME,
    running=_TRUTH,
    asOf=_TIME,
    availability=_RATIO,
    latencyP95_ms={"type": ["number", "null"]},
    budgetConsumed={"type": "object", "additionalProperties": _RATIO},
    slos=_list(
        _object(
            id=_text(),
            title=_text(),
            kind=_KIND,
            unit=_UNIT,
            objective=_RATIO,
            total=_INTEGER,
            bad=_INTEGER,
            value={"type": ["number", "null"]},
            quantiles={
                "type": ["object", "null"],
                "additionalProperties": {"type": "number"},
            },
            allowed={"type": "number"},
            consumed=_RATIO,
            firstAt=_TIME,
        )
    ),
)

_SLO_OR_ALL = {"description": "An SLO, or all.", **_text()}
_DURATION = "^([1-9][0-9]?[mh]|[1-7]d)$"
_FOR = {
    "for": {
        "description": "Like 30m, 2h or 7d, which is the longest.",
        **_text(),
        "pattern": _DURATION,
    }
}
_SAID = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"  # not only blanks


def _order(required: tuple[str, ...], **properties: Described) -> Described:
    """The body of an order: who gives it, why, and what it is."""
    whoever = {
        "by": {"type": "string", "pattern": _SAID, "maxLength": 100, "default": "api"},
        "why": {"type": "string", "maxLength": 1000}
        | ({"pattern": _SAID} if "why" in required else {}),
    }
    return {"type": "object", "properties": {**whoever, **properties}, "required": list(required)}


_SCHEMAS: Described = {
    "Reloaded": _object(
        changed=_TRUTH, added=_list(_text()), removed=_list(_text()), redefined=_list(_text())
    ),
    "KokinoBudget": _KOKINO_BUDGET,
    "Slo": _SLO,
    "Incident": _INCIDENT,
    "Status": _object(
        availability=_object(current=_RATIO, target=_RATIO, breach=_TRUTH),
        latency=_object(
            p50=_INTEGER, p95=_INTEGER, p99=_INTEGER, target_p95=_INTEGER, breach=_TRUTH
        ),
        errorBudget=_object(
            **dict.fromkeys(
                ("availability", "latency", "correctness", "integrity"), _ref("KokinoBudget")
            )
        ),
        timestamp=_TIME,
        asOf=_TIME,
        lag_s={"type": ["number", "null"]},
        ready=_TRUTH,
        blind=_TRUTH,
        slos=_list(_ref("Slo")),
    ),
    "Incidents": _object(incidents=_list(_ref("Incident"))),
    "Gate": _object(
        frozen=_TRUTH,
        change=_text("hotfix", "feature"),
        allowed=_TRUTH,
        slos=_list(_text()),
        since=_TIME,
        override={"oneOf": [{"type": "null"}, _OVERRIDE]},
        due=_list(_DUE),
    ),
    "Report": _REPORT,
    "Reports": _object(months=_list(_ref("Report"))),
    "History": _object(
        slo=_text(),
        kind=_KIND,
        unit=_UNIT,
        target={"type": "number"},
        asOf=_TIME,
        hours=_SERIES,
        steps=_SERIES,
        burndown=_object(begin=_INTEGER, step_s=_INTEGER, remaining=_list({"type": "number"})),
        incidents=_list(
            _object(
                key=_text(),
                severity=_text("P1", "P2"),
                begin=_INTEGER,
                end={"type": ["integer", "null"]},
            )
        ),
    ),
    "Probe": {"type": "object", "properties": {"reasons": _list(_text())}, "required": ["reasons"]},
    "Order": _order(()),
    "ResolveOrder": _order(("why",)),
    "OverrideOrder": _order(
        ("for", "why"),
        slo={"description": "One objective; without it all that freeze.", **_text()},
        **_FOR,
    ),
    "DueOrder": _order(
        ("slo", "what", "link"),
        slo=_text(),
        what=_text(),
        link={"type": "string", "format": "uri", "maxLength": 500},
    ),
    "Silence": _SILENCE,
    "Window": _WINDOW,
    "Correction": _CORRECTION,
    "Silences": _object(silences=_list(_ref("Silence"))),
    "Maintenance": _object(maintenance=_list(_ref("Window"))),
    "Corrections": _object(corrections=_list(_ref("Correction"))),
    "SilenceOrder": _order(
        ("slo", "why"),
        slo=_SLO_OR_ALL,
        **_FOR,
        for_s={"description": "The same in seconds: one of the two.", **_INTEGER},
        severity=_text("P1", "P2"),
        rule=_text(),
    ),
    "MaintenanceOrder": _order(
        ("slo", "begins", "for", "why"),
        slo=_SLO_OR_ALL,
        begins={"description": "Like 2026-11-28T22:00, on the clock of the zone.", **_text()},
        **_FOR,
        zone=_text(),
        repeats={"description": "Like FREQ=WEEKLY;COUNT=4.", **_text()},
        exclude_from_budget=_TRUTH,
    ),
    "CorrectionOrder": _order(
        ("slo", "from", "to", "why"),
        slo=_text(),
        **{"from": _text(), "to": _text()},
        agent=_text(),
        cli_type=_text(),
    ),
    "Taken": {
        "type": "object",
        "properties": {
            "id": _text(),
            "kind": _text(),
            **{
                name: _text()
                for name in ("incident", "silence", "maintenance", "correction", "slo", "what")
            },
            "slos": _list(_text()),
            "acknowledged": {"description": "Who had it before, and keeps it.", **_WHO_TOOK_IT},
        },
        "required": ["id", "kind"],
    },
    "Problem": _object(type=_text(), title=_text(), status=_INTEGER, detail=_text()),
}

_PROBLEMS = {
    400: "The request cannot be read.",
    401: "The token or the signature is missing or wrong.",
    403: "It was sent by a page of another site, or by somebody who may not do that.",
    404: "There is no such thing.",
    409: "It cannot be done as things stand.",
    415: "The body is no form.",
    413: "The body is larger than 64 KiB.",
    422: "The configuration is unsound.",
    503: "Not known yet, or Kafka does not answer; ask again.",
}


def _answer(description: str, schema: Described, media: str = "application/json") -> Described:
    return {"description": description, "content": {media: {"schema": schema}}}


_HTML = _answer("A page.", _text(), "text/html")


def _problems(*statuses: int) -> Described:
    return {
        str(status): _answer(_PROBLEMS[status], _ref("Problem"), "application/problem+json")
        for status in statuses
    }


def _get(summary: str, answer: Described, *statuses: int, **more: Any) -> Described:  # noqa: ANN401
    responses = {"200": answer, **_problems(401, *statuses)}
    return {"get": {"summary": summary, "responses": responses, **more}}


def _post(summary: str, answer: Described, *statuses: int) -> Described:
    responses = {"200": answer, **_problems(401, *statuses)}
    return {"post": {"summary": summary, "security": [{"apiToken": []}], "responses": responses}}


def _query(name: str, *values: str) -> Described:
    return {"name": name, "in": "query", "required": False, "schema": _text(*values)}


_MONTH = {
    "name": "month",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])$"},
}
_PAGE = {
    "name": "page",
    "in": "query",
    "required": False,
    "schema": {"type": "integer", "minimum": 1, "maximum": 1000},
}


def _path(name: str) -> Described:
    return {"name": name, "in": "path", "required": True, "schema": _text()}


def _change(
    summary: str,
    body: str,
    *names: str,
    method: str = "post",
    required: bool = False,
    refused: tuple[int, ...] = (),
) -> Described:
    """A change; `names`: what its address names."""
    schema = {"application/json": {"schema": _ref(body)}}
    refused = (400, 401, 413, 503, *refused, *((404, 409) if names else ()))
    item: Described = {
        method: {
            "summary": summary,
            "security": [{"apiToken": []}],
            "requestBody": {"required": required, "content": schema},
            "responses": {
                "202": _answer("Taken; it is carried out within about a second.", _ref("Taken")),
                **_problems(*refused),
            },
        },
    }
    return item | ({"parameters": [_path(name) for name in names]} if names else {})


def _signed(summary: str, header: str, body: Described, *refused: int) -> Described:
    """What others send, known by a signature over the whole body."""
    schema = _object(taken=_TRUTH)
    schema["properties"]["id"] = _text()
    named = {"name": header, "in": "header", "required": True, "schema": _text()}
    return {
        "parameters": [named],
        "post": {
            "summary": summary,
            "security": [],
            "requestBody": {"required": True, "content": body},
            "responses": {
                "200": _answer("Heard; `taken` says whether it means anything to us.", schema),
                **_problems(*refused),
            },
        },
    }


def _form(summary: str, **fields: Described) -> Described:
    media = {"application/x-www-form-urlencoded": {"schema": _object(**fields)}}
    media["application/x-www-form-urlencoded"]["schema"]["required"] = []
    return {
        "summary": summary,
        "description": "For pages of this server: another origin is refused.",
        "security": [],
        "requestBody": {"required": False, "content": media},
        "responses": {
            "303": {"description": "Back to the page."},
            "400": _HTML,
            "401": _HTML,
            "403": {
                "description": "It was sent by a page of another site.",
                "content": {
                    "text/html": {"schema": _text()},
                    "application/problem+json": {"schema": _ref("Problem")},
                },
            },
            **_problems(413, 415),
        },
    }


def _probe(summary: str) -> Described:
    return {
        "get": {
            "summary": summary,
            "security": [],
            "responses": {
                "200": _answer("Yes.", _ref("Probe")),
                "503": _answer("No, with the reasons.", _ref("Probe")),
            },
        }
    }


_PATHS: Described = {
    "/": _get("How every objective stands, for people.", _HTML),
    "/slos/{slo}": _get("An objective with its charts, for people.", _HTML, 404, 503)
    | {"parameters": [_path("slo")]},
    "/incidents": _get(
        "Incidents, for people.",
        _HTML,
        400,
        503,
        parameters=[_query("state", *STATES), _PAGE],
    ),
    "/report": _get("Month by month, for people.", _HTML, 400, 404, 503, parameters=[_MONTH]),
    "/deliveries": _get("Attempts to tell, and destinations, for people.", _HTML),
    "/sign-in": {
        "get": {
            "summary": "Asks a browser for the API token.",
            "security": [],
            "parameters": [_query("back")],
            "responses": {"200": _HTML},
        },
        "post": _form("A right token begins a session.", by=_text(), token=_text(), back=_text()),
    },
    "/sign-out": {"post": _form("The session ends.", back=_text())},
    "/incidents/{key}": _get("An incident, for people.", _HTML, 404, 503)
    | {"parameters": [_path("key")]},
    "/runbooks/{name}": _get(
        "A runbook, with an incident's values where one is named.",
        _HTML,
        404,
        parameters=[_path("name"), _query("incident")],
    ),
    "/events": _get(
        "Server-sent events: `change` whenever there is news.",
        _answer("A stream.", _text(), "text/event-stream"),
        503,
    ),
    "/api/slo/status": _get(
        "Every SLO, with Kokino's own fields before them.",
        _answer("The status.", _ref("Status")),
    ),
    "/api/slo/gate": _get(
        "Whether a change may be deployed now; 503 where nobody can tell.",
        _answer("The gate.", _ref("Gate")),
        400,
        503,
        parameters=[_query("change", "hotfix", "feature")],
    ),
    "/api/gate/override": _change(
        "Let deployments go on for a while: announced in the channels, and over by itself.",
        "OverrideOrder",
        required=True,
        refused=(404, 409),
    ),
    "/api/gate/due": _change(
        "Tick off what a freeze asks for.", "DueOrder", required=True, refused=(404,)
    ),
    "/api/incidents": _get(
        "Incidents, newest first.",
        _answer("The incidents.", _ref("Incidents")),
        400,
        503,
        parameters=[_query("state", *STATES)],
    ),
    "/api/incidents/{key}": _get(
        "One incident.", _answer("The incident.", _ref("Incident")), 404, 503
    )
    | {"parameters": [_path("key")]},
    "/api/incidents/{key}/ack": _change(
        "Take an incident. A second time changes nothing.", "Order", "key"
    ),
    "/api/incidents/{key}/resolve": _change(
        "End an incident. It fires again only on later bad events.",
        "ResolveOrder",
        "key",
        required=True,
    ),
    "/api/silences": _get(
        "The silences in force, those of maintenance windows among them.",
        _answer("The silences.", _ref("Silences")),
        503,
    )
    | _change("Hold back what a silence matches.", "SilenceOrder", required=True),
    "/api/silences/{id}": _change("End a silence before its time.", "Order", "id", method="delete"),
    "/api/maintenance": _get(
        "The maintenance windows, configured and made by operators.",
        _answer("The windows.", _ref("Maintenance")),
        503,
    )
    | _change("Make a maintenance window.", "MaintenanceOrder", required=True),
    "/api/maintenance/{id}": _change(
        "Unmake a maintenance window that an operator made.", "Order", "id", method="delete"
    ),
    "/api/corrections": _get(
        "The corrections: events that are taken out of the counts.",
        _answer("The corrections.", _ref("Corrections")),
        503,
    )
    | _change("Take events out of the counts.", "CorrectionOrder", required=True),
    "/api/corrections/{id}": _change(
        "Revert a correction: its events count again.", "Order", "id", method="delete"
    ),
    "/api/report": _get(
        "One month, or without `month` every month that is known.",
        {
            "description": "The report.",
            "content": {
                "application/json": {"schema": {"oneOf": [_ref("Report"), _ref("Reports")]}},
                "text/markdown": {"schema": _text()},
                "text/csv": {"schema": _text()},
            },
        },
        400,
        404,
        503,
        parameters=[_MONTH, _query("format", "md", "json", "csv")],
    ),
    "/api/history": _get(
        "An SLO's last 31 days by the hour, its last day by 5 minutes, and how its budget went.",
        _answer("What its charts show.", _ref("History")),
        404,
        503,
        parameters=[_query("slo") | {"required": True}],
    ),
    "/api/config": _get(
        "The policy in force: SLOs with all groups seen so far, and ownership; it holds no secret.",
        _answer("The policy.", {"type": "object"}),
    ),
    "/api/reload": _post(
        "Take over what the configuration's files say now; 422 with every fault where they are "
        "unsound, and the configuration in force stays.",
        _answer("What it changed.", _ref("Reloaded")),
        422,
        503,
    ),
    "/webhooks/pagerduty": _signed(
        "What PagerDuty (webhooks, version 3) has to say of our incidents.",
        "X-PagerDuty-Signature",
        {"application/json": {"schema": {"type": "object"}}},
        400,
        401,
        413,
        503,
    ),
    "/webhooks/slack": _signed(
        "What was pressed below our messages in Slack.",
        "X-Slack-Signature",
        {"application/x-www-form-urlencoded": {"schema": _object(payload=_text())}},
        400,
        401,
        403,
        413,
        503,
    ),
    "/metrics": _get("What Prometheus scrapes.", _answer("Metrics.", _text(), "text/plain")),
    "/healthz": _probe("Is the worker alive? Where not, start it again."),
    "/readyz": _probe("Is what is shown the present?"),
    "/openapi.json": _get("This.", _answer("A description.", {"type": "object"})),
}

DOCUMENT: Described = {
    "openapi": "3.1.0",
    "info": {
        "title": "Burn-rate alerter",
        "version": "1",
        "description": "Times are ISO 8601 in UTC, durations seconds, ratios 0 to 1. Answers may "
        "grow: leave fields alone that you do not know.",
    },
    "security": [{}, {"readToken": []}, {"readPassword": []}],
    "paths": _PATHS,
    "components": {
        "schemas": _SCHEMAS,
        "securitySchemes": {
            "apiToken": {"type": "http", "scheme": "bearer"},
            "readToken": {
                "type": "http",
                "scheme": "bearer",
                "description": "Only where BURNRATE_READ_TOKEN is set.",
            },
            "readPassword": {
                "type": "http",
                "scheme": "basic",
                "description": "The same token as the password, for browsers.",
            },
        },
    },
}
"""The whole description. A new route has its line in `_PATHS`; a test compares the two."""
