"""What a ``*.manifest.cdm.json`` says: https://learn.microsoft.com/common-data-model/cdm-manifest

The columns of each table are in a file of their own, which the caller reads. Partitions and
patterns are taken; sub-manifests are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.errors import SnapshotInvalid
from shared.segments.models import (
    Entity,
    Model,
    Partition,
    Pattern,
    items,
    parse_columns,
    parse_dialect,
    parse_json,
    parse_time,
    parse_traits,
)
from shared.segments.snapshots import Column

MANIFEST_SUFFIX = ".manifest.cdm.json"


def parse_manifest(content: bytes, file: str, read: Callable[[str], bytes]) -> Model:
    """Return what a manifest says.

    Args:
        read: Gives the content of a file named relative to the manifest's folder.

    Raises:
        SnapshotInvalid: It is not JSON, or has sub-manifests.
    """
    document = parse_json(content, file)
    if items(document.get("subManifests")):
        raise SnapshotInvalid("Sub-manifests are not read", file=file)
    return Model(
        file,
        tuple(
            _entity(entity, file, read)
            for entity in items(document.get("entities"))
            if isinstance(entity.get("entityName"), str)
        ),
        parse_time(document.get("lastFileModifiedTime")),
    )


def _entity(entity: Mapping[str, Any], file: str, read: Callable[[str], bytes]) -> Entity:
    path, _, definition = _local(str(entity.get("entityPath", ""))).partition(".cdm.json/")
    columns: tuple[Column, ...] = ()
    if path:
        document = parse_json(read(f"{path}.cdm.json"), f"{path}.cdm.json")
        columns = parse_columns(
            attribute
            for found in items(document.get("definitions"))
            if found.get("entityName") in (definition, entity["entityName"])
            for attribute in _attributes(found.get("hasAttributes"))
        )
    listed = entity.get("dataPartitions")
    partitions = tuple(
        Partition(_local(partition["location"]), _dialect(partition, file))
        for partition in items(listed)
        if isinstance(partition.get("location"), str)
    )
    return Entity(
        name=entity["entityName"],
        columns=columns,
        partitions=partitions if isinstance(listed, list) else None,
        patterns=tuple(_patterns(items(entity.get("dataPartitionPatterns")), file)),
    )


def _patterns(patterns: list[dict[str, Any]], file: str) -> Iterator[Pattern]:
    for pattern in patterns:
        glob, expression = pattern.get("globPattern"), pattern.get("regularExpression")
        chosen = glob if isinstance(glob, str) else expression
        if isinstance(chosen, str):
            root = _local(str(pattern.get("rootLocation", "")))
            yield Pattern(root, chosen, chosen is glob, _dialect(pattern, file))


def _dialect(part: Mapping[str, Any], file: str) -> Any:
    return parse_dialect((parse_traits(part.get("exhibitsTraits")),), file)


def _attributes(attributes: object) -> Iterator[dict[str, Any]]:
    """Yield attributes, those within groups too."""
    for attribute in items(attributes):
        group = attribute.get("attributeGroupReference")
        if isinstance(group, dict):
            yield from _attributes(group.get("members"))
        else:
            yield attribute


def _local(path: str) -> str:
    """Return *path* without the name of the store that the manifest itself lies in."""
    return path.removeprefix("local:").removeprefix("/") if "://" not in path else path
