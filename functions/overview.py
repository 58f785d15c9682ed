"""The route of the overview: every export with its newest run, in one answer a page."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice

import azure.functions as func
from pydantic import BaseModel, Field

from functions.exchange import Page, page, read_query
from functions.operations import operation
from shared.bootstrap import product
from shared.errors import DocumentUnreadable
from shared.ids import SLUG
from shared.overview import Glance, glance
from shared.roles import Principal, Role

bp = func.Blueprint()
log = logging.getLogger(__name__)

PAGE = 100
_READERS = 8
"""Documents read at once; the storage client keeps ten connections."""


class OverviewQuery(BaseModel):
    """Which page of the overview: the exports behind the export *after*."""

    after: str = Field("", pattern=f"^({SLUG})?$", description="Only exports behind this one.")


@operation(bp, "GET", "api/overview", Role.VIEWER, query=OverviewQuery, answer=Page[Glance])
def read_overview(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """List the exports, a page at a time: each with its newest run and when it is due."""
    after = read_query(OverviewQuery, req).after
    later = filter(after.__lt__, product().exports.keys())
    ids = list(islice(later, PAGE + 1))
    now = datetime.now(UTC)

    def line(export_id: str) -> Glance | None:
        try:
            export = product().exports.find(export_id)
            return glance(export, product().ledger.latest(export_id), now) if export else None
        except DocumentUnreadable as error:
            log.error("left out of the overview: %s", error)  # noqa: TRY400
            return None

    with ThreadPoolExecutor(_READERS) as readers:
        lines = list(readers.map(line, ids[:PAGE]))
    following = f"/api/overview?after={ids[PAGE - 1]}" if len(ids) > PAGE else None
    return page([each for each in lines if each], following)
