"""Which segments are found, and when their newest copy counts as complete."""

from __future__ import annotations

import pytest

from shared.errors import SegmentIncomplete, SnapshotChanged, SnapshotInvalid
from shared.segments.discovery import confirm, find_segments, named
from shared.segments.snapshots import Layout, Snapshot
from tests.unit.containers import (
    EXPORT,
    QUIET,
    URL,
    Container,
    entity,
    model,
    newest_snapshot,
    partition,
)

COLUMNS = ("CustomerId", "EMail")
ROWS = "CustomerId,EMail\n1,ana@example.com\n"


def folder(stamp: str = "2026/03/02/0533", table: str = "Spring_Renewals") -> str:
    return f"{EXPORT}{table}/{stamp}/"


def exported(stamp: str = "2026/03/02/0533", parts: int = 2) -> Container:
    """A container with one complete copy of Spring_Renewals."""
    container = Container()
    write_copy(container, stamp, parts)
    container.wait(hours=1)
    return container


def write_copy(container: Container, stamp: str, parts: int = 2) -> None:
    names = [f"{folder(stamp)}Spring_Renewals_{n}.csv" for n in range(1, parts + 1)]
    for name in names:
        container.write(name, ROWS)
    table = entity("Spring_Renewals", COLUMNS, [partition(name) for name in names])
    container.write(f"{EXPORT}model.json", model(table))


def newest(container: Container, name: str = "Spring_Renewals") -> Snapshot | None:
    return newest_snapshot(container, name)


def test_a_dated_folder_under_model_json_is_a_segment() -> None:
    container = exported()

    [segment] = find_segments(container, "", QUIET)

    assert (segment.name, segment.layout) == ("Spring_Renewals", Layout.DATED_FOLDERS)
    assert segment.path == folder()
    assert segment.snapshot is not None
    assert [column.name for column in segment.snapshot.columns] == list(COLUMNS)
    assert [dialect.header for dialect in segment.snapshot.dialects] == [True, True]


def test_partitions_are_read_in_the_order_of_their_numbers() -> None:
    snapshot = newest(exported(parts=11))

    assert snapshot is not None
    assert [file.name.rpartition("_")[2] for file in snapshot.files] == [
        f"{n}.csv" for n in range(1, 12)
    ]


def test_the_newest_copy_wins() -> None:
    container = exported("2026/03/01/0533")
    write_copy(container, "2026/03/02/0533")
    container.wait(hours=1)

    snapshot = newest(container)

    assert snapshot is not None
    assert snapshot.path == folder("2026/03/02/0533")


def test_an_older_copy_never_stands_in_for_one_that_is_being_written() -> None:
    container = exported("2026/03/01/0533")
    write_copy(container, "2026/03/02/0533")

    with pytest.raises(SegmentIncomplete):
        newest(container)


def test_a_copy_is_complete_only_after_a_quiet_time() -> None:
    container = Container()
    write_copy(container, "2026/03/02/0533")
    container.wait(minutes=9, seconds=59)

    with pytest.raises(SegmentIncomplete):
        newest(container)
    container.wait(seconds=1)
    assert newest(container) is not None


def test_a_listed_partition_that_is_not_there_keeps_the_copy_incomplete() -> None:
    container = exported()
    container.delete(f"{folder()}Spring_Renewals_2.csv")
    container.wait(days=1)

    with pytest.raises(SegmentIncomplete, match="1 files that are not there"):
        newest(container)


def test_a_partition_that_is_not_listed_is_waited_for_and_then_left_out() -> None:
    """Two runs in one minute leave partitions of both; only the listed ones belong together."""
    container = exported()
    container.write(f"{folder()}Spring_Renewals_3.csv", ROWS)
    container.wait(minutes=15)

    with pytest.raises(SegmentIncomplete, match="does not list"):
        newest(container)
    container.wait(minutes=15)
    snapshot = newest(container)
    assert snapshot is not None
    assert len(snapshot.files) == 2
    assert snapshot.notes
    confirm(container, snapshot)
    container.write(f"{folder()}Spring_Renewals_4.csv", ROWS)
    with pytest.raises(SnapshotChanged, match="late"):
        confirm(container, snapshot)


def test_a_flat_file_beside_a_folder_of_files_is_no_late_part_of_it() -> None:
    container = Container({"in/Leads/a.csv": ROWS})
    container.wait(hours=1)
    container.write("in/Leads/Weekly_1613059542.csv", ROWS)
    container.wait(hours=1)

    leads, weekly = find_segments(container, "in/", QUIET)

    assert (leads.name, weekly.name) == ("Leads", "Weekly")
    assert leads.snapshot is not None
    confirm(container, leads.snapshot)


