"""Awkward files, one for each claim: ``tests/corpus/<what it proves>.toml``.

``text`` is the file, in ``encoding`` (UTF-8), perhaps as ``gzip`` with ``again`` in a second
member, with the last ``cut`` bytes gone or the byte at ``flip`` turned. ``header``,
``delimiter``, ``line_breaks``, ``columns``, ``date_patterns`` and ``culture`` are what metadata
says.
Expected are ``contacts`` (cells in the order of the mapping), ``rejects`` (row, reason, value)
or an ``error`` at its ``position``.
"""

from __future__ import annotations

import gzip
import tomllib
from pathlib import Path
from typing import Any

import pytest

from shared.contacts.preparation import Audience, Consent, Counts, Order, prepare
from shared.errors import SnapshotInvalid
from shared.segments.snapshots import Column, Dialect
from tests.unit.containers import Container, snapshot_of
from tests.unit.preparing import Shelf

CASES = {
    path.stem: tomllib.loads(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parents[1] / "corpus").glob("*.toml"))
}
KNOWN = {
    *("text", "encoding", "gzip", "again", "cut", "flip"),
    *("header", "delimiter", "line_breaks", "columns", "date_patterns", "culture"),
    *("mapping", "custom_fields", "consent"),
    *("contacts", "rejects", "rejected", "shortened", "left_out", "error", "position"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_awkward_file(name: str) -> None:
    case = CASES[name]
    assert set(case) <= KNOWN

    if "error" in case:
        with pytest.raises(SnapshotInvalid) as raised:
            prepared(case)
        assert case["error"] in str(raised.value)
        assert raised.value.file == "segment.csv"
        assert raised.value.position == case.get("position", raised.value.position)
        return
    shelf, counts = prepared(case)
    assert [list(contact.values()) for contact in shelf.contacts] == case["contacts"]
    if "rejects" in case:
        found = [[int(row["row"]), row["reason"], row["value"]] for row in shelf.rejected]
        assert found == case["rejects"]
    rejected = case.get("rejected", len(case.get("rejects", ())))
    assert len(shelf.rejected) == rejected == counts.read - counts.staged
    assert counts.adds_up
    assert counts.shortened_values == case.get("shortened", 0)
    assert counts.left_out_values == case.get("left_out", 0)


def prepared(case: dict[str, Any]) -> tuple[Shelf, Counts]:
    container = Container({"segment.csv": content(case)})
    snapshot = snapshot_of(
        container,
        Dialect(
            header=case.get("header"),
            delimiter=case.get("delimiter"),
            line_breaks=case.get("line_breaks", True),
        ),
        columns=tuple(Column(name=name) for name in case.get("columns", ())),
        date_patterns=tuple(case.get("date_patterns", ())),
        culture=case.get("culture"),
    )
    consent = case.get("consent")
    order = Order(
        audiences=(Audience(snapshot, ("list",)),),
        mapping=case.get("mapping", {"email": "EMail", "first_name": "FirstName"}),
        custom_fields=case.get("custom_fields", {}),
        consent=Consent(consent["column"], frozenset(consent["values"])) if consent else None,
    )
    shelf = Shelf()
    counts = prepare(container, order, shelf)
    return shelf, counts


def content(case: dict[str, Any]) -> bytes:
    data = case["text"].encode(case.get("encoding", "utf-8"))
    if case.get("gzip"):
        data = gzip.compress(data) + gzip.compress(case.get("again", "").encode())
    if "cut" in case:
        data = data[: -case["cut"]]
    if "flip" in case:
        place = case["flip"] % len(data)
        data = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
    return bytes(data)
