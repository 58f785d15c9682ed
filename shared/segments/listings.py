"""What a listing shows of segments, kept small: of dated folders and flat files the newest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from shared.segments.manifests import MANIFEST_SUFFIX
from shared.segments.models import MODEL_NAME
from shared.segments.source import SourceFile

DATA = re.compile(r"\.(csv|tsv|txt|parquet)(\.gz)?$|\.gz$", re.IGNORECASE)
DATED = re.compile(
    r"^(?P<root>(?:.*/)?)(?P<table>[^/]+)/(?P<stamp>\d{4}/\d{2}/\d{2}/\d{4})/(?P<file>[^/]+)$"
)
_STAMPED = re.compile(r"^(?P<name>.+)_(?P<stamp>\d{10})\.csv$", re.IGNORECASE)

_NUMBERED = re.compile(r"(\d{1,9})\.\w+(?:\.gz)?$")
_MOST_NUMBERS = 10_000

_OTHER_FORMATS = {
    "Changelog/changelog.info": "Synapse Link folders are not read; export the segment as CSV.",
    "_delta_log/": "Delta tables are not read; export the segment as CSV or Parquet.",
}


@dataclass
class Copies:
    """The newest copy of a table or flat file seen so far; a listing comes in order of names."""

    stamp: str
    files: list[SourceFile]

    def add(self, stamp: str, file: SourceFile) -> None:
        if stamp > self.stamp:
            self.stamp, self.files = stamp, []
        if stamp == self.stamp:
            self.files.append(file)


@dataclass
class Finds:
    """The files of a listing by what they seem to be; *base* is the folder of the prefix."""

    base: str
    models: dict[str, SourceFile] = field(default_factory=dict)  # by folder
    dated: dict[tuple[str, str], Copies] = field(default_factory=dict)  # by root and table
    stamped: dict[str, Copies] = field(default_factory=dict)  # by folder and name
    plain: dict[str, list[SourceFile]] = field(
        default_factory=dict
    )  # by folder, or file at the top
    refused: dict[str, str] = field(default_factory=dict)  # folder to reason

    def add(self, file: SourceFile) -> None:
        folder, _, name = file.name.rpartition("/")
        folder = f"{folder}/" if folder else ""
        for mark, reason in _OTHER_FORMATS.items():
            if mark in file.name[len(self.base) :]:
                self.refused[file.name[: file.name.index(mark)]] = reason
        if name == MODEL_NAME or name.endswith(MANIFEST_SUFFIX):
            known = self.models.get(folder)
            if known is None or _is_preferred(name, known.name):
                self.models[folder] = file
        elif not DATA.search(name):
            return
        elif dated := DATED.match(file.name):
            key = (dated["root"], dated["table"])
            self.dated.setdefault(key, Copies("", [])).add(dated["stamp"], file)
        elif stamped := _STAMPED.match(name):
            key_name = folder + stamped["name"]
            self.stamped.setdefault(key_name, Copies("", [])).add(stamped["stamp"], file)
        else:
            at_top = folder == self.base
            self.plain.setdefault(file.name if at_top else folder, []).append(file)

    def take_dated_below(self, folder: str, table: str) -> tuple[str, str, Copies] | None:
        """Take out the dated copies of a table one level below *folder*, if just one has any."""
        keys = [
            (root, name)
            for root, name in self.dated
            if name.casefold() == table.casefold()
            and root not in self.models
            and root.removeprefix(folder).count("/") == 1
            and root.startswith(folder)
        ]
        return (*keys[0], self.dated.pop(keys[0])) if len(keys) == 1 else None

    def within_refused(self, path: str) -> bool:
        return any(path.startswith(folder) for folder in self.refused)

    def within_model(self, path: str) -> bool:
        return any(path.startswith(folder) for folder in self.models)


def is_part_of(folder: str, name: str) -> bool:
    """Tell whether a file of this name, directly in *folder*, would be one of its partitions."""
    base = name.removeprefix(folder)
    apart = _STAMPED.match(base) and not DATED.match(name)  # a segment of its own
    return "/" not in base and bool(DATA.search(base)) and not apart


def written(files: Iterable[SourceFile]) -> datetime:
    return max(file.modified for file in files)


def in_order(files: Iterable[SourceFile]) -> tuple[SourceFile, ...]:
    """Return files with numbers in their names in the order of the numbers."""

    def natural(file: SourceFile) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", file.name)
        return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]

    return tuple(sorted(files, key=lambda file: (natural(file), file.name)))


def missing_numbers(files: Iterable[SourceFile]) -> list[int]:
    """Return the numbers missing between the first and the last at the ends of the files' names."""
    found = [_NUMBERED.search(file.name) for file in files]
    numbers = {int(match[1]) for match in found if match}
    if not numbers or len(numbers) < len(found) or max(numbers) - min(numbers) > _MOST_NUMBERS:
        return []
    return sorted({*range(min(numbers), max(numbers))} - numbers)


def _is_preferred(name: str, known: str) -> bool:
    """Tell which of two metadata files of a folder counts: the model, the default manifest."""
    ranks = {MODEL_NAME: 0, f"default{MANIFEST_SUFFIX}": 1}
    return ranks.get(name, 2) < ranks.get(known.rpartition("/")[2], 2)
