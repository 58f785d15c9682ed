"""Every row has one fate, and the same input gives the same files."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contacts.preparation import Audience, Consent, Exclusion, Identities, Order, prepare
from shared.contacts.texts import Mask, Text
from shared.errors import SnapshotChanged, SnapshotInvalid
from shared.segments.snapshots import Snapshot
from shared.segments.source import SourceFile
from tests.unit.containers import Container, snapshot_of
from tests.unit.preparing import Shelf

MAPPING = {"email": "EMail", "first_name": "FirstName"}

Row = tuple[str, ...]


def written(rows: Sequence[Row], header: Row = ("EMail", "FirstName")) -> str:
    return "".join(",".join(row) + "\n" for row in (header, *rows))


def pinned(container: Container, name: str) -> Snapshot:
    """The snapshot of one file."""
    whole = snapshot_of(container)
    files = tuple(file for file in whole.files if file.name == name)
    return whole.model_copy(
        update={"segment": name, "path": name, "files": files, "dialects": whole.dialects[:1]}
    )


def test_files_are_read_one_after_the_other_and_every_line_knows_where_it_came_from() -> None:
    container = Container(
        {
            "1.csv": written([("ana@example.com", "Ana"), ("bad", "x"), ("bo@example.com", "Bo")]),
            "2.csv": written([("cy@example.com", "Cy")]),
        }
    )
    shelf = Shelf()

    counts = prepare(container, Order((Audience(snapshot_of(container), ("l",)),), MAPPING), shelf)

    assert shelf.emails == ["ana@example.com", "bo@example.com", "cy@example.com"]
    assert shelf.origins == [
        {"file": 0, "record": 2},
        {"file": 0, "record": 4},
        {"file": 1, "record": 2},
    ]
    assert [(row["file"], row["row"]) for row in shelf.rejected] == [("1.csv", "3")]
    assert (counts.read, counts.invalid, counts.staged) == (4, 1, 3)


def test_the_same_snapshot_gives_the_same_files_to_the_byte() -> None:
    rows = [(f"p{number % 700}@example.com", f"N{number}") for number in range(1000)]
    container = Container({"1.csv": written(rows)})
    order = Order((Audience(snapshot_of(container), ("l",)),), MAPPING)
    first, second = Shelf(), Shelf()

    prepare(container, order, first)
    prepare(container, order, second)

    assert first.files == second.files
    assert first.pieces == second.pieces


@pytest.mark.parametrize(("name", "error"), [("2.parquet", "no footer"), ("2.csv.gz", "cut off")])
def test_a_partition_without_a_byte_is_empty_only_where_it_has_no_end_of_its_own(
    name: str, error: str
) -> None:
    """An uneven split leaves empty text; an empty gzip or Parquet file was not written."""
    container = Container({"1.csv": written([("ana@example.com", "Ana")]), "2.csv": ""})
    order = Order((Audience(snapshot_of(container), ("l",)),), MAPPING)
    container.write(name, b"")
    whole = Order((Audience(snapshot_of(container), ("l",)),), MAPPING)

    assert prepare(container, order, Shelf()).staged == 1
    with pytest.raises(SnapshotInvalid, match=error):
        prepare(container, whole, Shelf())


@pytest.mark.parametrize("word", ["groß", "ΟΔΟΣ", "True", "İ"])
def test_consent_matches_itself_in_any_script(word: str) -> None:
    assert Consent("Ok", frozenset({word})).given(pa.array([f" {word} ", "no"])).tolist() == [
        True,
        False,
    ]


class TestSeveralSegments:
    """One address is one person, whatever segments she is in."""

    def prepared(self, lists: Sequence[Sequence[str]], *files: Sequence[Row]) -> Shelf:
        container = Container({f"{number}.csv": written(rows) for number, rows in enumerate(files)})
        audiences = tuple(
            Audience(pinned(container, f"{number}.csv"), tuple(ids))
            for number, ids in enumerate(lists)
        )
        self.shelf = Shelf()
        self.counts = prepare(container, Order(audiences, MAPPING), self.shelf)
        return self.shelf

    def test_a_later_segment_with_other_lists_adds_her_by_her_address_alone(self) -> None:
        shelf = self.prepared(
            [["a"], ["b"]], [("ana@example.com", "Ana")], [("ANA@example.com", "Anna")]
        )

        assert [(lists, file.csv) for _, lists, file in shelf.batches] == [
            (("a",), b"email,first_name\nana@example.com,Ana\n"),
            (("b",), b"email,first_name\nANA@example.com,\n"),
        ]
        assert self.counts.staged == 2

    def test_a_later_segment_whose_lists_she_is_on_already_is_a_duplicate(self) -> None:
        shelf = self.prepared(
            [["a", "b"], ["b"]], [("ana@example.com", "Ana")], [("ana@example.com", "Anna")]
        )

        assert len(shelf.batches) == 1
        assert shelf.reasons == [(2, "duplicate")]

    def test_lists_of_all_earlier_segments_count(self) -> None:
        ana = [("ana@example.com", "Ana")]

        shelf = self.prepared([["a"], ["b"], ["a", "b"]], ana, ana, ana)

        assert len(shelf.batches) == 2
        assert self.counts.duplicate == 1

    def test_twice_in_a_later_segment_she_is_added_once(self) -> None:
        ana = ("ana@example.com", "Ana")

        self.prepared([["a"], ["b"]], [ana], [ana, ana])

        assert (self.counts.staged, self.counts.duplicate) == (2, 1)


def test_people_of_an_excluded_segment_are_not_sent() -> None:
    container = Container(
        {
            "all.csv": written([("ana@example.com", "Ana"), ("bo@example.com", "Bo")]),
            "out.csv": written([(" ANA@example.com ", "x"), ("", "x")]),
        }
    )
    order = Order(
        (Audience(pinned(container, "all.csv"), ("l",)),),
        MAPPING,
        excluded=(pinned(container, "out.csv"),),
    )
    shelf = Shelf()

    counts = prepare(container, order, shelf)

    assert shelf.emails == ["bo@example.com"]
    assert shelf.reasons == [(2, "excluded")]
    assert (counts.read, counts.excluded) == (2, 1)


def test_rows_of_an_excluded_segment_that_keep_nobody_out_are_in_the_rejects() -> None:
    """They may be people who must not be written to, so none of them passes without a word."""
    out = "EMail,FirstName\nana@example.com,Ana\nbo@example.com,Bo, Jr\ncy@example.com.,Cy\n,Di\n"
    container = Container(
        {
            "all.csv": written([("ana@example.com", "Ana"), ("bo@example.com", "Bo")]),
            "out.csv": out,
            "none.csv": "",
        }
    )
    order = Order(
        (Audience(pinned(container, "all.csv"), ("l",)),),
        MAPPING,
        excluded=(pinned(container, "out.csv"), pinned(container, "none.csv")),
        consent=Consent("FirstName", frozenset({"ana", "bo"})),
    )
    shelf = Shelf()

    counts = prepare(container, order, shelf)

    assert [(r["segment"], r["row"], r["field"], r["reason"]) for r in shelf.rejected] == [
        ("out.csv", "4", "email", "email_invalid"),
        ("out.csv", "3", "", "row_malformed"),
        ("all.csv", "2", "email", "excluded"),
    ]
    assert counts.exclusions == [Exclusion("out.csv", 1, 2), Exclusion("none.csv", 0, 0)]
    assert (counts.read, counts.excluded, counts.invalid) == (2, 1, 0)
    assert counts.adds_up


class TestNewest:
    """With a date column the newest row of a person is sent, not the first."""

    HEADER = ("EMail", "FirstName", "Changed")

    def prepared(self, lists: Sequence[str], *files: Sequence[Row]) -> Shelf:
        container = Container(
            {f"{n}.csv": written(rows, self.HEADER) for n, rows in enumerate(files)}
        )
        audiences = tuple(
            Audience(pinned(container, f"{n}.csv"), (lists[n],)) for n in range(len(files))
        )
        shelf = Shelf()
        self.counts = prepare(container, Order(audiences, MAPPING, newest_by="Changed"), shelf)
        assert self.counts.adds_up
        return shelf

    def test_the_newest_row_is_sent_wherever_it_stands(self) -> None:
        shelf = self.prepared(
            "a",
            [
                ("ana@example.com", "old", "2026-01-01"),
                ("ana@example.com", "new", "2026-03-01T10:00:00Z"),
                ("ana@example.com", "mid", "2/1/2026"),
            ],
        )

        assert shelf.contacts == [{"email": "ana@example.com", "first_name": "new"}]
        assert shelf.reasons == [(2, "duplicate"), (4, "duplicate")]

    def test_of_equally_new_rows_the_first_is_sent(self) -> None:
        shelf = self.prepared(
            "a",
            [
                ("ana@example.com", "none", ""),
                ("ana@example.com", "first", "2026-01-01"),
                ("ana@example.com", "second", "2026-01-01"),
            ],
        )

        assert shelf.contacts[0]["first_name"] == "first"

    def test_rows_without_a_date_are_older_than_all_others(self) -> None:
        shelf = self.prepared("a", [("ana@example.com", "1", "soon"), ("ana@example.com", "2", "")])

        assert shelf.contacts[0]["first_name"] == "1"

    def test_a_time_zone_counts(self) -> None:
        shelf = self.prepared(
            "a",
            [
                ("ana@example.com", "later", "2026-01-01T00:30:00-05:00"),
                ("ana@example.com", "earlier", "2026-01-01T05:00:00+00:00"),
            ],
        )

        assert shelf.contacts[0]["first_name"] == "later"

    def test_the_newest_may_be_in_a_later_segment(self) -> None:
        shelf = self.prepared(
            "ab",
            [("ana@example.com", "old", "2026-01-01")],
            [("ana@example.com", "new", "2026-02-01")],
        )

        assert [file.csv.splitlines()[1] for _, _, file in shelf.batches] == [
            b"ana@example.com,",
            b"ana@example.com,new",
        ]

    def test_a_row_that_cannot_be_sent_does_not_win(self) -> None:
        container = Container(
            {
                "1.csv": written(
                    [
                        ("ana@example.com", "2026-02-01", "no"),
                        ("ana@example.com", "2026-01-01", "yes"),
                    ],
                    ("EMail", "Changed", "Ok"),
                )
            }
        )
        order = Order(
            (Audience(snapshot_of(container), ("l",)),),
            {"email": "EMail"},
            consent=Consent("Ok", frozenset({"yes"})),
            newest_by="Changed",
        )
        shelf = Shelf()

        prepare(container, order, shelf)

        assert shelf.origins == [{"file": 0, "record": 3}]
        assert shelf.reasons == [(2, "no_consent")]

    def test_a_row_with_a_damaged_value_does_not_win(self) -> None:
        """Whatever column the damage is in, and the reject names that one."""
        shelf = self.prepared(
            "a",
            [
                ("ana@example.com", "Ana", "2026-01-01"),
                ("ana@example.com", "A\0na", "2026-02-01"),
            ],
        )

        assert shelf.contacts == [{"email": "ana@example.com", "first_name": "Ana"}]
        [reject] = shelf.rejected
        assert (reject["row"], reject["reason"]) == ("3", "nul_character")
        assert (reject["field"], reject["value"]) == ("first_name", "A***")


class Remembered:
    """A memory of lines; it notes what it was asked and told."""

    def __init__(self, lines: set[str]) -> None:
        self.lines = lines
        self.asked: list[tuple[int, str]] = []
        self.here: list[tuple[int, str]] = []
        self.identities: list[tuple[str, str]] = []

    def unchanged(
        self, segment: int, keys: Text, lines: Text, identities: Identities | None
    ) -> Mask:
        self.asked += [(segment, key) for key in keys.to_pylist()]
        if identities is not None and identities.before is not None:
            pairs = zip(identities.now.to_pylist(), identities.before.to_pylist(), strict=True)
            self.identities += list(pairs)
        return np.array([line in self.lines for line in lines.to_pylist()], np.bool_)

    def present(self, segment: int, keys: Text, identities: Identities | None) -> None:
        self.here += [(segment, key) for key in keys.to_pylist()]


def test_what_is_remembered_is_not_staged_again() -> None:
    rows = [
        ("Ana@example.com", "Ana", " 1 ", "7;8"),
        ("ana@EXAMPLE.com", "Anna", "2", ""),
        ("bo@example.com", "Bo", "3", ""),
        ("", "x", "4", ""),
    ]
    container = Container({"1.csv": written(rows, ("EMail", "FirstName", "Id", "Before"))})
    order = Order(
        (Audience(snapshot_of(container), ("l",)),),
        MAPPING,
        identity="Id",
        previous_identity="Before",
    )
    memory = Remembered({"Ana@example.com,Ana\n"})
    shelf = Shelf()

    counts = prepare(container, order, shelf, memory=memory)

    assert shelf.emails == ["bo@example.com"]
    assert memory.asked == [(0, "ana@example.com"), (0, "bo@example.com")]
    assert memory.identities == [("1", "7;8"), ("3", "")]
    assert memory.here == [(0, "")]
    assert (counts.unchanged, counts.duplicate, counts.staged) == (1, 1, 1)
    assert counts.adds_up


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("small", [True, False])
def test_parquet_gives_the_same_contacts_as_text(
    compression: str, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.segments.parquet.SMALL_BYTES", 2**30 if small else 0)
    table = pa.table(
        {
            "EMail": pa.array(["ana@example.com", None, "bo@example.com"]),
            "FirstName": pa.array(["Ana", "x", "Bo"]).dictionary_encode(),
            "Since": pa.array([dt.date(2018, 1, 2), None, dt.date(1999, 12, 31)]),
            "Seen": pa.array(
                [dt.datetime(2018, 1, 2, 3, 4, tzinfo=dt.UTC), None, None],
                pa.timestamp("us", "UTC"),
            ),
            "Vip": pa.array([True, None, False]),
            "Points": pa.array([1.5, None, 2.0]),
            "Tags": pa.array([["a"], None, []]),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression=compression, row_group_size=2)
    container = Container({"1.parquet": sink.getvalue()})
    mapping = MAPPING | {
        "anniversary": "Since",
        "birthday": "Seen",
        "cf:vip": "Vip",
        "cf:points": "Points",
    }
    types = {"vip": "boolean", "points": "number"}
    shelf = Shelf()

    prepare(container, Order((Audience(snapshot_of(container), ("l",)),), mapping, types), shelf)

    assert [list(contact.values()) for contact in shelf.contacts] == [
        ["ana@example.com", "Ana", "2018-01-02", "1", "2", "true", "1.5"],
        ["bo@example.com", "Bo", "1999-12-31", "", "", "false", "2"],
    ]
    assert shelf.reasons == [(2, "email_missing")]


def test_a_parquet_column_of_lists_cannot_be_mapped() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"EMail": [["ana@example.com"]]}), sink)
    container = Container({"1.parquet": sink.getvalue()})
    order = Order((Audience(snapshot_of(container), ("l",)),), {"email": "EMail"})

    with pytest.raises(SnapshotInvalid, match="lists or records"):
        prepare(container, order, Shelf())


@pytest.mark.parametrize("kept", [3, 7, 11, 100, -1, -5, -200])
def test_a_parquet_file_that_is_cut_off_is_an_error(kept: int) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"EMail": [f"p{n}@example.com" for n in range(100)]}), sink)
    container = Container({"1.parquet": sink.getvalue()[:kept]})
    order = Order((Audience(snapshot_of(container), ("l",)),), {"email": "EMail"})

    with pytest.raises(SnapshotInvalid, match=r"1\.parquet"):
        prepare(container, order, Shelf())


@pytest.mark.parametrize("moment", ["before", "between ranges"])
def test_a_file_that_changes_under_the_reader_ends_the_preparation(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.segments.streams.RANGE_BYTES", 1000)
    rows = [(f"p{number}@example.com", "x") for number in range(200)]
    container = Container({"1.csv": written(rows)})
    order = Order((Audience(snapshot_of(container), ("l",)),), MAPPING)
    container.wait(minutes=1)
    if moment == "before":
        container.write("1.csv", written(rows))
    else:
        read = container.read

        def changing(file: SourceFile, start: int, length: int) -> bytes:
            if start >= 2000:
                container.write("1.csv", written(rows))
            return read(file, start, length)

        monkeypatch.setattr(container, "read", changing)

    with pytest.raises(SnapshotChanged):
        prepare(container, order, Shelf())


def test_a_partition_that_comes_late_ends_the_preparation() -> None:
    container = Container({"in/1.csv": written([("ana@example.com", "Ana")])})
    snapshot = snapshot_of(container).model_copy(update={"path": "in/"})
    container.wait(minutes=1)
    container.write("in/2.csv", written([("bo@example.com", "Bo")]))

    with pytest.raises(SnapshotChanged, match="late"):
        prepare(container, Order((Audience(snapshot, ("l",)),), MAPPING), Shelf())


def test_only_the_ranges_of_the_files_are_read_and_each_once() -> None:
    container = Container({"1.csv": written([("ana@example.com", "Ana")])})
    size = len(container.contents["1.csv"])

    prepare(container, Order((Audience(snapshot_of(container), ("l",)),), MAPPING), Shelf())

    assert container.reads == [("1.csv", 0, size)]


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
cells = st.sampled_from(
    [
        *(f"p{number}@example.com" for number in range(8)),
        *(f"P{number}@Example.COM" for number in range(8)),
        "",
        "no address",
    ]
)


@given(st.lists(st.tuples(cells, names), max_size=40), st.booleans())
def test_every_row_has_exactly_one_fate(rows: list[tuple[str, str]], by_parquet: bool) -> None:
    """Whatever the values are: each row is staged or in the rejects, and none is lost."""
    container = Container({"segment": _as_file(rows, by_parquet)})
    shelf = Shelf()

    counts = prepare(container, Order((Audience(snapshot_of(container), ("l",)),), MAPPING), shelf)

    assert counts.adds_up
    assert counts.read == len(rows)
    staged = [origin["record"] for origin in shelf.origins]
    rejected = [row for row, _ in shelf.reasons]
    first = 1 if by_parquet else 2
    assert sorted([*staged, *rejected]) == list(range(first, first + len(rows)))
    seen: dict[str, str] = {}
    for email, name in rows:
        if "@" in email:
            seen.setdefault(email.lower(), name)
    assert [email.lower() for email in shelf.emails] == list(seen)
    for contact, name in zip(shelf.contacts, seen.values(), strict=True):
        assert len(contact["first_name"]) <= 50
        assert "\n" not in contact["first_name"]
        plain = name.strip()
        if plain.isascii() and plain.isprintable() and len(plain) <= 50:
            assert contact["first_name"] == plain


def _as_file(rows: Sequence[Row], by_parquet: bool) -> bytes:
    if by_parquet:
        sink = io.BytesIO()
        columns: dict[str, Any] = {
            "EMail": pa.array([row[0] for row in rows], pa.string()),
            "FirstName": pa.array([row[1] for row in rows], pa.string()),
        }
        pq.write_table(pa.table(columns), sink)
        return sink.getvalue()
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(("EMail", "FirstName"))
    writer.writerows(rows)
    return text.getvalue().encode()


def test_the_start_of_the_next_file_is_fetched_while_the_present_one_is_worked_on() -> None:
    """Each file is still read once, and an empty one between them is no obstacle."""
    contents = {
        "1.csv": written([("ana@example.com", "Ana")]),
        "2.csv": "",
        "3.csv": written([("bo@example.com", "Bo")]),
    }
    container = Container(contents)
    shelf = Shelf()

    prepare(container, Order((Audience(snapshot_of(container), ("l",)),), MAPPING), shelf)

    assert shelf.emails == ["ana@example.com", "bo@example.com"]
    assert sorted(container.reads) == [
        (name, 0, len(content)) for name, content in contents.items() if content
    ]


def test_trouble_with_a_file_comes_out_when_its_turn_comes() -> None:
    container = Container(
        {"1.csv": written([("ana@example.com", "Ana")]), "2.csv": written([("b@example.com", "B")])}
    )
    order = Order((Audience(snapshot_of(container), ("l",)),), MAPPING)
    container.delete("2.csv")

    with pytest.raises(SnapshotChanged, match=r"2\.csv"):
        prepare(container, order, Shelf())
