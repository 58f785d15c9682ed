"""What a ``*.manifest.cdm.json`` says: https://learn.microsoft.com/common-data-model/cdm-manifest

The columns of each table are in a file of their own, which the caller reads. Partitions and
patterns are taken; sub-manifests are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.errors import SnapshotInvalid
from shared.segments.models import (
    CULTURE_TRAIT,
    Entity,
    Model,
    Partition,
    Pattern,
    items,
    location,
    objects,
    parse_columns,
    parse_culture,
    parse_dialect,
    parse_entities,
    parse_json,
    parse_time,
    parse_traits,
    text,
)
from shared.segments.snapshots import Column, Dialect

MANIFEST_SUFFIX = ".manifest.cdm.json"


def parse_manifest(content: bytes, file: str, read: Callable[[str], bytes]) -> Model:
    """Return what a manifest says.

    Args:
        read: Gives the content of a file named relative to the manifest's folder.

    Raises:
        SnapshotInvalid: It is not JSON, or has sub-manifests.
    """
    document = parse_json(content, file)
    if document.get("subManifests"):
        raise SnapshotInvalid("Sub-manifests are not read", file=file)
    return Model(
        file,
        parse_entities(
            document,
            "entities",
            "entityName",
            lambda entity, name: _entity(entity, name, file, read),
            file,
        ),
        parse_time(document.get("lastFileModifiedTime")),
    )


def _entity(
    entity: Mapping[str, Any], name: str, file: str, read: Callable[[str], bytes]
) -> Entity:
    path, _, definition = _local(text(entity.get("entityPath")) or "").partition(".cdm.json/")
    columns: tuple[Column, ...] = ()
    if path:
        path = f"{path}.cdm.json"
        document = parse_json(read(path), path)
        columns = parse_columns(
            [
                attribute
                for found in items(document.get("definitions"))
                if found.get("entityName") in (definition, name)
                for attribute in _attributes(found, path)
            ],
            path,
        )
    listed = objects(entity, "dataPartitions", file)
    patterns = objects(entity, "dataPartitionPatterns", file) or []
    cultures = [
        parse_culture(parse_traits(part.get("exhibitsTraits"), CULTURE_TRAIT))
        for part in (*(listed or ()), *patterns)
    ]
    located = ((partition, location(partition, file)) for partition in listed or ())
    return Entity(
        name,
        columns=columns,
        partitions=None
        if listed is None
        else tuple(
            Partition(_local(where), _dialect(partition, file))
            for partition, where in located
            if where
        ),
        patterns=tuple(_patterns(patterns, file)),
        culture=next((culture for culture in cultures if culture), None),
    )


def _patterns(patterns: list[dict[str, Any]], file: str) -> Iterator[Pattern]:
    for pattern in patterns:
        glob, expression = text(pattern.get("globPattern")), text(pattern.get("regularExpression"))
        if not glob and not expression:
            raise SnapshotInvalid("A partition pattern has no expression", file=file)
        root = _local(text(pattern.get("rootLocation")) or "")
        yield Pattern(root, glob or expression or "", bool(glob), _dialect(pattern, file))


def _dialect(part: Mapping[str, Any], file: str) -> Dialect:
    return parse_dialect((parse_traits(part.get("exhibitsTraits")),), file)


def _attributes(definition: Mapping[str, Any], file: str) -> Iterator[dict[str, Any]]:
    """Yield attributes, those within groups too."""
    waiting = (objects(definition, "hasAttributes", file) or [])[::-1]
    while waiting:
        attribute = waiting.pop()
        group = attribute.get("attributeGroupReference")
        if isinstance(group, dict):
            waiting += (objects(group, "members", file) or [])[::-1]
        else:
            yield attribute


def _local(path: str) -> str:
    """Return *path* without the name of the store that the manifest itself lies in."""
    return path.removeprefix("local:").removeprefix("/") if "://" not in path else path
