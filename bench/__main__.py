"""Prepare a million profiles in several formats and print what it costs.

Figures are ratios within one run, the best of three, so that another machine gives similar
ones. Ends with 1 if pipelines disagree about the contacts or a figure is over its limit.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from azure.storage.blob import ContainerClient

from bench import profiles, sending
from bench.pipelines import Contacts, Folder, loop, product, scan, snapshot_of
from bench.remembering import measured
from local.azurite import Azurite
from shared.segments.source import SegmentSource
from shared.segments.streams import RANGE_BYTES, ranges
from shared.storage.segments import SegmentContainer

TRIES = 3
MB = 2**20

PEAK_LIMIT_MB = 320
PEAK_LIMIT_FULL_MB = 512
GROWTH_LIMIT_BYTES = 25
LOOP_LIMIT = 5.0

# A line on which the download takes longer than the work: that is all a run may wait for.
SLOW_BYTES_A_SECOND = 40 * 10**6
BOUND_LIMIT = 1.3
MEMORY_LIMIT = 1.2
PEAK_LIMIT_MEMORY_MB = 400
SENDING_LIMIT = 1.1
RUN_LIMIT = 1.6


@dataclass(frozen=True)
class Case:
    """A form of the segment, and how many times a bare scan preparing it may cost."""

    name: str
    columns: int
    kind: str
    limit: float | None


CASES = (
    Case("CSV, 12 columns", 12, "csv", 5.0),
    Case("CSV, 120 columns", 120, "csv", 2.2),
    Case("CSV, 12 columns, gzip", 12, "csv.gz", None),
    Case("Parquet, 12 columns", 12, "parquet", 6.5),
)


class Report:
    """Prints figures beside their limits and remembers those that are over."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def line(self, name: str, figure: str, limit: str = "", *, good: bool = True) -> None:
        """Print one figure."""
        verdict = "" if not limit else "ok" if good else "OVER"
        say(f"| {name:<44} | {figure:>24} | {limit:>14} | {verdict:<4} |")
        if not good:
            self.failed.append(name)

    def heading(self, title: str) -> None:
        """Begin a table."""
        say(f"\n| {title:<44} | {'measured':>24} | {'limit':>14} |      |")
        say(f"|{'-' * 46}|{'-' * 26}|{'-' * 16}|------|")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="profiles (default 1000000)")
    parser.add_argument("--full", action="store_true", help="also ten times as many, for memory")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        say(str(_peak_of(options.peak)))
        return 0
    say(f"{options.rows:,} profiles; {machine()}")
    report = Report()
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        for number, case in enumerate(CASES):
            profiles.write(folder / str(number), options.rows, columns=case.columns, kind=case.kind)
        speed(report, folder)
        memory(report, folder, options.rows, full=options.full)
        remembered(report, folder / "0")
        storage(report, folder / "0")
    sent(report, options.rows)
    if report.failed:
        say(f"\nOver the limit: {', '.join(report.failed)}.")
    return 1 if report.failed else 0


def speed(report: Report, folder: Path) -> None:
    """Compare CPU seconds of the product with a bare scan, and once with the usual loop."""
    report.heading("CPU seconds: prepare / bare scan = times")
    digests = set()
    first = 0.0
    for number, case in enumerate(CASES):
        part = folder / str(number)
        scanned, prepared = _best(partial(scan, part), partial(_prepare, part))
        first = first or prepared
        times = prepared / scanned
        figure = f"{prepared:.2f} / {scanned:.2f} = {times:.1f}"
        limit = f"≤ {case.limit}" if case.limit else ""
        report.line(case.name, figure, limit, good=case.limit is None or times <= case.limit)
        digests.add(_digest(part))
    report.heading("CPU seconds: csv and json, row by row / prepare")
    sink = Contacts(digesting=True)
    usual = _cpu(partial(loop, folder / "0", Contacts()))
    loop(folder / "0", sink)
    digests.add(sink.digest)
    times = usual / first
    figure = f"{usual:.2f} / {first:.2f} = {times:.1f}"
    report.line(CASES[0].name, figure, f"≥ {LOOP_LIMIT}", good=times >= LOOP_LIMIT)
    same = len(digests) == 1
    report.line("contacts are the same everywhere", "yes" if same else "no", "yes", good=same)


def memory(report: Report, folder: Path, rows: int, *, full: bool) -> None:
    """Measure peak memory of fresh processes."""
    report.heading("peak memory of a fresh process, MB")
    peaks = []
    for number, case in enumerate(CASES):
        peaks.append(_peak_in_child(folder / str(number)))
        good = peaks[-1] / MB <= PEAK_LIMIT_MB
        report.line(case.name, f"{peaks[-1] / MB:.0f}", f"≤ {PEAK_LIMIT_MB}", good=good)
    if full:
        profiles.write(folder / "full", rows * 10)
        peak = _peak_in_child(folder / "full")
        limit = f"≤ {PEAK_LIMIT_FULL_MB}"
        good = peak / MB <= PEAK_LIMIT_FULL_MB
        report.line(
            f"{CASES[0].name}, {rows * 10:,} profiles", f"{peak / MB:.0f}", limit, good=good
        )
        grown = (peak - peaks[0]) / (rows * 9)
        limit = f"≤ {GROWTH_LIMIT_BYTES}"
        good = grown <= GROWTH_LIMIT_BYTES
        report.line("bytes for each further contact", f"{grown:.1f}", limit, good=good)


