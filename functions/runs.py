"""Routes of runs: start, read, approve, cancel, rejects."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.exchange import (
    Page,
    TooLargeUnpacked,
    answer,
    page,
    read_json,
    read_model,
    read_query,
    takes_gzip,
)
from functions.exports import export_id_of
from functions.operations import operation
from shared.bootstrap import product
from shared.errors import DocumentChanged, NotFound, ServiceUnavailable
from shared.ids import RUN_ID
from shared.roles import Principal, Role
from shared.runs import Run

bp = func.Blueprint()

PAGE = 50
MAX_PLAIN_BYTES = 16 * 1024 * 1024
_GZIP = 31  # what zlib calls a gzip file with the largest window
_RETRY = {"Retry-After": "5"}


class StartBody(BaseModel):
    """What ``POST …/runs`` takes; all of it may be left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    hold: bool = False
    full: bool = False
    retry_of: str | None = Field(None, pattern=f"^{RUN_ID}$")


class RunsQuery(BaseModel):
    """Which page of the runs: those older than the run *before*."""

    before: str | None = Field(
        None, pattern=f"^{RUN_ID}$", description="Only runs older than this."
    )


class RejectsQuery(BaseModel):
    """How much of the rejects: all, or the *first* rows."""

    first: int | None = Field(
        None, ge=1, le=10_000, description="Only so many rows, from the beginning."
    )


@operation(
    bp,
    "POST",
    "api/exports/{export_id}/runs",
    Role.CONTRIBUTOR,
    body=StartBody,
    status=202,
    answer=Run,
    headers=("Location", "Retry-After"),
    errors=(409,),
)
def start_run(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Start a run of the export: 202 with its location, or 409 with the one under way."""
    body = read_model(StartBody, read_json(req))
    run = product().jobs.start(
        export_id_of(req), who, hold=body.hold, full=body.full, retry_of=body.retry_of
    )
    return _accepted(run)


@operation(
    bp, "GET", "api/exports/{export_id}/runs", Role.VIEWER, query=RunsQuery, answer=Page[Run]
)
def list_runs(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """List the export's runs, newest first, a page at a time."""
    export_id = export_id_of(req)
    product().exports.read(export_id)
    before = read_query(RunsQuery, req).before
    ledger = product().ledger
    ids = (i for i in ledger.newest(export_id) if before is None or i < before)
    chosen = list(islice(ids, PAGE + 1))
    runs = (ledger.runs.find_readable(f"{export_id}/{run_id}") for run_id in chosen[:PAGE])
    following = (
        f"/api/exports/{export_id}/runs?before={chosen[PAGE - 1]}" if len(chosen) > PAGE else None
    )
    return page([run for run in runs if run], following)


@operation(bp, "GET", "api/runs/{export_id}/{run_id}", Role.VIEWER, answer=Run, headers=("ETag",))
def read_run(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Return the run document."""
    run, etag = product().ledger.runs.read(run_key_of(req))
    return answer(run, headers={"ETag": etag} | ({} if run.ended else _RETRY))


@operation(
    bp,
    "POST",
    "api/runs/{export_id}/{run_id}/approve",
    Role.CONTRIBUTOR,
    status=202,
    answer=Run,
    headers=("Location", "Retry-After"),
    errors=(409,),
)
def approve_run(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Send what a held run has staged."""
    return _accepted(product().jobs.approve(run_key_of(req), who))


@operation(
    bp,
    "POST",
    "api/runs/{export_id}/{run_id}/cancel",
    Role.CONTRIBUTOR,
    status=202,
    answer=Run,
    headers=("Location", "Retry-After"),
    errors=(409,),
)
def cancel_run(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Cancel the run before its next call to Constant Contact."""
    return _accepted(product().jobs.cancel(run_key_of(req), who))


@operation(
    bp,
    "GET",
    "api/runs/{export_id}/{run_id}/rejects",
    Role.CONTRIBUTOR,
    query=RejectsQuery,
    answer="text/csv",
    errors=(406,),
)
def read_rejects(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Return the rows that were not sent, as CSV: segment, file, row, field, reason, value."""
    key = run_key_of(req)
    first = read_query(RejectsQuery, req).first
    pieces = product().ledger.rejects(key)
    if first is not None:
        pieces = _first_rows(pieces, first)
    headers = {
        "Content-Disposition": f'attachment; filename="rejects-{key.replace("/", "-")}.csv"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    try:
        if takes_gzip(req):
            content = _packed(pieces)
            headers["Content-Encoding"] = "gzip"
        else:
            content = _plain(pieces, key)
    except DocumentChanged:  # not by the caller, whom 412 would send looking for an ETag
        raise ServiceUnavailable("The rejects are being written just now.") from None
    return func.HttpResponse(content, mimetype="text/csv", charset="utf-8", headers=headers)


def _first_rows(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Yield the header and the first rows; none of them holds a line break."""
    left, rest = most + 1, b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield b"".join(line + b"\n" for line in lines[:left])
        left -= len(lines)
        if left <= 0:
            return


def _packed(pieces: Iterable[bytes]) -> bytes:
    """Return a gzip file: an answer has to be in memory, and rejects shrink to a tenth or less."""
    packing = zlib.compressobj(wbits=_GZIP)
    return b"".join([*map(packing.compress, pieces), packing.flush()])


def _plain(pieces: Iterable[bytes], key: str) -> bytes:
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > MAX_PLAIN_BYTES:
            raise TooLargeUnpacked(
                "There are too many rejects to be sent unpacked.",
                action="Take them with Accept-Encoding: gzip, ask for the first rows only, or read"
                f" runs/{key}/rejects.csv in the export container.",
            )
    return bytes(content)


def _accepted(run: Run) -> func.HttpResponse:
    return answer(run, 202, headers={"Location": f"/api/runs/{run.key}", **_RETRY})


def run_key_of(req: func.HttpRequest) -> str:
    """Return ``<export_id>/<run_id>`` from the path, both of the form that ids have."""
    run_id = req.route_params.get("run_id") or ""
    if not re.fullmatch(RUN_ID, run_id):
        raise NotFound("There is no such run.")
    return f"{export_id_of(req)}/{run_id}"
