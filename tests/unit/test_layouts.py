"""Awkward listings and metadata, one for each claim: ``tests/corpus/layouts/<claim>.toml``.

``files`` are written in their order, each ``at`` so many minutes (0); in a text ``@/`` is the
address of the container and ``~`` stands for ``@``. Then ``now`` so many minutes have passed (60).
Expected of the ``segment`` (Spring) are its ``layout``, what of it is ``read`` (addresses), its
``notes`` (parts of them) and ``columns``; or why it is not read: ``waits`` or ``error``; or that it
is ``absent``.
"""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from shared.contacts.preparation import Audience, Order, prepare
from shared.errors import SegmentIncomplete, SnapshotInvalid
from shared.segments.discovery import find_segments, named
from tests.unit.containers import QUIET, START, URL, Container
from tests.unit.preparing import Shelf

CASES = {
    path.stem: tomllib.loads(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parents[1] / "corpus" / "layouts").glob("*.toml"))
}
KNOWN = {
    *("files", "now", "segment", "prefix"),
    *("layout", "read", "notes", "columns", "waits", "error", "absent"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_awkward_layout(name: str) -> None:
    case = CASES[name]
    assert set(case) <= KNOWN
    container = Container()
    for file in case["files"]:
        container.clock = START + timedelta(minutes=file.get("at", 0))
        container.write(file["name"], file["text"].replace("@/", f"{URL}/").replace("~", "@"))
    container.clock = START + timedelta(minutes=case.get("now", 60))

    segments = find_segments(container, case.get("prefix", ""), QUIET)

    segment = named(segments, case.get("segment", "Spring"))
    if case.get("absent"):
        assert segment is None
        return
    assert segment is not None
    assert segment.layout.value == case.get("layout", segment.layout.value)
    if segment.trouble is not None:
        kind = SegmentIncomplete if "waits" in case else SnapshotInvalid
        assert isinstance(segment.trouble, kind)
        assert case["waits" if "waits" in case else "error"] in str(segment.trouble)
        return
    snapshot = segment.snapshot
    assert snapshot is not None
    assert len(snapshot.notes) == len(case.get("notes", ()))
    for note, part in zip(snapshot.notes, case.get("notes", ()), strict=True):
        assert part in note
    if "columns" in case:
        assert [column.name for column in snapshot.columns] == case["columns"]
    shelf = Shelf()
    prepare(container, Order((Audience(snapshot, ("list",)),), {"email": "EMail"}), shelf)
    assert shelf.emails == [f"{address}@example.com" for address in case["read"]]
