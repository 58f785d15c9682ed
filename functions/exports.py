"""Routes of exports: the standing orders."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from functions.exchange import (
    FaultDocument,
    Page,
    PreconditionRequired,
    answer,
    page,
    read_json,
    read_query,
)
from functions.operations import operation
from shared.bootstrap import product
from shared.errors import DocumentChanged, NotFound
from shared.exports import Export
from shared.ids import SLUG
from shared.roles import Principal, Role

bp = func.Blueprint()

PAGE = 100
_READERS = 8
"""Documents read at once; the storage client keeps ten connections."""

_ETAG = re.compile(r'"[!#-~]{1,200}"')


class ExportBody(Export):
    """What a save takes: an export. The app's own fields are passed over, the id may be missing."""

    id: str | None = Field(None, pattern=f"^{SLUG}$")  # type: ignore[assignment]


class CheckAnswer(BaseModel):
    """Everything that is wrong with an export as it stands."""

    model_config = ConfigDict(extra="forbid")

    errors: tuple[FaultDocument, ...]


class ExportsQuery(BaseModel):
    """Which page of the exports: those behind the export *after*."""

    after: str = Field("", pattern=f"^({SLUG})?$", description="Only exports behind this one.")


@operation(bp, "GET", "api/exports", Role.VIEWER, query=ExportsQuery, answer=Page[Export])
def list_exports(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """List the exports, a page at a time."""
    return page_of_exports(req, "/api/exports", product().exports.find_readable)


@operation(
    bp,
    "POST",
    "api/exports",
    Role.CONTRIBUTOR,
    body=ExportBody,
    status=201,
    answer=Export,
    headers=("Location", "ETag"),
    errors=(409, 502),
)
def create_export(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Save a new export, or say everything that is wrong with it. Saving does not run it."""
    export, etag = product().editor.create(read_json(req), who)
    return answer(export, 201, headers={"Location": f"/api/exports/{export.id}", "ETag": etag})


@operation(
    bp,
    "POST",
    "api/exports/check",
    Role.CONTRIBUTOR,
    body=ExportBody,
    answer=CheckAnswer,
    errors=(409, 502),
)
def check_export(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Say what is wrong with an export that is still being written; nothing is saved."""
    faults = product().editor.check(read_json(req), who)
    return answer(CheckAnswer(errors=tuple(FaultDocument(**vars(fault)) for fault in faults)))


@operation(bp, "GET", "api/exports/{export_id}", Role.VIEWER, answer=Export, headers=("ETag",))
def read_export(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Return the export with the ETag that a change of it needs."""
    export, etag = product().exports.read(export_id_of(req))
    return answer(export, headers={"ETag": etag})


@operation(
    bp,
    "PUT",
    "api/exports/{export_id}",
    Role.CONTRIBUTOR,
    body=ExportBody,
    answer=Export,
    headers=("ETag",),
    errors=(409, 412, 428, 502),
)
def replace_export(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Save the export over the one that was read under ``If-Match``."""
    export_id = export_id_of(req)
    before = _etag(req)
    if before is None:
        raise PreconditionRequired("Read the export first and send its ETag in If-Match.")
    export, etag = product().editor.replace(export_id, read_json(req), before, who)
    return answer(export, headers={"ETag": etag})


@operation(bp, "DELETE", "api/exports/{export_id}", Role.CONTRIBUTOR, status=204, errors=(409, 412))
def delete_export(req: func.HttpRequest, who: Principal) -> func.HttpResponse:
    """Delete the export; under ``If-Match`` only that version. The record of its runs stays."""
    product().editor.delete(export_id_of(req), who, _etag(req))
    return func.HttpResponse(status_code=204)


def export_id_of(req: func.HttpRequest) -> str:
    """Return the export's id from the path; nothing unchecked becomes part of a blob's path."""
    export_id = req.route_params.get("export_id") or ""
    if not re.fullmatch(SLUG, export_id):
        raise NotFound("There is no such export.")
    return export_id


def page_of_exports(
    req: func.HttpRequest, path: str, read: Callable[[str], BaseModel | None]
) -> func.HttpResponse:
    """Return a page of what *read* makes of the exports' ids; what is None is left out."""
    after = read_query(ExportsQuery, req).after
    later = filter(after.__lt__, product().exports.keys())
    ids = list(islice(later, PAGE + 1))
    with ThreadPoolExecutor(_READERS) as readers:
        items = list(readers.map(read, ids[:PAGE]))
    following = f"{path}?after={ids[PAGE - 1]}" if len(ids) > PAGE else None
    return page([each for each in items if each], following)


def _etag(req: func.HttpRequest) -> str | None:
    """Return the one version that the request is meant for, None if it does not say.

    Any version (``*``) is none: it would undo what somebody else saved meanwhile.
    """
    given = str(req.headers.get("if-match", "")).strip()
    if given in {"", "*"}:
        return None
    if not _ETAG.fullmatch(given):
        raise DocumentChanged("If-Match has to be the ETag that came with the export.")
    return given
