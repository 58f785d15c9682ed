"""The bytes of a file: ranged reads, gzip, UTF-16, and a check of every byte on the way.

Each step takes an iterator of pieces and gives one, so no more than a few ranges are
held at a time, whatever the size of the file.
"""

from __future__ import annotations

import codecs
import io
import re
import zlib
from collections.abc import Iterator
from itertools import chain
from threading import Event, Lock

import numpy as np
import pyarrow as pa

from shared.errors import SnapshotChanged, SnapshotInvalid
from shared.segments.source import RangeReader, SourceFile

RANGE_BYTES = 4 * 2**20
BLOCK_BYTES = 2**20

# Deflate cannot reach 1,100:1 and real exports reach 20:1. What expands further than this
# is not a segment, and reading it would take hours.
MAX_EXPANSION = 200
MAX_EXPANSION_FREE_BYTES = 64 * 2**20

# Bytes of a gzip member fed at first, twice as many each time after, and at most.
_FIRST_WINDOW, _LARGEST_WINDOW = 2**10, 2**18

BOM = codecs.BOM_UTF8
GZIP_MAGIC = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"

_BARE_CARRIAGE_RETURN = re.compile(rb"\r(?!\n)")

Pieces = Iterator[bytes]


def ranges(source: RangeReader, file: SourceFile) -> Pieces:
    """Yield the file in ranges."""
    for start in range(0, file.size, RANGE_BYTES):
        length = min(RANGE_BYTES, file.size - start)
        data = source.read(file, start, length)
        if len(data) != length:
            raise SnapshotChanged(f"{file.name} is no longer as long as it was.")
        yield data


def text(source: RangeReader, file: SourceFile) -> Pieces:
    """Yield the file's text as checked UTF-8 without a byte order mark; gzip by its magic bytes."""
    pieces = ranges(source, file)
    start, pieces = _peek(pieces)
    if not start and file.name.lower().endswith(".gz"):
        raise _cut_off(file, 0)
    if start.startswith(GZIP_MAGIC):
        start, pieces = _peek(gunzipped(pieces, file))
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        pieces = _from_utf16(pieces, file)
    return _checked(pieces, file)


def gunzipped(pieces: Pieces, file: SourceFile) -> Pieces:
    """Yield what gzip members hold, in pieces of a block and a half at most.

    Raises:
        SnapshotInvalid: A member is cut off or damaged, or the file expands absurdly.
    """
    member = zlib.decompressobj(wbits=31)
    expanded = 0
    ready: list[bytes] = []
    size = 0
    window = _FIRST_WINDOW
    for piece in pieces:
        data = memoryview(piece)
        at, more = 0, False
        while at < len(data) or more:
            if member.eof:
                if at == len(data) or not (data[at] or data[at:].tobytes().strip(b"\0")):
                    break  # nothing but padding, which some writers add
                # What is left of a window is copied, and an attack has members of few bytes.
                member, window = zlib.decompressobj(wbits=31), _FIRST_WINDOW
            fed = data[at : at + window]
            window = min(2 * window, _LARGEST_WINDOW)
            try:
                out = member.decompress(fed, BLOCK_BYTES)
            except zlib.error as error:
                raise SnapshotInvalid(
                    "The gzip file is damaged",
                    file=file.name,
                    position=f"byte {expanded} of the text",
                ) from error
            rest = member.unused_data if member.eof else member.unconsumed_tail
            at += len(fed) - len(rest)
            more = len(out) == BLOCK_BYTES
            expanded += len(out)
            if expanded > max(MAX_EXPANSION_FREE_BYTES, MAX_EXPANSION * file.size):
                raise SnapshotInvalid(
                    f"The gzip file expands to more than {MAX_EXPANSION} times its size",
                    file=file.name,
                    position=f"byte {expanded} of the text",
                )
            ready.append(out)
            size += len(out)
            if size >= BLOCK_BYTES // 2:
                yield b"".join(ready)
                ready, size = [], 0
    if size:
        yield b"".join(ready)
    if not member.eof:
        raise _cut_off(file, expanded)


def _cut_off(file: SourceFile, expanded: int) -> SnapshotInvalid:
    return SnapshotInvalid(
        "The gzip file ends before its end: it was cut off, or is still being written",
        file=file.name,
        position=f"byte {expanded} of the text",
    )


def _from_utf16(pieces: Pieces, file: SourceFile) -> Pieces:
    decoder = codecs.getincrementaldecoder("utf-16")()
    read = 0
    try:
        for piece in pieces:
            read += len(piece)
            yield decoder.decode(piece).encode()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise SnapshotInvalid(
            "The file is not UTF-16 throughout, as its byte order mark says",
            file=file.name,
            position=f"byte {read - len(error.object) + error.start}",
        ) from error