def remembered(report: Report, part: Path) -> None:
    """Prepare with an empty memory, with one in which 1 % of the lines differ, and as a mirror."""
    report.heading("with the memory of what was accepted, 12 columns")
    full, changes = measured("full", part), measured("changes", part)
    times = changes["seconds"] / full["seconds"]
    report.line(
        "CPU seconds: 1 % changed / everybody",
        f"{changes['seconds']:.2f} / {full['seconds']:.2f} = {times:.2f}",
        f"≤ {MEMORY_LIMIT}",
        good=times <= MEMORY_LIMIT,
    )
    one = changes["files"] == 1 < full["files"]
    report.line("import files", f"{changes['files']} / {full['files']}", "1 / all", good=one)
    report.line("bytes a contact in the memory's file", f"{full['bytes'] / full['rows']:.1f}")
    peak = max(full["peak"], changes["peak"], measured("mirror", part)["peak"]) / MB
    limit = f"≤ {PEAK_LIMIT_MEMORY_MB}"
    report.line("peak memory, MB", f"{peak:.0f}", limit, good=peak <= PEAK_LIMIT_MEMORY_MB)


def storage(report: Report, part: Path) -> None:
    """Compare a preparation from Azurite, and from a slow line, with nothing but the download."""
    report.heading("wall seconds, 12 columns")
    with Azurite() as azurite:
        container = ContainerClient.from_connection_string(azurite.new_account(), "segments")
        with container:
            container.create_container()
            for path in part.iterdir():
                with path.open("rb") as content:
                    container.upload_blob(path.name, content)
            source = SegmentContainer(container)
            report.line("download from Azurite alone", f"{_wall(partial(_download, source)):.2f}")
            figure = _wall(partial(product, source, Contacts()))
            report.line("prepare from Azurite", f"{figure:.2f}")
    report.line("prepare from local files", f"{_wall(partial(_prepare, part)):.2f}")
    slow = Folder(part, seconds_a_range=RANGE_BYTES / SLOW_BYTES_A_SECOND)
    download = _wall(partial(_download, slow), 1)
    prepared = _wall(partial(product, slow, Contacts()), 1)
    report.line("download at 40 MB/s alone", f"{download:.2f}")
    limit = f"≤ {BOUND_LIMIT} of that"
    good = prepared <= BOUND_LIMIT * download
    report.line("prepare at 40 MB/s", f"{prepared:.2f}", limit, good=good)


def sent(report: Report, rows: int) -> None:
    """Compare a whole run with what the rate limit alone costs; the best of three."""
    runs = [sending.measured(rows) for _ in range(TRIES)]
    report.heading("wall seconds of a run / floor of the rate limit = times")
    floor = runs[0].floor
    least = min(run.sending for run in runs)
    whole = min(run.preparing + run.sending for run in runs)
    for name, seconds, limit in (
        (f"send {runs[0].batches} batches", least, SENDING_LIMIT),
        ("prepare and send", whole, RUN_LIMIT),
    ):
        times = seconds / floor
        figure = f"{seconds:.2f} / {floor:.2f} = {times:.2f}"
        report.line(name, figure, f"≤ {limit}", good=times <= limit)
    throttled = max(run.throttled for run in runs)
    report.line("answers 429", f"{throttled}", "0", good=not throttled)


def _download(source: SegmentSource) -> None:
    for file in snapshot_of(source).files:
        for _ in ranges(source, file):
            pass


def _prepare(part: Path) -> None:
    product(Folder(part), Contacts())


def _best(*works: Callable[[], Any]) -> list[float]:
    """Return the least CPU seconds of each work, tried in turn."""
    tries = [[_cpu(work) for work in works] for _ in range(TRIES)]
    return [min(seconds) for seconds in zip(*tries, strict=True)]


def _cpu(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _wall(work: Callable[[], Any], tries: int = TRIES) -> float:
    def timed() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return min(timed() for _ in range(tries))


def _digest(part: Path) -> str:
    sink = Contacts(digesting=True)
    counts = product(Folder(part), sink)
    if not counts.adds_up or counts.staged != sink.rows:
        raise AssertionError(f"the counts of {part} do not add up: {counts}")
    return sink.digest


def _peak_in_child(part: Path) -> int:
    command = [sys.executable, "-m", "bench", "--peak", str(part)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - itself
    return int(run.stdout)


def _peak_of(part: Path) -> int:
    _prepare(part)
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage tells on Linux begins with the parent's peak
        line = next(ln for ln in status.read_text().splitlines() if ln.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def machine() -> str:
    """Describe where this runs."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((ln.partition(": ")[2] for ln in lines if ln.startswith("model name")), model)
    return (
        f"{os.cpu_count()} cores of {model}, {platform.system()},"
        f" Python {platform.python_version()}, pyarrow {pa.__version__}"
    )


if __name__ == "__main__":
    sys.exit(main())
