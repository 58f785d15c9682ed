"""Who is sent from which row, when the same address comes again.

One address is one person. The row that gives her values is the newest by a date column or
the first of the export; a later segment adds her to its lists by her address alone, unless
she is on all of them already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.contacts.duplicates import Hashes, SeenAddresses, first_of_each
from shared.contacts.texts import Mask

Seconds = npt.NDArray[np.int64]

# Older than every date: what has none.
NO_DATE = np.iinfo(np.int64).min + 1
_UNSEEN = np.iinfo(np.int64).min

_NOBODY, _EXCLUDED = 0, 1  # the first numbers of the sets of lists


@dataclass(frozen=True)
class Verdict:
    """What becomes of each row; exactly one of the four is true for a row."""

    in_full: Mask
    address_only: Mask
    duplicate: Mask
    excluded: Mask


class People:
    """The people of one export, by the hashes of their addresses."""

    def __init__(
        self, lists: Sequence[Sequence[str]], *, with_excluded: bool, by_date: bool
    ) -> None:
        """Begin with nobody.

        Args:
            lists: Those of each segment, in the order of the export.
            with_excluded: `exclude` will be called.
            by_date: `note_date` will be called for every row before the first decision.
        """
        self._lists = [frozenset(ids) for ids in lists]
        self._sets: list[frozenset[str]] = [frozenset(), frozenset()]
        self._by_date = by_date
        columns: dict[str, npt.DTypeLike] = {}
        if with_excluded or by_date or len(lists) > 1:
            columns["lists"] = np.uint16
        if by_date:
            columns |= {"newest": np.int64, "home": np.uint16, "sent": np.bool_}
        self._seen = SeenAddresses(columns)

    def exclude(self, hashes: Hashes) -> None:
        """Refuse these people from now on."""
        slots, _ = self._seen.add(hashes)
        self._seen.columns["lists"][slots] = _EXCLUDED

    def note_date(self, segment: int, hashes: Hashes, seconds: Seconds) -> None:
        """Look at rows for the newest of each person; of equally new ones the first counts."""
        slots, new = self._seen.add(hashes)
        newest = self._seen.columns["newest"]
        newest[slots[new]] = _UNSEEN
        before = newest[slots]
        np.maximum.at(newest, slots, seconds)
        self._seen.columns["home"][slots[newest[slots] > before]] = segment

    def decide(self, segment: int, hashes: Hashes, seconds: Seconds | None = None) -> Verdict:
        """Return what becomes of rows of a segment, in the order of the export."""
        slots, new = self._seen.add(hashes)
        columns = self._seen.columns
        if not columns:
            return _verdict(in_full=new)
        lists = columns["lists"]
        excluded = lists[slots] == _EXCLUDED
        if self._by_date and seconds is not None:
            home = columns["home"][slots]
            here = ~excluded & (home == segment)
            in_full = here & (seconds == columns["newest"][slots]) & ~columns["sent"][slots]
            in_full = _first(in_full, slots)
            columns["sent"][slots[in_full]] = True
            later = ~excluded & ~here
            fresh = later & (lists[slots] == _NOBODY)
            for other in np.unique(home[fresh]).tolist():
                lists[slots[fresh & (home == other)]] = self._number(self._lists[other])
        else:
            in_full = _first(lists[slots] == _NOBODY, slots)
            later = ~excluded & (lists[slots] != _NOBODY)
            lists[slots[in_full]] = self._number(self._lists[segment])
        address_only = self._not_yet_on(segment, slots, later)
        return _verdict(in_full, address_only, excluded)

    def _not_yet_on(self, segment: int, slots: npt.NDArray[np.int64], later: Mask) -> Mask:
        lists = self._seen.columns["lists"]
        numbers = lists[slots]
        wanted = self._lists[segment]
        lacking = np.zeros(slots.size, np.bool_)
        for number in np.unique(numbers[later]).tolist():
            if not wanted <= self._sets[number]:
                rows = _first(later & (numbers == number), slots)
                lists[slots[rows]] = self._number(self._sets[number] | wanted)
                lacking |= rows
        return lacking

    def _number(self, lists: frozenset[str]) -> int:
        try:
            return self._sets.index(lists, _EXCLUDED + 1)
        except ValueError:
            self._sets.append(lists)
            return len(self._sets) - 1


def _first(rows: Mask, slots: npt.NDArray[np.int64]) -> Mask:
    """Keep of *rows* only the first for each slot."""
    chosen = np.flatnonzero(rows)
    first = np.zeros(rows.size, np.bool_)
    first[chosen[first_of_each(slots[chosen])]] = True
    return first


def _verdict(
    in_full: Mask, address_only: Mask | None = None, excluded: Mask | None = None
) -> Verdict:
    none = np.zeros(in_full.size, np.bool_)
    address_only = none if address_only is None else address_only
    excluded = none if excluded is None else excluded
    return Verdict(in_full, address_only, ~(in_full | address_only | excluded), excluded)
