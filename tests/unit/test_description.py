"""What a person sees of a segment before it is mapped."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.errors import SnapshotInvalid
from shared.segments.description import Description, describe, proposed_mapping
from shared.segments.snapshots import Column, Dialect
from tests.unit.containers import Container, snapshot_of


def described(content: str | bytes, *, name: str = "1.csv", **more: object) -> Description:
    container = Container({name: content})
    dialect = more.pop("dialect", Dialect())
    assert isinstance(dialect, Dialect)
    return describe(container, snapshot_of(container, dialect, **more))


def test_columns_have_up_to_five_different_masked_values() -> None:
    rows = "".join(f"{letter}na@example.com,{letter.upper()}na\n" for letter in "aabcdefg")

    email, name = described(f"EMail,FirstName\n{rows}").columns

    assert email.samples == tuple(f"{letter}***@e***" for letter in "abcde")
    assert name.samples == ("A***", "B***", "C***", "D***", "E***")


def test_empty_values_are_no_samples() -> None:
    [column, _] = described("EMail,FirstName\n,Ana\nNULL,Bo\n  ,Cy\n").columns

    assert column.samples == ()


def test_types_come_from_the_metadata() -> None:
    columns = (Column(name="EMail"), Column(name="Points", type="int64"))

    description = described("EMail,Points\na@example.com,7\n", columns=columns)

    assert [(column.name, column.type) for column in description.columns] == [
        ("EMail", "string"),
        ("Points", "int64"),
    ]


def test_parquet_brings_its_own_types_and_lists_are_not_offered() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"EMail": ["a@example.com"], "Points": [7], "Tags": [["x"]]}), sink)

    description = described(sink.getvalue(), name="1.parquet")

    assert [(column.name, column.type) for column in description.columns] == [
        ("EMail", "string"),
        ("Points", "int64"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_where_nothing_says_header_and_delimiter_are_proposed(delimiter: str) -> None:
    text = f"EMail{delimiter}Name\na@example.com{delimiter}Ana\n"

    description = described(text)

    assert description.dialect == Dialect(header=True, delimiter=delimiter)


def test_a_first_record_with_an_address_or_a_number_is_proposed_as_data() -> None:
    description = described("a@example.com,Ana,7\n")

    assert description.dialect.header is False
    assert [column.name for column in description.columns] == ["Column1", "Column2", "Column3"]


@pytest.mark.parametrize("first", ["Ana,Silva,Lisbon\n", "Anna,Silva,State\nBo,Li,City\n"])
def test_a_first_row_of_words_is_never_shown_as_names(first: str) -> None:
    """Only a record with a known name for addresses is proposed as a header."""
    description = described(first)

    assert description.dialect.header is False
    assert [column.name for column in description.columns] == ["Column1", "Column2", "Column3"]
    assert "Silva" not in str(description.shown())


def test_what_is_configured_is_not_proposed_otherwise() -> None:
    description = described("EMail;Name\n", dialect=Dialect(header=False, delimiter=";"))

    assert description.dialect.header is False
    assert [column.samples for column in description.columns] == [("E***",), ("N***",)]


def test_columns_that_share_a_name_are_not_offered() -> None:
    header = Dialect(header=True)

    twice = described("EMail,x,x,Name\na@example.com,1,2,Ana\n", dialect=header)
    alike = described("EMail,x,X,Name\na@example.com,1,2,Ana\n", dialect=header)

    assert [column.name for column in twice.columns] == ["EMail", "Name"]
    assert [column.name for column in alike.columns] == ["EMail", "x", "X", "Name"]


def test_a_segment_without_files_has_the_columns_of_its_metadata() -> None:
    description = describe(Container(), snapshot_of(Container(), columns=(Column(name="EMail"),)))

    assert [column.name for column in description.columns] == ["EMail"]


def test_a_file_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(SnapshotInvalid):
        described(b"EMail,Name\n\xff\n")


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("email", "email"),
        ("E-Mail", "email"),
        ("EMailAddress1", "email"),
        ("Primary_Email", "email"),
        ("First Name", "first_name"),
        ("GivenName", "first_name"),
        ("surname", "last_name"),
        ("Telephone1", "phone"),
        ("StateOrProvince", "state"),
        ("BirthDate", "birthday"),
    ],
)
def test_names_that_say_what_they_hold_are_proposed(column: str, field: str) -> None:
    assert proposed_mapping(["CustomerId", column]) == {field: column}


def test_of_several_columns_for_a_field_the_plainest_is_proposed() -> None:
    assert proposed_mapping(["EmailAddress1", "EMail", "email_id"]) == {"email": "EMail"}


def test_shown_is_json_without_anything_that_is_not_masked() -> None:
    shown = described("EMail,FirstName\nana@example.com,Ana\n").shown()

    assert shown == {
        "columns": [
            {"name": "EMail", "type": "string", "samples": ["a***@e***"]},
            {"name": "FirstName", "type": "string", "samples": ["A***"]},
        ],
        "format": {"header": True, "delimiter": ","},
        "mapping": {"email": "EMail", "first_name": "FirstName"},
    }
