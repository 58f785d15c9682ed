"""Exports as people save them: checked as a whole before anything is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from shared import audit
from shared.catalogue import Catalogue
from shared.connections import Connection, ConnectionState
from shared.constant_contact.client import Client
from shared.errors import DocumentChanged, Fault, IdTaken, Invalid, RunActive, faults_of
from shared.exports import Export, find_faults, mirrored_elsewhere
from shared.ids import slug
from shared.ledger import Ledger
from shared.opt_outs import OptOuts
from shared.roles import Principal, Role, require, require_use
from shared.storage.documents import Records

_OURS = ("disabled_reason", "updated_at", "updated_by")
"""Fields that the app writes; what a caller sends for them is passed over."""

_OLD_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)
_BLANK_LIST = "00000000-0000-0000-0000-000000000000"

_BLANK: Mapping[str, Any] = {
    "id": "new",
    "display_name": "new",
    "connection_id": "none",
    "segments": [{"name": "none", "list_ids": [_BLANK_LIST]}],
    "mapping": {"email": "none"},
}
"""Stands in for fields that are not valid, so that the others can be checked all the same."""


@dataclass(frozen=True)
class _Account:
    """What an export can name of a Constant Contact account."""

    list_ids: Collection[str]
    custom_fields: Collection[str]


@dataclass(frozen=True)
class Editor:
    """Creates, replaces and deletes exports. Saving does not run.

    Attributes:
        forget: Drops the memory of an export.
    """

    exports: Records[Export]
    connections: Records[Connection]
    catalogue: Catalogue
    client_for: Callable[[str], Client]
    ledger: Ledger
    forget: Callable[[str], None]
    opt_outs: OptOuts
    now: Callable[[], datetime]

    def create(self, content: Mapping[str, Any], who: Principal) -> tuple[Export, str]:
        """Save a new export and return it with its ETag.

        Raises:
            Invalid: With every fault at once.
            IdTaken: There is one of this id.
        """
        content = self._with_list_ids(content, who)
        given = content.get("id")
        export_id = given if given is not None else self._free_id(content.get("display_name"))
        export = self._checked({**content, "id": export_id}, who)
        try:
            etag = self.exports.create(export.id, export)
        except DocumentChanged:
            raise IdTaken(
                "There is an export with this id already.", location=f"/api/exports/{export.id}"
            ) from None
        audit.note("export_created", who, after=_state(export), export_id=export.id)
        return export, etag

    def check(self, content: Mapping[str, Any], who: Principal) -> list[Fault]:
        """Return what is wrong with an export that is being written, and write nothing.

        Asks Constant Contact nothing and reads no other export, so that it can be asked while
        somebody types: whether the lists and custom fields exist and nobody else mirrors the
        lists is left to the save.
        """
        content = _with_lists(content, lambda each: _BLANK_LIST if _is_old(each) else each)
        export, faults = _read({"id": "new", **content})
        connected = self._may_use(export.connection_id, who)
        return faults + _besides(faults, self._find_faults(export, connected=connected))

    def replace(
        self, export_id: str, content: Mapping[str, Any], etag: str, who: Principal
    ) -> tuple[Export, str]:
        """Save the export over the one read under *etag* and return it with its new ETag.

        Raises:
            DocumentChanged: Somebody else has saved it since.
        """
        before, _ = self.exports.read(export_id)
        self._require_use(before.connection_id, who)
        content = self._with_list_ids({**content, "id": export_id}, who)
        export = self._switched_off(before, content, who) or self._checked(content, who)
        etag = self.exports.replace(export_id, export, etag)
        audit.note(
            "export_replaced", who, before=_state(before), after=_state(export), export_id=export.id
        )
        return export, etag

    def delete(self, export_id: str, who: Principal, etag: str | None = None) -> None:
        """Delete the export; its runs stay as the record of what was sent.

        Raises:
            RunActive: A run is under way.
            DocumentChanged: It is not the version that was read under *etag*.
        """
        export, _ = self.exports.read(export_id)
        self._require_use(export.connection_id, who)
        active = self.ledger.active(export_id)
        if active:
            raise RunActive(
                "A run of this export is under way: cancel it first.",
                location=f"/api/runs/{active.key}",
            )
        self.exports.delete(export_id, etag)
        self.forget(export_id)
        audit.note("export_deleted", who, before=_state(export), export_id=export.id)

    def _with_list_ids(self, content: Mapping[str, Any], who: Principal) -> Mapping[str, Any]:
        """Return *content* with the ids of lists that it names by their old numbers.

        What is no number of a list stays, and is found fault with.
        """
        numbers: list[int] = []
        _with_lists(content, lambda each: numbers.append(int(each)) if _is_old(each) else None)
        connection_id = content.get("connection_id")
        if not numbers or not isinstance(connection_id, str):
            return content
        if not self._may_use(connection_id, who):
            return content
        ids = self.client_for(connection_id).translate_list_ids(numbers)
        return _with_lists(
            content, lambda each: ids.get(int(each), each) if _is_old(each) else each
        )

    def _free_id(self, display_name: object) -> str:
        wanted = slug(display_name if isinstance(display_name, str) else "")
        taken = set(self.exports.keys())
        numbered = (f"{wanted[:60]}-{number}" for number in range(2, len(taken) + 3))
        return wanted if wanted not in taken else next(id_ for id_ in numbered if id_ not in taken)

    def _switched_off(
        self, before: Export, content: Mapping[str, Any], who: Principal
    ) -> Export | None:
        """Return the export if all that changes is that it is off: that must always work."""
        export, faults = _read(content)
        if faults or export.enabled or _state(export) != _state(before.having(enabled=False)):
            return None
        return before.having(enabled=False, updated_at=self.now(), updated_by=who.name)

    def _checked(self, content: Mapping[str, Any], who: Principal) -> Export:
        export, faults = _read(content)
        if export.opt_outs and export.opt_outs.addresses == "plain":
            require(who, Role.ADMINISTRATOR)
        connected = self._may_use(export.connection_id, who)
        account = _account_of(self.client_for(export.connection_id), export) if connected else None
        faults += _besides(
            faults,
            self._find_faults(
                export,
                connected=connected,
                account=account,
                mirrored_elsewhere=mirrored_elsewhere(export, self.exports.all()),
            ),
        )
        faults += _besides(faults, self.opt_outs.find_faults(export))
        if faults:
            raise Invalid("The export cannot be saved as it is.", faults)
        return export.having(updated_at=self.now(), updated_by=who.name)

    def _find_faults(
        self,
        export: Export,
        *,
        connected: bool,
        account: _Account | None = None,
        mirrored_elsewhere: Collection[str] = (),
    ) -> list[Fault]:
        """Return everything the export names that is not there.

        Args:
            account: What is in the account; without it everything the export names counts as there.
        """
        account = account or _Account(export.list_ids, export.custom_fields)
        return find_faults(
            export,
            connected=connected,
            list_ids=account.list_ids,
            custom_fields=account.custom_fields,
            columns=self._columns(export),
            mirrored_elsewhere=mirrored_elsewhere,
        )

    def _columns(self, export: Export) -> dict[str, list[str] | None]:
        segments = self.catalogue.segments()
        formats = {target.name: target.format for target in export.segments}
        wanted = list(export.columns)
        return {
            name: self.catalogue.columns(segments, name, formats.get(name), wanted)
            for name in formats
        } | {
            name: self.catalogue.columns(segments, name, None, [export.mapping["email"]])
            for name in export.exclude_segments
        }

    def _may_use(self, connection_id: str, who: Principal) -> bool:
        """Check that *who* may use the connection; return whether it is there and connected."""
        connection = self.connections.find(connection_id)
        if connection is None:
            require(who, Role.CONTRIBUTOR)
            return False
        require_use(who, connection.usable_by)
        return connection.state is ConnectionState.CONNECTED

    def _require_use(self, connection_id: str, who: Principal) -> None:
        connection = self.connections.find(connection_id)
        require_use(who, connection.usable_by if connection else ())


def _account_of(client: Client, export: Export) -> _Account:
    """Return what is there; custom fields cost a call and are asked for only where they matter."""
    return _Account(
        {contact_list.id for contact_list in client.lists(counts=False)},
        {field.name for field in client.custom_fields()} if export.custom_fields else (),
    )


def _read(content: Mapping[str, Any]) -> tuple[Export, list[Fault]]:
    """Return the export, and what is wrong with it by itself; faulty fields are blank."""
    kept = {name: value for name, value in content.items() if name not in _OURS}
    try:
        return Export.model_validate(kept), []
    except ValidationError as error:
        faults = faults_of(error)
    sound = {
        name: value
        for name, value in kept.items()
        if name in Export.model_fields and name not in _fields(faults)
    }
    return Export.model_validate({**_BLANK, **sound}), faults


def _with_lists(content: Mapping[str, Any], change: Callable[[Any], Any]) -> Mapping[str, Any]:
    """Return *content* with *change* made to each list that it names, wherever there are any."""
    segments = content.get("segments")
    if not isinstance(segments, list):
        return content
    changed = [
        {**each, "list_ids": [change(one) for one in each["list_ids"]]}
        if isinstance(each, Mapping) and isinstance(each.get("list_ids"), list)
        else each
        for each in segments
    ]
    return {**content, "segments": changed}


def _is_old(list_id: object) -> bool:
    """Say whether a list is named as it was before API version 3: by a number."""
    return isinstance(list_id, str | int) and bool(_OLD_NUMBER.fullmatch(str(list_id)))


def _besides(known: Sequence[Fault], found: Sequence[Fault]) -> list[Fault]:
    """Return the faults that are not about a field with a fault already."""
    return [fault for fault in found if not _fields([fault]) <= _fields(known)]


def _fields(faults: Sequence[Fault]) -> set[str]:
    return {fault.field.partition(".")[0] for fault in faults}


def _state(export: Export) -> dict[str, Any]:
    return export.model_dump(mode="json", exclude=set(_OURS))
