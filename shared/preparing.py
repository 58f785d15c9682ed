"""Prepare: read the pinned snapshots once and stage everything that is to be sent.

From here on the run never reads the segment again. A preparation that was cut off is simply
done again: the same snapshots give the same files to the byte.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from shared.catalogue import Catalogue, pin
from shared.changes import facts
from shared.connections import Connection
from shared.constant_contact.budget import Limits
from shared.constant_contact.client import Client
from shared.contacts.batches import MAX_IMPORT_LINES, BatchFile
from shared.contacts.preparation import Audience, Consent, Order, prepare
from shared.contacts.rejects import HEADER
from shared.errors import ColumnMissing, RequestRefused
from shared.events import Event, emit
from shared.exports import Export, Mode
from shared.finishing import Finishing
from shared.guard import find_concerns, find_removal_concern
from shared.ledger import Ledger, Turn, origin_name, staged_name
from shared.mirroring import choose, look_ahead
from shared.plans import known_changes, plan
from shared.remembering import Recollection, Remembering
from shared.runs import (
    PREPARED,
    Batch,
    Counts,
    Exclusion,
    ListCheck,
    Mirror,
    Note,
    PinnedSnapshot,
    Plan,
    Problem,
    Route,
    Run,
    RunState,
)
from shared.segments.source import SegmentSource, SourceFile
from shared.storage.documents import Records

_SIGN_OF_LIFE = timedelta(seconds=2)
"""How often at most the run document is written while files are staged."""


@dataclass(frozen=True)
class Preparing:
    """The step that turns snapshots into staged files."""

    source: SegmentSource
    catalogue: Catalogue
    connections: Records[Connection]
    ledger: Ledger
    remembering: Remembering
    finishing: Finishing
    limits: Limits

    def prepare(self, turn: Turn, client: Client) -> None:
        """Carry the run from queued to sending, held or completed.

        Raises:
            SegmentError: A snapshot is absent or cannot be read as it was pinned.
            SegmentIncomplete: A snapshot is still being written; the run waits.
            RequestRefused: A list or custom field of the export is gone.
        """
        export = turn.run.export
        if turn.run.state is RunState.QUEUED:
            turn.note(lambda run: run.moved_to(RunState.PREPARING, turn.now()))
        if turn.run.retry_of:
            self._take_over(turn, client)
            return
        if not turn.run.snapshots:
            snapshots = pin(export, self.catalogue.segments())
            turn.note(lambda run: run.having(snapshots=snapshots))
        lists = lists_before(client, export.list_ids)
        order = order_of(turn.run, custom_field_types(client, export))
        turn.note(lambda run: run.having(lists=lists))
        recollection = self._recall(turn.run)
        try:
            counts = self._stage(turn, order, recollection)
        except ColumnMissing as error:
            self._hold(turn, [Problem.of(error)])
            return
        mirror = self._choose_route(turn.run, counts, recollection)
        known = known_changes(turn.run, recollection.memory, mirror) if recollection else Plan()
        if recollection and mirror and mirror.route is Route.LISTS and counts.unchanged:
            recollection = recollection.afresh()  # who is not imported would seem to have left
            counts = self._stage(turn, order, recollection)
        if recollection:
            self.remembering.stage(turn.run, recollection, len(order.audiences))
        notes = _notes(turn.run, recollection)
        turn.note(lambda run: run.having(counts=counts, mirror=mirror, notes=notes))
        planned = plan(turn.run, known, self.limits)
        turn.note(lambda run: run.having(plan=planned))
        emit(Event.RUN_PREPARED, **facts(turn.run))
        self._decide(turn, client)

    def _stage(self, turn: Turn, order: Order, recollection: Recollection | None) -> Counts:
        """Stage everything once; what an earlier try staged is written over."""
        turn.note(lambda run: run.having(batches=(), counts=Counts()))
        source = _Watched(self.source, turn.run.snapshots)
        memory = recollection.memory if recollection else None
        with _Staging(turn, self.ledger, source) as staging:
            counts = prepare(source, order, staging, memory=memory)
            staging.commit()
        exclusions = tuple(Exclusion(**vars(exclusion)) for exclusion in counts.exclusions)
        turn.note(
            lambda run: run.having(
                filled=counts.filled, sendable=counts.sendable, exclusions=exclusions
            )
        )
        return Counts(**{name: n for name, n in vars(counts).items() if isinstance(n, int)})

    def _choose_route(
        self, run: Run, counts: Counts, recollection: Recollection | None
    ) -> Mirror | None:
        if recollection is None or run.export.mode is not Mode.MIRROR:
            return None
        people = counts.unchanged + counts.staged
        return choose(
            look_ahead(run, recollection.memory, tells=recollection.mirrored),
            people,
            sent=len(run.batches),
            everybody=max(len(run.batches), -(-people // (MAX_IMPORT_LINES - 1))),
        )

    def _take_over(self, turn: Turn, client: Client) -> None:
        """Stage the batches of another run that Constant Contact did not carry out."""
        run = turn.run
        failed, _ = self.ledger.runs.read(f"{run.export_id}/{run.retry_of}")
        batches = []
        for number, batch in enumerate(failed.failed_batches):
            for name in (staged_name, origin_name):
                content = self.ledger.staged(failed.key, name(batch.number))
                self.ledger.stage(run.key, name(number), content)
            batches.append(
                Batch(
                    number=number,
                    segment=batch.segment,
                    rows=batch.rows,
                    bytes=batch.bytes,
                    # not the temporary lists of a mirror, which may be gone
                    list_ids=tuple(i for i in batch.list_ids if i in run.export.list_ids),
                    file_name=file_name(run, number),
                )
            )
        self.remembering.stage_again(run, failed)
        rejects = self.ledger.open_rejects(run.key)
        rejects.write(HEADER)
        rejects.commit()
        rows = sum(batch.rows for batch in batches)
        lists = lists_before(client, run.export.list_ids)
        turn.note(
            lambda run: run.having(
                snapshots=failed.snapshots,
                batches=tuple(batches),
                lists=lists,
                counts=Counts(read=rows, staged=rows),
                progress=PREPARED,
            )
        )
        planned = plan(turn.run, Plan(), self.limits)
        turn.note(lambda run: run.having(plan=planned))
        if turn.run.hold:
            self._hold(turn, [])
        else:
            turn.note(lambda run: run.moved_to(RunState.SENDING, turn.now()))

    def _recall(self, run: Run) -> Recollection | None:
        export = run.export
        if not export.only_changes and export.mode is not Mode.MIRROR:
            self.remembering.forget(export.id)  # what is sent without it makes it untrue
            return None
        connection, _ = self.connections.read(run.connection_id)
        return self.remembering.recall(export, connection, run)

    def _decide(self, turn: Turn, client: Client) -> None:
        """Hold the run, send it, or finish it where there is nothing to send."""
        run, before = turn.run, self.ledger.last_completed(turn.run.export_id)
        concerns = find_concerns(run, before)
        members = {check.list_id: check.before for check in run.lists}
        for mirrored in run.mirror.lists if run.mirror else ():
            concern = find_removal_concern(
                run.export.guard, mirrored.leaving or 0, members.get(mirrored.list_id) or 0
            )
            concerns += [concern] if concern else []
        if turn.run.hold or concerns:
            self._hold(turn, concerns)
        elif run.batches or (run.mirror and run.mirror.route is not Route.NOBODY):
            turn.note(lambda run: run.moved_to(RunState.SENDING, turn.now()))
        else:
            self.finishing.finish(turn, client)

    def _hold(self, turn: Turn, concerns: Sequence[Problem]) -> None:
        turn.note(lambda run: run.held(concerns, turn.now()))


def _notes(run: Run, recollection: Recollection | None) -> tuple[Note, ...]:
    """Return what a reader should know of how the snapshots were read and who is sent."""
    said = [
        Note(code="snapshot_read", message=f"{snapshot.segment}: {note}")
        for snapshot in run.snapshots
        for note in snapshot.notes
    ]
    return (*said, *((recollection.note,) if recollection and recollection.note else ()))


def order_of(run: Run, custom_fields: dict[str, str]) -> Order:
    """Return what the run's export asks for, over the snapshots that it has pinned."""
    export = run.export
    lists = {target.name: target.list_ids for target in export.segments}
    return Order(
        audiences=tuple(
            Audience(snapshot, lists[snapshot.segment])
            for snapshot in run.snapshots
            if not snapshot.excluded
        ),
        mapping=export.mapping,
        custom_fields=custom_fields,
        excluded=tuple(snapshot for snapshot in run.snapshots if snapshot.excluded),
        consent=Consent(export.consent.column, frozenset(export.consent.values))
        if export.consent
        else None,
        newest_by=export.newest_by,
        identity=export.identity,
        previous_identity=export.previous_identity,
    )


