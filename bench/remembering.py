"""What the memory of what was accepted costs: time to compare, size of its file, peak memory.

``python -m bench.remembering full FOLDER`` prepares the segment in FOLDER with an empty memory and
keeps what it learnt beside the folder; ``changes`` then prepares it again, 1 % of it changed;
``mirror`` does so and then prepares everybody, as a mirror does that compares lists. Each looks for
leavers and packs the memory as a run does, prints its figures as JSON and runs in a process of its
own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.pipelines import MAPPING, Contacts, Folder, snapshot_of
from shared.contacts.memory import Marks, Memory, leavers
from shared.contacts.preparation import Audience, Order, prepare

SECRET = b"a key for the benchmark"
CHANGED = 100
"""Every so many-th contact has another line than before."""


def measured(what: str, folder: Path) -> dict[str, Any]:
    """Return the figures of *what* (``full``, ``changes``, ``mirror``) from a fresh process."""
    command = [sys.executable, "-m", "bench.remembering", what, str(folder)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - itself
    figures: dict[str, Any] = json.loads(run.stdout)
    return figures


def full(folder: Path) -> dict[str, Any]:
    """Prepare with an empty memory and keep what it learnt."""
    memory = Memory(SECRET, {})
    figures = _prepared(folder, memory)
    _pack(memory)
    content = memory.staged(0).distinct().packed()
    _kept(folder).write_bytes(content)
    return {**figures, "bytes": len(content)}


def changes(folder: Path) -> dict[str, Any]:
    """Prepare with the memory of `full`, in which 1 % of the lines are other ones."""
    memory = _remembered(folder)
    figures = _prepared(folder, memory)
    leavers(memory.left(0), memory.everybody(0))
    _pack(memory)
    return figures


def mirror(folder: Path) -> dict[str, Any]:
    """Prepare as `changes` does, then everybody."""
    memory = _remembered(folder)
    _prepared(folder, memory)
    leavers(memory.left(0), memory.everybody(0))
    memory = memory.afresh()
    figures = _prepared(folder, memory)
    _pack(memory)
    return figures


def _remembered(folder: Path) -> Memory:
    known = Marks.parse(_kept(folder).read_bytes())
    rows = known.row.copy()
    rows[::CHANGED] += np.uint64(1)
    return Memory(SECRET, {0: Marks(known.address, known.check, rows, known.person)})


def _pack(memory: Memory) -> None:
    """Pack what a run stages of the memory, one part after the other."""
    for part in (memory.kept, memory.staged, memory.unsent, memory.left):
        part(0).packed()


def _prepared(folder: Path, memory: Memory) -> dict[str, Any]:
    source, sink = Folder(folder), Contacts()
    audience = Audience(snapshot_of(source), ("7a1d5f04-2c0e-11f0-9d3a-0242ac120002",))
    start = time.process_time()
    counts = prepare(source, Order((audience,), MAPPING), sink, memory=memory, seed=1)
    seconds = time.process_time() - start
    if not counts.adds_up:
        raise AssertionError(f"the counts do not add up: {counts}")
    return {"seconds": seconds, "files": sink.files, "rows": sink.rows}


def _kept(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.memory")


def main() -> None:
    """Print the figures and the peak memory of this process in bytes."""
    work = {"full": full, "changes": changes, "mirror": mirror}[sys.argv[1]]
    figures = work(Path(sys.argv[2]))
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(line for line in status if line.startswith("VmHWM:"))
    sys.stdout.write(json.dumps({**figures, "peak": int(peak.split()[1]) * 1024}) + "\n")


if __name__ == "__main__":
    main()