def _checked(pieces: Pieces, file: SourceFile) -> Pieces:
    """Yield pieces that end between characters, bare carriage returns turned into spaces."""
    offset = 0  # of the piece in the text
    held = b""
    first = True
    for piece in pieces:
        data = held + piece if held else piece
        if first and len(data) < len(BOM) and BOM.startswith(data):
            held = data
            continue
        if first and data.startswith(BOM):
            data = data[len(BOM) :]
            offset = len(BOM)
        first = False
        whole = _whole_characters(data)
        held = data[whole:]
        data = data[:whole]
        _check_utf8(data, offset, file)
        offset += whole
        if b"\r" in data:
            # Arrow ends a row at a lone carriage return; to us it is data, and a line break
            # inside a value is sent as a space anyway.
            if data.endswith(b"\r"):
                data, held, offset = data[:-1], b"\r" + held, offset - 1
            if data.count(b"\r") != data.count(b"\r\n"):
                data = _BARE_CARRIAGE_RETURN.sub(b" ", data)
        if data:
            yield data
    if held == b"\r":
        yield b"\n"
    elif held:
        _check_utf8(held, offset, file)
        yield held


def closed_at_line_breaks(pieces: Pieces, delimiter: str, file: SourceFile) -> Pieces:
    """Yield pieces in which every line break ends a record, as ``QuoteStyle.None`` means it.

    A quote that is open at the end of its line is closed there; nothing else is touched.
    """
    left_open = _left_open(delimiter)
    rest = b""
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        data = rest + piece[:end] if end else b""
        rest = piece[end:] if end else rest + piece
        if len(rest) > BLOCK_BYTES:
            raise SnapshotInvalid(f"A line is longer than {BLOCK_BYTES} bytes", file=file.name)
        yield left_open.sub(rb'\g<0>"', data) if b'"' in data else data
    yield left_open.sub(rb'\g<0>"', rest)


def _left_open(delimiter: str) -> re.Pattern[bytes]:
    """Return an expression for a line, less its line break, that ends inside an open quote.

    Whole cells come first: quoted ones with whatever follows the closing quote, and others, in
    which a quote is an ordinary character. Nothing is tried twice, so time is linear.
    """
    mark = re.escape(delimiter.encode())
    inside = rb'(?:[^"\r\n]|"")*+'
    cell = rb'(?:"%b"[^%b\r\n]*+|[^"%b\r\n][^%b\r\n]*+)?+' % (inside, mark, mark, mark)
    return re.compile(rb'^(?:%b%b)*+"%b(?=\r?$)' % (cell, mark, inside), re.MULTILINE)


def _whole_characters(data: bytes) -> int:
    """Return how many bytes of *data* are not an unfinished character at its end."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if needed > back else len(data)
    return len(data)


def _check_utf8(data: bytes, offset: int, file: SourceFile) -> None:
    if data.isascii():
        return
    # Arrow checks several times faster than Python decodes; Python knows the place.
    bounds = np.array([0, len(data)], np.int32)
    value = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(bounds), pa.py_buffer(data)])
    try:
        value.validate(full=True)
    except pa.ArrowInvalid:
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise SnapshotInvalid(
                "The file is not UTF-8 (nor UTF-16 with a byte order mark)",
                file=file.name,
                position=f"byte {offset + error.start}",
                action="Have the file written as UTF-8.",
            ) from None


def _peek(pieces: Pieces) -> tuple[bytes, Pieces]:
    """Return the first bytes, at least four if there are as many, and all pieces."""
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= 4:
            break
    return start, chain((start,) if start else (), pieces)


class PieceReader(io.RawIOBase):
    """Lets Arrow read pieces as a file, in blocks that are not copied.

    Arrow reads ahead in a thread of its own, so pieces are fetched, unpacked and checked while
    the caller works on earlier ones. It needs a record to end in the block after the one it
    begins in, so small pieces are joined with the next. Whoever opens it gives *LARGEST* as
    the size of a block, and calls `leave` in the end.
    """

    SMALLEST = BLOCK_BYTES // 2
    LARGEST = BLOCK_BYTES * 2

    def __init__(self, pieces: Pieces) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._reading = Lock()
        self._over = False
        self._end_told = Event()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> memoryview:
        """Return the next block, whatever the *size*; nothing at the end."""
        with self._reading:
            if not self._rest and not self._over:
                self._rest = memoryview(self._next())
            end = len(self._rest) if len(self._rest) <= self.LARGEST else BLOCK_BYTES
            block, self._rest = self._rest[:end], self._rest[end:]
            if not block:
                self._end_told.set()
            return block

    def leave(self) -> None:
        """Let a read under way end, and give nothing more.

        Arrow's thread reads once more and is done. It is waited for, as it would bring the
        process down if it came back while Python is shutting down; not for long, as it may
        be holding enough blocks and not come back at all.
        """
        with self._reading:
            self._over = True
            self._rest = memoryview(b"")
        self._end_told.wait(timeout=0.1)

    def _next(self) -> bytes:
        data = b""
        for piece in self._pieces:
            data = data + piece if data else piece
            if len(data) >= self.SMALLEST:
                break
        return data
