"""History over HTTP: the month report, and what the charts show."""

from aiohttp import web

from app.core import months
from app.web import charts, reports
from app.web.api import check_caught_up, json_answer
from app.web.problems import Problem
from app.web.surroundings import SURROUNDINGS, Surroundings
from app.web.views import Document

routes = web.RouteTableDef()

_MARKDOWN, _CSV = "text/markdown", "text/csv"


@routes.get("/api/report")
async def report(request: web.Request) -> web.Response:
    """One month, or without `month` every month that is known; JSON, Markdown or CSV."""
    around = request.app[SURROUNDINGS]
    written = request.query.get("format", "json")
    if written not in reports.FORMATS:
        raise Problem(400, f"format is one of {', '.join(reports.FORMATS)}.")
    month = request.query.get("month")
    found = asked_reports(around, month)
    if written == "md":
        return web.Response(text=reports.markdown(found), content_type=_MARKDOWN)
    if written == "csv":
        return web.Response(text=reports.as_csv(found), content_type=_CSV)
    return json_answer(found[0] if month is not None else {"months": found})


def asked_reports(around: Surroundings, month: str | None) -> list[Document]:
    """The month that is asked for, else all; raises 400, 404, or 503 while nothing is known."""
    check_caught_up(around)
    history, slos = around.mirror.history, around.policy.slos
    if month is None:
        return reports.reports(history, slos, around.now())
    try:
        months.span_of(month)
    except ValueError as error:
        raise Problem(400, f"{error}.") from error
    found = reports.report(history, slos, month, around.now())
    if found is None:
        known = ", ".join(reports.known_months(history, slos)) or "none yet"
        raise Problem(404, f"There are no figures of {month}. Months that are known: {known}.")
    return [found]


@routes.get("/api/history")
async def history(request: web.Request) -> web.Response:
    """One SLO's last 31 days by the hour and last day by 5 minutes, and how its budget went."""
    around = request.app[SURROUNDINGS]
    slo = request.query.get("slo", "")
    if slo not in around.policy.slos:
        raise Problem(404, f"slo is one of {', '.join(around.order)}.")
    check_caught_up(around)
    if slo not in around.mirror.slos:
        raise Problem(503, "Not known yet: this objective has no status.", {"Retry-After": "5"})
    mirror = around.mirror
    found = charts.history_of(
        mirror.history.get(slo, {}), mirror.slos[slo], mirror.incidents.values()
    )
    return json_answer(found)