def test_metadata_that_was_just_written_is_waited_for_where_it_makes_the_copy() -> None:
    """The files it lists are old, and the list itself may still grow."""
    container = Container({"lake/a.csv": ROWS, "lake/b.csv": ROWS})
    container.wait(hours=1)
    container.write("lake/model.json", model(entity("Lapsed", COLUMNS, [partition("lake/a.csv")])))

    with pytest.raises(SegmentIncomplete):
        newest(container, "Lapsed")
    container.wait(minutes=10)
    snapshot = newest(container, "Lapsed")
    assert snapshot is not None
    assert snapshot.complete_since == container.listed["lake/a.csv"].modified


def test_metadata_that_lags_behind_is_waited_for_and_then_noted() -> None:
    container = exported("2026/03/01/0533")
    container.write(f"{folder('2026/03/02/0533')}Spring_Renewals_1.csv", ROWS)
    container.wait(minutes=20)

    with pytest.raises(SegmentIncomplete, match="older copy"):
        newest(container)
    container.wait(minutes=10)
    snapshot = newest(container)
    assert snapshot is not None
    assert snapshot.path == folder("2026/03/02/0533")
    assert "older copy" in snapshot.notes[0]


def test_an_absent_segment_is_none_and_not_an_empty_snapshot() -> None:
    assert newest(exported(), "Lapsed_VIP") is None


def test_a_segment_that_left_the_metadata_is_reported_though_its_folders_are_there() -> None:
    container = exported()
    container.write(f"{EXPORT}model.json", model(entity("Other", COLUMNS, None)))
    container.wait(hours=1)

    with pytest.raises(SnapshotInvalid, match="no longer lists"):
        newest(container)


def test_a_table_without_partitions_is_empty_only_if_the_metadata_dates_it() -> None:
    container = exported()
    container.write(f"{EXPORT}model.json", model(entity("Spring_Renewals", COLUMNS, [])))
    container.wait(hours=1)
    undated = newest(container)
    dated = model(entity("Spring_Renewals", COLUMNS, []), modifiedTime="2026-03-02T07:00:00+00:00")
    container.write(f"{EXPORT}model.json", dated)
    container.wait(hours=2)

    empty = newest(container)

    assert undated is not None
    assert undated.files
    assert empty is not None
    assert empty.files == ()


def test_a_table_that_never_had_files_is_not_taken_for_empty() -> None:
    container = Container({f"{EXPORT}model.json": model(entity("Lapsed_VIP", COLUMNS, None))})
    container.wait(days=1)

    with pytest.raises(SegmentIncomplete, match="absent"):
        newest(container, "Lapsed_VIP")


@pytest.mark.parametrize("member", ["entities", "tables"])
def test_tables_is_a_synonym_of_entities(member: str) -> None:
    name = f"{folder()}Spring_Renewals_1.csv"
    table = entity("Spring_Renewals", COLUMNS, [partition(name)])
    container = Container(
        {name: ROWS, f"{EXPORT}model.json": f'\ufeff{{"name": "m", "{member}": [{_json(table)}]}}'}
    )
    container.wait(hours=1)

    assert newest(container) is not None


def _json(value: object) -> str:
    import json

    return json.dumps(value)


def test_traits_win_over_format_settings_and_text_counts_as_boolean() -> None:
    name = f"{folder()}Spring_Renewals_1.csv"
    trait = {
        "traitReference": "is.partition.format.CSV",
        "arguments": [
            {"name": "columnHeaders", "value": "false"},
            {"name": "delimiter", "value": ";"},
        ],
    }
    table = entity(
        "Spring_Renewals", COLUMNS, [partition(name, header="true", **{"cdm:traits": [trait]})]
    )
    container = Container({name: "1;ana@example.com\n", f"{EXPORT}model.json": model(table)})
    container.wait(hours=1)

    snapshot = newest(container)

    assert snapshot is not None
    assert (snapshot.dialects[0].header, snapshot.dialects[0].delimiter) == (False, ";")


@pytest.mark.parametrize(
    "location",
    [
        "https://contoso.dfs.core.windows.net/segments/{name}",
        "https://contoso.blob.core.windows.net:443/segments/{name}",
        "https://CONTOSO.blob.core.windows.net/segments/{encoded}",
        "https://contoso.blob.core.windows.net/segments/{name}?sv=2024&sig=secret",
    ],
)
def test_other_spellings_of_the_container_are_the_container(location: str) -> None:
    name = f"{EXPORT}data/Spring Renewals.csv"
    where = location.format(name=name, encoded=name.replace(" ", "%20"))
    table = entity("Spring_Renewals", COLUMNS, [partition(name) | {"location": where}])
    container = Container({name: ROWS, f"{EXPORT}model.json": model(table)})
    container.wait(hours=1)

    snapshot = newest(container)

    assert snapshot is not None
    assert snapshot.layout is Layout.CDM_FOLDER
    assert [file.name for file in snapshot.files] == [name]


