"""Whatever metadata says, trouble with a table is that table's alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import SegmentError, SegmentIncomplete
from shared.segments.discovery import find_segments, named
from tests.unit.containers import URL, Container

ROWS = "CustomerId,EMail\n1,ana@example.com\n"
TRAITS = [
    {
        "traitReference": "is.partition.format.CSV",
        "arguments": [
            {"name": "columnHeaders", "value": "true"},
            {"name": "delimiter", "value": ","},
            {"name": "quoteStyle", "value": "QuoteStyle.Csv"},
            {"name": "encoding", "value": "UTF-8"},
        ],
    },
    {
        "traitReference": "is.partition.culture",
        "arguments": [{"name": "culture", "value": "en-US"}],
    },
]
MODEL = {
    "name": "BlobExport",
    "version": "1.0",
    "culture": "en-US",
    "modifiedTime": "2026-03-02T05:33:00+00:00",
    "annotations": [{"name": "ci:CustomDateFormat", "value": "dd.MM.yyyy"}],
    "entities": [
        {
            "$type": "LocalEntity",
            "name": "Odd",
            "annotations": [{"name": "ci:CustomDateFormat", "value": "dd.MM.yyyy"}],
            "attributes": [
                {"name": "CustomerId", "dataType": "string"},
                {"name": "EMail", "dataType": "string"},
            ],
            "partitions": [
                {
                    "name": "1",
                    "refreshTime": "2026-03-02T05:33:00+00:00",
                    "location": f"{URL}/m/odd.csv",
                    "fileFormatSettings": {
                        "$type": "CsvFormatSettings",
                        "columnHeaders": True,
                        "delimiter": ",",
                        "encoding": "UTF-8",
                        "quoteStyle": "QuoteStyle.Csv",
                        "csvStyle": "CsvStyle.QuoteAlways",
                    },
                    "cdm:traits": TRAITS,
                }
            ],
        },
        {
            "$type": "LocalEntity",
            "name": "Even",
            "attributes": [{"name": "CustomerId"}, {"name": "EMail"}],
            "partitions": [{"name": "1", "location": f"{URL}/m/even.csv"}],
        },
    ],
}
MANIFEST = {
    "manifestName": "default",
    "lastFileModifiedTime": "2026-03-02T05:33:00+00:00",
    "entities": [
        {
            "type": "LocalEntity",
            "entityName": "Odd",
            "entityPath": "Odd.cdm.json/Odd",
            "dataPartitions": [{"location": "odd.csv", "exhibitsTraits": TRAITS}],
            "dataPartitionPatterns": [
                {"rootLocation": "parts", "globPattern": "*.csv", "exhibitsTraits": TRAITS},
                {"rootLocation": "parts", "regularExpression": ".+[.]csv"},
            ],
        },
        {"entityName": "Even", "dataPartitions": [{"location": "even.csv"}]},
    ],
}
DEFINITION = {
    "definitions": [
        {
            "entityName": "Odd",
            "hasAttributes": [
                {"name": "CustomerId", "dataType": "string"},
                {"attributeGroupReference": {"members": [{"name": "EMail"}]}},
            ],
        }
    ]
}
DOCUMENTS: dict[str, Any] = {
    "model.json": MODEL,
    "default.manifest.cdm.json": MANIFEST,
    "Odd.cdm.json": DEFINITION,
}
Place = tuple[str | int, ...]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Yield where in a document anything stands."""
    inner = value.items() if isinstance(value, dict) else ()
    for key, member in enumerate(value) if isinstance(value, list) else inner:
        yield (*at, key)
        yield from places(member, (*at, key))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["\ud800", "..", "../x", "9999-12-31T23:59:59-23:59", "Odd", "?snapshot="]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
odd_places = st.sampled_from(
    [(name, *place) for name, document in DOCUMENTS.items() for place in places(document)]
)
PARTITION: Place = ("model.json", "entities", 0, "partitions", 0)


@given(odd_places, anything)
@example((*PARTITION, "fileFormatSettings"), "CSV")
@example((*PARTITION, "location"), f"{URL}/m/odd.csv?snapshot=x%0d%0a")
@example((*PARTITION, "location"), f"{URL}/m/\ud800.csv")
@example((*PARTITION, "cdm:traits", 0, "arguments", 1, "value"), 5)
@example(("model.json", "entities", 0, "annotations", 0, "name"), ["x"])
@example(("model.json", "entities", 0, "attributes", 0, "name"), "\ud800")
@example(("model.json", "entities", 0, "name"), "even")
def test_an_odd_member_is_trouble_of_its_own_table_at_most(place: Place, value: Any) -> None:
    file, *path, last = place
    documents = copy.deepcopy(DOCUMENTS)
    member: Any = documents[str(file)]
    for key in path:
        member = member[key]
    member[last] = value
    metadata = "model.json" if file == "model.json" else "default.manifest.cdm.json"
    container = Container({"m/odd.csv": ROWS, "m/even.csv": ROWS, "Leads.csv": ROWS})
    for name in {metadata, "Odd.cdm.json"}:
        container.write(f"m/{name}", json.dumps(documents[name]))
    container.write("m/parts/1.csv", ROWS)
    container.wait(hours=1)

    segments = find_segments(container, "", timedelta(minutes=10))

    for segment in segments:
        assert segment.snapshot or isinstance(segment.trouble, SegmentError | SegmentIncomplete)
        assert json.dumps(segment.name, ensure_ascii=False).encode()
    leads, even = named(segments, "Leads"), named(segments, "Even")
    assert leads is not None
    assert leads.snapshot is not None
    if path[:2] == ["entities", 0] and value != "even":
        assert even is not None
        assert even.snapshot is not None