def lists_before(client: Client, list_ids: Sequence[str]) -> tuple[ListCheck, ...]:
    """Return the lists with their members now; `RequestRefused` if one is gone."""
    checks = []
    for list_id in list_ids:
        contact_list = client.contact_list(list_id, count=True)
        if contact_list is None:
            raise RequestRefused(
                f"The list {list_id} is no longer in the Constant Contact account.",
                status=404,
                action="Choose another list in the export, then start it again.",
            )
        checks.append(ListCheck(list_id=list_id, before=contact_list.count))
    return tuple(checks)


def custom_field_types(client: Client, export: Export) -> dict[str, str]:
    """Return name → type of the custom fields that the export maps."""
    wanted = export.custom_fields
    if not wanted:
        return {}
    types = {field.name: field.type for field in client.custom_fields() if field.name in wanted}
    missing = sorted(wanted - set(types))
    if missing:
        raise RequestRefused(
            f"The custom field {missing[0]} is no longer in the Constant Contact account.",
            status=404,
            action="Take the field out of the export or create it again at Constant Contact.",
        )
    return types


def file_name(run: Run, number: int) -> str:
    """Return a name for an import that no other import has: by it a lost upload is found."""
    return f"{run.export_id}-{run.id}-{number:04d}.csv"


class _Watched:
    """The source, counting what is read of it."""

    def __init__(self, source: SegmentSource, snapshots: Sequence[PinnedSnapshot]) -> None:
        self._source = source
        self._total = sum(snapshot.size for snapshot in snapshots)
        self._read = 0

    @property
    def url(self) -> str:
        return self._source.url

    def files(self, prefix: str = "") -> Iterator[SourceFile]:
        return self._source.files(prefix)

    def file_at(self, name: str, snapshot: str) -> SourceFile | None:
        return self._source.file_at(name, snapshot)

    def now(self) -> datetime:
        return self._source.now()

    def read(self, file: SourceFile, start: int, length: int) -> bytes:
        content = self._source.read(file, start, length)
        self._read += len(content)
        return content

    @property
    def progress(self) -> int:
        """The run's progress in percent; Parquet and a second pass make it inexact."""
        return min(PREPARED, PREPARED * self._read // max(self._total, 1))


class _Staging:
    """Writes batches and rejects as they come, and the batches into the run document.

    Files are uploaded while the next are made, one pair at a time.
    """

    def __init__(self, turn: Turn, ledger: Ledger, source: _Watched) -> None:
        self._turn = turn
        self._ledger = ledger
        self._source = source
        self._rejects = ledger.open_rejects(turn.run.key)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="stage")
        self._uploads: list[Future[None]] = []
        self._batches: list[Batch] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()

    def batch(self, number: int, segment: int, list_ids: Sequence[str], file: BatchFile) -> None:
        run = self._turn.run
        self._finish_uploads()
        self._upload(staged_name(number), file.csv)
        self._upload(origin_name(number), _packed(file.origin))
        batch = Batch(
            number=number,
            segment=segment,
            rows=file.rows,
            bytes=len(file.csv),
            list_ids=tuple(list_ids),
            file_name=file_name(run, number),
        )
        self._batches.append(batch)
        if self._turn.now() - run.updated_at >= _SIGN_OF_LIFE:
            self._note()

    def rejects(self, csv: bytes) -> None:
        self._rejects.write(csv)

    def commit(self) -> None:
        """Show the rejects; until then those of an earlier try are there."""
        self._finish_uploads()
        self._note()
        self._rejects.commit()

    def _note(self) -> None:
        batches, progress = tuple(self._batches), self._source.progress
        self._turn.note(lambda run: run.having(batches=batches, progress=progress))

    def _upload(self, name: str, content: bytes) -> None:
        self._uploads.append(
            self._pool.submit(self._ledger.stage, self._turn.run.key, name, content)
        )

    def _finish_uploads(self) -> None:
        for upload in self._uploads:
            upload.result()
        self._uploads.clear()


def _packed(origin: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(origin, sink, compression="zstd", use_dictionary=False)
    return sink.getvalue()