@pytest.mark.parametrize(
    "location",
    [
        "https://attacker.example/segments/a.csv",
        "https://contoso.blob.core.windows.net.attacker.example/segments/a.csv",
        "https://contoso.blob.core.windows.net@attacker.example/segments/a.csv",
        "https://contoso.blob.core.windows.net/other/a.csv",
        "https://contoso.blob.core.windows.net/segments2/a.csv",
        "https://contoso.blob.core.windows.net/segments/../other/a.csv",
        "https://contoso.blob.core.windows.net/segments/%2e%2e/other/a.csv",
        "https://contoso.blob.core.windows.net:8443/segments/a.csv",
        "https://contoso.blob.core.windows.net:port/segments/a.csv",
        "https://contoso.blob.core.windows.net/segments/a%00.csv",
        "https://contoso.blob.core.windows.net/segments/a.csv?snapshot=",
        "https://contoso.blob.core.windows.net/segments/a.csv?snapshot=garbage",
        "https://contoso.blob.core.windows.net/segments/a.csv?snapshot=2026-03-02T05:00Z%26comp=acl",
        "https://contoso.blob.core.windows.net/segments/a.csv?snapshot=2026-03-02T05:00Z%0d%0aHost:x",
        "https://contoso.blob.core.windows.net/segments/" + "a" * 2000,
        "file:///etc/passwd",
        "../../other/a.csv",
    ],
)
def test_a_location_outside_the_container_is_refused_and_nothing_is_read(location: str) -> None:
    table = entity("Spring_Renewals", COLUMNS, [partition("a.csv") | {"location": location}])
    container = Container({"a.csv": ROWS, f"{EXPORT}model.json": model(table)})
    container.wait(hours=1)

    with pytest.raises(SnapshotInvalid, match="location of a partition") as refused:
        newest(container)

    assert location not in str(refused.value)
    assert {name for name, _, _ in container.reads} == {f"{EXPORT}model.json"}


def test_a_blob_snapshot_named_by_a_location_is_read() -> None:
    name = f"{EXPORT}data/1.csv"
    container = exported()
    where = f"{URL}/{name}?snapshot=2026-03-02T05:00:00.0000000Z"
    table = entity("Spring_Renewals", COLUMNS, [partition(name) | {"location": where}])
    container.write(name, ROWS)
    pinned = container.listed[name]
    container.blob_snapshots[name, "2026-03-02T05:00:00.0000000Z"] = pinned
    container.write(f"{EXPORT}model.json", model(table))
    container.wait(hours=1)

    snapshot = newest(container)

    assert snapshot is not None
    assert snapshot.files == (pinned,)


def test_a_flat_file_with_its_time_is_a_segment_and_the_latest_counts() -> None:
    root = EXPORT.partition("/")[0]
    container = Container(
        {
            f"{root}/ChurnDemo_Lapsed_VIP_1613059542.csv": ROWS,
            f"{root}/ChurnDemo_Lapsed_VIP_1613159542.csv": ROWS,
        }
    )
    container.wait(hours=1)

    [segment] = find_segments(container, "", QUIET)

    assert (segment.name, segment.layout) == ("ChurnDemo_Lapsed_VIP", Layout.FLAT_FILE)
    assert segment.path.endswith("1613159542.csv")


def test_a_file_at_the_top_and_a_folder_of_files_are_segments() -> None:
    container = Container(
        {
            "in/Leads.csv": ROWS,
            "in/Partners.tsv.gz": ROWS,
            "in/Members/b.csv": ROWS,
            "in/Members/a.csv": ROWS,
            "in/readme.md": "no data",
        }
    )
    container.wait(hours=1)

    segments = find_segments(container, "in/", QUIET)

    assert [(segment.name, len(segment.files)) for segment in segments] == [
        ("Leads", 1),
        ("Members", 2),
        ("Partners", 1),
    ]
    assert {segment.layout for segment in segments} == {Layout.FILES}


def test_two_segments_of_one_name_are_told_apart_by_their_export() -> None:
    other = EXPORT.replace("BlobExport", "Weekly")
    name = "{}Spring_Renewals/2026/03/02/0533/Spring_Renewals_1.csv"
    container = Container({name.format(EXPORT): ROWS, name.format(other): ROWS})
    container.wait(hours=1)

    names = [segment.name for segment in find_segments(container, "", QUIET)]

    assert names == [f"{EXPORT}Spring_Renewals", f"{other}Spring_Renewals"]


