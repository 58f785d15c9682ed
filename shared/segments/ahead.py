"""Reading ahead from one file to the next.

Within a file Arrow reads ahead; where one file ends, the next would be waited for. So its
first range is fetched while the present file is worked on.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from types import TracebackType
from typing import Self

from shared.segments.parquet import is_named_parquet
from shared.segments.source import RangeReader, SourceFile
from shared.segments.streams import RANGE_BYTES


class ReadAhead:
    """Reads files of a source that will be read in this order, each from its start."""

    def __init__(self, source: RangeReader, files: Sequence[SourceFile]) -> None:
        self._source = source
        self._next = dict(pairwise(file for file in files if file.size))
        self._fetched: dict[SourceFile, Future[bytes]] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def read(self, file: SourceFile, start: int, length: int) -> bytes:
        """Return a range of a file, as `RangeReader.read` does."""
        if start or length != min(RANGE_BYTES, file.size):
            return self._source.read(file, start, length)
        fetched = self._fetched.pop(file, None)
        following = self._next.get(file)
        if following is not None and not is_named_parquet(following):
            size = min(RANGE_BYTES, following.size)
            self._fetched[following] = self._thread.submit(self._source.read, following, 0, size)
        return fetched.result() if fetched else self._source.read(file, start, length)
