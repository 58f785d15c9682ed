"""The route of the overview: every export with its newest run, in one answer a page."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import azure.functions as func

from functions.exchange import Page
from functions.exports import ExportsQuery, page_of_exports
from functions.operations import operation
from shared.bootstrap import product
from shared.errors import DocumentUnreadable
from shared.overview import Glance, glance
from shared.roles import Principal, Role

bp = func.Blueprint()
log = logging.getLogger(__name__)


@operation(bp, "GET", "api/overview", Role.VIEWER, query=ExportsQuery, answer=Page[Glance])
def read_overview(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """List the exports, a page at a time: each with its newest run and when it is due."""
    now = datetime.now(UTC)

    def line(export_id: str) -> Glance | None:
        try:
            export = product().exports.find(export_id)
            return glance(export, product().ledger.latest(export_id), now) if export else None
        except DocumentUnreadable as error:
            log.error("left out of the overview: %s", error)  # noqa: TRY400
            return None

    return page_of_exports(req, "/api/overview", line)
