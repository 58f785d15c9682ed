"""Page headers of Parquet, read as their bytes go by, for how far each page unpacks.

What a page takes in memory is said in its own header alone: a footer can claim less.
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Statistics in a header may repeat two values.
LONGEST_HEADER_BYTES = 4 * 2**20
_USUAL_HEADER_BYTES = 2**9

# Thrift's compact protocol: the kinds of its fields.
_NOTHING = (1, 2)  # booleans, told by the kind alone
_BYTE, _DOUBLE, _BINARY, _STRUCT = 3, 7, 8, 12
_NUMBERS = (4, 5, 6)

# Paths of the fields that count here, by their ids.
_KIND, _UNPACKED, _PACKED = (1,), (2,), (3,)
_ENCODINGS = ((5, 2), (8, 4))
_DICTIONARY_PAGE = 2
_DELTA_BYTE_ARRAY = 7
_DEEPEST = 4


class Unpacking(ValueError):
    """A column chunk unpacks to more bytes than it may, or its pages cannot be followed."""


@dataclass
class Chunk:
    """A column chunk: its place in the file, and how far its pages were followed.

    Attributes:
        at: Where its next page begins.
        end: Where it ends.
        unpacked: Bytes of the pages so far.
    """

    at: int
    end: int
    unpacked: int = 0
    _begun: bytes = b""

    def follow(self, start: int, data: bytes, most: int) -> None:
        """Look at *data*, which stands at *start* in the file.

        Raises:
            Unpacking: The pages unpack to more than *most* bytes, or one was passed over.
        """
        while start < self.end and self.at < min(self.end, start + len(data)):
            place = self.at + len(self._begun) - start
            if place < 0:
                raise Unpacking("a page was passed over")
            found = None
            for window in (_USUAL_HEADER_BYTES, LONGEST_HEADER_BYTES):
                found = found or parse_page(self._begun + data[place : place + window])
            if found is None:
                self._begun += data[place : self.end - start]
                if len(self._begun) > LONGEST_HEADER_BYTES:
                    raise Unpacking("a page header is too long")
                return
            if found.is_dictionary and self.unpacked:
                raise Unpacking("a dictionary comes after the first page")
            self.unpacked += max(found.unpacked, 1)
            if self.unpacked > most:
                raise Unpacking(f"a column unpacks to more than {most} bytes")
            self.at += found.length + found.packed
            self._begun = b""


class PageGuard:
    """Follows the pages of *chunks* while a file is read from front to back of each."""

    def __init__(self, chunks: Iterable[Chunk], most: int) -> None:
        self._chunks = sorted(chunks, key=lambda chunk: chunk.at)
        self._most = most

    def look(self, start: int, data: bytes) -> None:
        """Look at what was read at *start*, before it is made use of."""
        for chunk in self._chunks:
            chunk.follow(start, data, self._most)
        self._chunks = [chunk for chunk in self._chunks if chunk.at < chunk.end]


@dataclass(frozen=True)
class Page:
    """What a page header says; *length* is its own, *packed* and *unpacked* those of the page."""

    length: int
    unpacked: int
    packed: int
    is_dictionary: bool


def parse_page(data: bytes) -> Page | None:
    """Return the page whose header *data* begins with, None if it does not end within *data*.

    Raises:
        Unpacking: It is no page header, or one of a page that can unpack to any size.
    """
    header = _Header(data)
    try:
        header.struct(())
    except IndexError:
        return None
    unpacked, packed = header.numbers.get(_UNPACKED, -1), header.numbers.get(_PACKED, -1)
    if unpacked < 0 or packed < 0:
        raise Unpacking("a page has no size")
    if any(header.numbers.get(path) == _DELTA_BYTE_ARRAY for path in _ENCODINGS):
        # Each value begins as the one before it, however long that is.
        raise Unpacking("a column is encoded as DELTA_BYTE_ARRAY")
    return Page(header.at, unpacked, packed, header.numbers.get(_KIND) == _DICTIONARY_PAGE)


class _Header:
    """A structure of Thrift's compact protocol: its numbers by the ids that lead to them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        self.numbers: dict[tuple[int, ...], int] = {}

    def struct(self, path: tuple[int, ...]) -> None:
        if len(path) > _DEEPEST:
            raise Unpacking("a page header is malformed")
        field = 0
        while kind := self._byte():
            field = field + (kind >> 4) if kind >> 4 else _signed(self._varint())
            self._value(kind & 15, (*path, field))

    def _value(self, kind: int, path: tuple[int, ...]) -> None:
        if kind in _NUMBERS:
            self.numbers[path] = _signed(self._varint())
        elif kind == _BINARY:
            self._skip(self._varint())
        elif kind == _STRUCT:
            self.struct(path)
        elif kind in (_BYTE, _DOUBLE):
            self._skip(1 if kind == _BYTE else 8)
        elif kind not in _NOTHING:  # a page header has no lists
            raise Unpacking("a page header is malformed")

    def _byte(self) -> int:
        self._skip(1)
        return self._data[self.at - 1]

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
            if shift > 63:
                raise Unpacking("a page header is malformed")


def _signed(number: int) -> int:
    """Undo the zigzag that Thrift writes numbers in."""
    return number >> 1 ^ -(number & 1)
