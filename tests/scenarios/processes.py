"""More instances of the app, each a process of its own; see `tests.scenarios.worker`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from azure.storage.blob import BlobLeaseClient

from tests.scenarios.desk import Desk, Places

Process = subprocess.Popen[str]


@contextmanager
def workers(
    places: Places, task: str, count: int, log: IO[str] | None = None
) -> Iterator[list[Process]]:
    """Have *count* instances ready for *task*, which write all that they log to *log*."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.scenarios.worker", task, *(["--log"] if log else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        for process in processes:
            tell(process, places.to_json())
        for process in processes:
            assert answer(process) == "ready"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def kill_during(desk: Desk, task: str, log: IO[str] | None = None) -> None:
    """Have an instance killed at a point of its *task*, and its lease run out."""
    with workers(desk.places, task, 1, log) as processes:
        assert run_all(processes) == [None]
        assert processes[0].wait() == -signal.SIGKILL
    lease = desk.container.get_blob_client("leases/connections/main")
    BlobLeaseClient(lease).break_lease(lease_break_period=0)


def run_all(processes: list[Process]) -> list[Any]:
    """Start the task everywhere at once and return what each process answers."""
    for process in processes:
        tell(process, "go")
    return [answer(process) for process in processes]


def tell(process: Process, line: str) -> None:
    """Send a line."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def answer(process: Process) -> Any:
    """Return what the process says next; None if it died first."""
    assert process.stdout is not None
    line = process.stdout.readline()
    return json.loads(line) if line else None
