"""People who opted out at Constant Contact, as a file that Customer Insights can take in.

They are never touched here: no import turns an opt-out around. Where an export asks for it, a
run writes who they are, so that the company's own consent data can follow.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Collection, Iterable, Iterator

from shared.constant_contact.answers import OptOut
from shared.constant_contact.client import Client
from shared.errors import Fault
from shared.exports import Export, OptOutFile
from shared.storage.documents import Documents

HEADER = {"plain": "email", "hashed": "email_sha256"}


class OptOuts:
    """Writes the file of an export: ``<container>/<export_id>.csv``, anew with each run.

    Args:
        container: Gives the documents of a container of the export account by its name.
        taken: Names of containers that are for something else: the app's documents, where no
            address may lie, and segments, where it would be taken for one.
    """

    def __init__(self, container: Callable[[str], Documents], taken: Collection[str]) -> None:
        self._container = container
        self._taken = taken

    def find_faults(self, export: Export) -> list[Fault]:
        """Return why the file cannot be written where the export says."""
        if export.opt_outs is None:
            return []
        name, field = export.opt_outs.container, "opt_outs.container"
        if name in self._taken:
            message = f"The container {name} is for something else; choose one for this alone."
            return [Fault(field, "container_taken", message)]
        if not self._container(name).exist():
            message = f"There is no container {name} in the account of the app's documents."
            return [Fault(field, "unknown_container", message)]
        return []

    def write(self, export: Export, client: Client) -> None:
        """Write everybody in the account who has opted out, if the export asks for it.

        Costs a call for 500 people.
        """
        if export.opt_outs is None:
            return
        file = self._container(export.opt_outs.container).blocks(f"{export.id}.csv")
        for piece in lines(export.opt_outs, client.opted_out()):
            file.write(piece)
        file.commit()


def lines(wanted: OptOutFile, pages: Iterable[list[OptOut]]) -> Iterator[bytes]:
    """Yield the file in pieces: address or its SHA-256, when and by whom they were opted out."""
    yield _encoded([(HEADER[wanted.addresses], "opted_out_at", "opted_out_by")])
    for page in pages:
        yield _encoded(
            (_shown(each.address, wanted), each.at or "", each.source or "") for each in page
        )


def _shown(address: str, wanted: OptOutFile) -> str:
    if wanted.addresses == "plain":
        return address
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()


def _encoded(rows: Iterable[tuple[str, str, str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
