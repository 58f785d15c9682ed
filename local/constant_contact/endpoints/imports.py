"""``/activities/contacts_file_import`` and ``…/contacts_json_import``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from werkzeug.wrappers import Response

from local.constant_contact.account import parse_list_ids
from local.constant_contact.activities import Activity
from local.constant_contact.answers import invalid, json_response, unsupported
from local.constant_contact.imports import (
    CSV_COLUMNS,
    JSON_COLUMNS,
    Import,
    Outcome,
    check_header,
    count_rows,
    cut,
    read_csv,
    read_json,
)
from local.constant_contact.memberships import parse_array
from local.constant_contact.parameters import parse_json
from local.constant_contact.routing import (
    DATA,
    WRITING,
    ApiRequest,
    Content,
    Received,
    Route,
    Service,
)

MAX_LISTS = 50
MAX_JSON_CONTACTS = 39_999


def import_csv(service: Service, request: ApiRequest) -> Response:
    if request.mimetype != "multipart/form-data" or "boundary" not in request.mimetype_params:
        raise unsupported("This endpoint requires that Content-Type be unspecified.")
    upload = request.files.get("file")
    if upload is None:
        raise invalid("file is required")
    if not (upload.filename or "").lower().endswith(".csv"):
        raise unsupported("Wrong file format, upload file must be of type .csv")
    options = service.account.options
    data = upload.stream.read()
    ids = _import_lists(service, [x.strip() for x in request.form.get("list_ids", "").split(",")])
    envelope = (request.content_length or 0) - len(data) if options.envelope_counts else 0
    kept = cut(
        data,
        max_lines=options.max_lines,
        max_bytes=max(0, options.max_bytes - envelope),
        keep_cut_row=options.keep_cut_row,
    )
    header, rows = read_csv(kept)
    check_header(header, request.form.get("sms_permission_to_send"))
    taken = Import(header, rows, ids, CSV_COLUMNS)
    arrived = count_rows(data)
    left = arrived if len(kept) == len(data) else count_rows(kept)
    return _start_import(service, taken, left, data, arrived=arrived, file_name=upload.filename)


def import_json(service: Service, request: ApiRequest) -> Response:
    body = parse_json(request)
    if not isinstance(body.get("import_data"), list):
        raise invalid("import_data is required")
    ids = _import_lists(service, parse_array(body.get("list_ids"), "list_ids"))
    data = request.get_data()
    header, rows = read_json(data, service.account.options.max_bytes)
    check_header(header, body.get("sms_permission_to_send"))
    rows = rows[: min(MAX_JSON_CONTACTS, service.account.options.max_lines - 1)]
    taken = Import(header, rows, ids, JSON_COLUMNS)
    return _start_import(service, taken, len(rows), data, arrived=len(body["import_data"]))


def _import_lists(service: Service, values: Sequence[object]) -> tuple[str, ...]:
    ids = parse_list_ids(values, MAX_LISTS)
    if service.account.options.unknown_list == "refuse":
        for list_id in ids:
            service.account.find_list(list_id)
    return ids


def _start_import(
    service: Service,
    taken: Import,
    rows: int,
    data: Content,
    *,
    arrived: int,
    file_name: str | None = None,
) -> Response:
    kind = "contacts_json_import" if file_name is None else "contacts_file_import"
    service.activities.check_room()
    ending = service.faults.ending(kind)
    outcome = Outcome()

    def work(activity: Activity) -> Iterator[None]:
        activity.errors = outcome.errors
        limit = None if ending.share >= 1 else int(rows * ending.share)
        yield from taken.carry_out(service.account, outcome, limit)

    activity = service.activities.post(
        kind,
        work,
        lambda: asdict(outcome.tally),
        ending=ending,
        source_file_name=file_name,
    )
    service.imports.append(
        Received(
            file_name=file_name,
            list_ids=taken.list_ids,
            rows=arrived,
            bytes=len(data),
            activity_id=activity.activity_id,
            at=activity.created_at,
            content=data if service.account.options.keep_files else b"",
        )
    )
    return json_response(activity.as_json(), 201)


ROUTES = (
    Route("POST", "/activities/contacts_file_import", DATA, WRITING, import_csv, exclusive=False),
    Route("POST", "/activities/contacts_json_import", DATA, WRITING, import_json, exclusive=False),
)