def test_without_metadata_partitions_far_apart_in_time_are_not_trusted() -> None:
    container = Container({f"{folder()}Spring_Renewals_1.csv": ROWS})
    container.wait(minutes=31)
    container.write(f"{folder()}Spring_Renewals_2.csv", ROWS)
    container.wait(hours=1)

    with pytest.raises(SnapshotInvalid, match="31 minutes apart"):
        newest(container)


def test_files_in_the_archive_tier_are_named() -> None:
    container = Container()
    container.write("Leads.csv", ROWS, tier="Archive")
    container.wait(hours=1)

    with pytest.raises(SnapshotInvalid, match="archive tier"):
        newest(container, "Leads")


@pytest.mark.parametrize("mark", ["Changelog/changelog.info", "_delta_log/0.json"])
def test_formats_that_are_not_read_are_refused_by_name(mark: str) -> None:
    container = Container({f"lake/{mark}": "x", "lake/table/2026.csv": ROWS})
    container.wait(hours=1)

    [segment] = find_segments(container, "", QUIET)

    assert segment.snapshot is None
    assert isinstance(segment.trouble, SnapshotInvalid)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '"text"', "\xff", '{"entities": ' + "[" * 100_000]
)
def test_broken_metadata_is_an_error_of_its_segments_alone(content: str) -> None:
    container = exported()
    container.write(f"{EXPORT}model.json", content.encode("latin-1"))
    container.write("Leads.csv", ROWS)
    container.wait(hours=1)

    segments = find_segments(container, "", QUIET)

    spring, leads = named(segments, "spring_renewals"), named(segments, "Leads")
    assert spring is not None
    assert isinstance(spring.trouble, SnapshotInvalid)
    assert leads is not None
    assert leads.snapshot is not None


def test_a_manifest_lists_partitions_and_patterns() -> None:
    manifest = """{
      "manifestName": "default",
      "entities": [{
        "type": "LocalEntity", "entityName": "Lapsed_VIP",
        "entityPath": "Lapsed_VIP.cdm.json/Lapsed_VIP",
        "dataPartitions": [{"location": "Lapsed_VIP/first.csv", "exhibitsTraits": [
          {"traitReference": "is.partition.format.CSV",
           "arguments": [{"name": "columnHeaders", "value": "true"}]}]}],
        "dataPartitionPatterns": [{"name": "all", "rootLocation": "Lapsed_VIP/more",
          "globPattern": "/**/*.csv"}]
      }]
    }"""
    definition = """{"definitions": [{"entityName": "Lapsed_VIP", "hasAttributes": [
      {"name": "CustomerId"},
      {"attributeGroupReference": {"members": [{"name": "EMail", "dataType": "String"}]}}]}]}"""
    container = Container(
        {
            "lake/default.manifest.cdm.json": manifest,
            "lake/Lapsed_VIP.cdm.json": definition,
            "lake/Lapsed_VIP/first.csv": ROWS,
            "lake/Lapsed_VIP/more/2026/second.csv": ROWS,
            "lake/Lapsed_VIP/more/notes.txt": "none of it",
        }
    )
    container.wait(hours=1)

    snapshot = newest(container, "Lapsed_VIP")

    assert snapshot is not None
    assert {file.name for file in snapshot.files} == {
        "lake/Lapsed_VIP/first.csv",
        "lake/Lapsed_VIP/more/2026/second.csv",
    }
    assert [(column.name, column.type) for column in snapshot.columns] == [
        ("CustomerId", "string"),
        ("EMail", "string"),
    ]


def test_a_snapshot_survives_the_run_document() -> None:
    snapshot = newest(exported())

    assert snapshot is not None
    assert Snapshot.model_validate_json(snapshot.model_dump_json()) == snapshot


def test_a_pinned_snapshot_is_confirmed_while_nothing_changes() -> None:
    container = exported()
    snapshot = newest(container)
    assert snapshot is not None

    confirm(container, snapshot)


@pytest.mark.parametrize("change", ["late", "rewritten", "gone"])
def test_a_change_after_pinning_is_noticed(change: str) -> None:
    container = exported()
    snapshot = newest(container)
    assert snapshot is not None
    name = f"{folder()}Spring_Renewals_2.csv"
    match change:
        case "late":
            container.write(f"{folder()}Spring_Renewals_3.csv", ROWS)
        case "rewritten":
            container.write(name, ROWS)
        case "gone":
            container.delete(name)

    with pytest.raises(SnapshotChanged):
        confirm(container, snapshot)
