"""The invented segments: what they promise about themselves holds in what they write."""

from __future__ import annotations

import csv
import json

import pytest
from azure.storage.blob import ContainerClient
from hypothesis import given, settings
from hypothesis import strategies as st

from local.segments import COLUMNS, Segment

URL = "https://account.blob.core.windows.net/segments"

small = st.builds(
    Segment,
    rows=st.integers(20, 400),
    partitions=st.integers(1, 5),
    seed=st.integers(0, 50),
    revision=st.integers(0, 3),
)


def rows_of(segment: Segment) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for name, content in segment.files(URL):
        if name.endswith(".csv"):
            lines = content.decode().splitlines(keepends=True)
            rows += csv.DictReader(lines, strict=True)
    return rows


@given(small)
@settings(max_examples=30, deadline=None)
def test_the_counts_are_exact(segment: Segment) -> None:
    """Every address is blank, the first of its kind, a repeat of a valid one, or invalid."""
    addresses = [row["EMailAddress1"].strip().lower() for row in rows_of(segment)]
    valid = segment.addresses()
    seen: set[str] = set()
    counts = {"missing_email": 0, "invalid": 0, "duplicate": 0, "valid": 0}
    for address in addresses:
        kind = (
            "missing_email"
            if not address
            else "invalid"
            if address not in valid
            else "duplicate"
            if address in seen
            else "valid"
        )
        counts[kind] += 1
        seen.add(address)

    expected = segment.expected
    assert len(addresses) == expected.read
    assert counts == {
        "missing_email": expected.missing_email,
        "invalid": expected.invalid,
        "duplicate": expected.duplicate,
        "valid": expected.valid,
    }
    assert seen >= valid


@given(small)
@settings(max_examples=10, deadline=None)
def test_the_same_numbers_give_the_same_bytes(segment: Segment) -> None:
    again = Segment(segment.name, segment.rows, segment.partitions, segment.seed, segment.revision)

    assert list(segment.files(URL)) == list(again.files(URL))


def test_partitions_do_not_change_the_people() -> None:
    assert rows_of(Segment(rows=300, partitions=1)) == rows_of(Segment(rows=300, partitions=7))


def test_a_refresh_adds_removes_and_changes_a_few() -> None:
    before = {row["CustomerId"]: row for row in rows_of(Segment(rows=2000))}
    after = {row["CustomerId"]: row for row in rows_of(Segment(rows=2000, revision=1))}
    changed = {
        key
        for key in before.keys() & after.keys()
        if before[key]["LastName"] != after[key]["LastName"]
    }

    assert 0 < len(before.keys() - after.keys()) < 60
    assert 0 < len(after.keys() - before.keys()) < 60
    assert 0 < len(changed) < 120


def test_it_has_the_values_that_trip_a_reader() -> None:
    rows = rows_of(Segment(rows=5000))
    names = [row["FirstName"] for row in rows] + [row["LastName"] for row in rows]

    assert any("\n" in name for name in names)
    assert any('"' in name for name in names)
    assert any("," in name for name in names)
    assert any(len(name) > 50 for name in names)
    assert any(not name.isascii() for name in names)
    assert "" in names
    assert len({row["CustomerId"] for row in rows}) == len(rows)


def test_about_five_percent_repeat_and_two_have_no_usable_address() -> None:
    expected = Segment(rows=20_000).expected

    assert expected.duplicate / expected.read == pytest.approx(0.05, abs=0.01)
    assert expected.invalid / expected.read == pytest.approx(0.01, abs=0.003)
    assert expected.missing_email / expected.read == pytest.approx(0.01, abs=0.003)


def test_model_json_comes_last_and_names_every_partition_and_column() -> None:
    segment = Segment(rows=50, partitions=3, revision=1)
    *partitions, (name, content) = segment.files(URL)
    entity = json.loads(content)["entities"][0]

    assert name.endswith("/BlobExport/model.json")
    assert [each["location"] for each in entity["partitions"]] == [
        f"{URL}/{name}" for name, _ in partitions
    ]
    assert all("/Spring_Renewals/2026/03/03/0533/" in name for name, _ in partitions)
    assert [each["name"] for each in entity["attributes"]] == list(COLUMNS)


def test_an_upload_puts_every_file_into_the_container(storage_account: str) -> None:
    segment = Segment(rows=50, partitions=2)
    with ContainerClient.from_connection_string(storage_account, "segments") as container:
        container.create_container()
        segment.upload(container)

        assert {blob.name for blob in container.list_blobs()} == {
            name for name, _ in segment.files(URL)
        }
