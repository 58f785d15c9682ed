"""Collections come a page at a time, however many documents there are."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from functions import exports
from shared.ids import new_run_id
from shared.ledger import Ledger
from shared.runs import RunState
from shared.storage.documents import Documents, Stored
from tests.api.service import VIEWER, Service
from tests.documents import a_run, an_export


class ManyRuns(Documents):
    """The folders of an export's runs; a document is made when it is read, and remembered."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids
        self.was_read: list[str] = []

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the ids of the runs, as a container lists them."""
        return iter(self.ids)

    def read(self, path: str) -> Stored:
        """Return a run that has completed."""
        _, export_id, run_id, _ = path.split("/")
        self.was_read.append(run_id)
        run = a_run(id=run_id, export=an_export(id=export_id), state=RunState.COMPLETED)
        return Stored(run.model_dump_json().encode(), '"1"')


def test_a_page_of_10000_runs_reads_the_documents_it_shows_and_no_other(
    service: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create_export(name)
    begin = datetime(2025, 11, 1, tzinfo=UTC)
    ids = [new_run_id(begin + timedelta(hours=hour)) for hour in range(10_000)]
    many = ManyRuns(ids)
    expected = [ids[:-51:-1], ids[4999:4949:-1], ids[49::-1]]
    at = f"/api/exports/{name}/runs"

    with monkeypatch.context() as patch:
        patch.setitem(service.product().__dict__, "ledger", Ledger(many, service.app.clock))
        pages = [
            service.call("GET", where, VIEWER).json()
            for where in (at, f"{at}?before={ids[5000]}", f"{at}?before={ids[50]}")
        ]

    shown = [[run["id"] for run in page["items"]] for page in pages]
    assert shown == expected
    assert [page["next"] for page in pages] == [
        f"{at}?before={ids[-50]}",
        f"{at}?before={ids[4950]}",
        None,
    ]
    assert sorted(many.was_read) == sorted(i for page in shown for i in page)


@pytest.mark.parametrize("path", ["/api/exports", "/api/overview"])
def test_120_exports_are_two_pages_in_the_order_of_their_ids(service: Service, path: str) -> None:
    records = service.app.product.exports
    ids = [f"paged-{number:03d}" for number in range(120)]
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda i: records.create(i, an_export(id=i)), ids))

    pages = []
    following = f"{path}?after=paged"
    while following:
        page = service.call("GET", following, VIEWER).json()
        pages.append([item["id"] for item in page["items"] if item["id"] in ids])
        following = page["next"]

    with ThreadPoolExecutor(8) as writers:
        list(writers.map(records.delete, ids))
    assert [i for page in pages for i in page] == ids
    assert max(map(len, pages)) <= exports.PAGE < len(ids)
