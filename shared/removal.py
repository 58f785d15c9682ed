"""Removing a connection: everything that uses it stops, nothing that was set up is lost."""

from __future__ import annotations

from dataclasses import dataclass

from shared import audit
from shared.connections import Connection, Connections, ConnectionState
from shared.errors import NotFound, RunEnded
from shared.exports import Export
from shared.jobs import Jobs
from shared.roles import Principal
from shared.tokens import Tokens


@dataclass(frozen=True)
class Removal:
    """Takes a connection away at any time.

    The mark comes first: from then on no token is handed out. What is cut off behind it, another
    try finishes, or else the timer.
    """

    connections: Connections
    jobs: Jobs
    tokens: Tokens

    def remove(self, connection_id: str, who: Principal) -> Connection:
        """Mark the connection as removed and finish what that means.

        Raises:
            NotFound: There is none, or its removal is complete.
        """
        before = self.connections.read(connection_id)
        if before.removal_complete:
            raise NotFound("There is no such connection.")
        connection = self.connections.note_removed(connection_id, who.name)
        if before.state is not ConnectionState.REMOVED:
            audit.note(
                "connection_removed",
                who,
                before=before.audited,
                after=connection.audited,
                connection_id=connection_id,
            )
        return self.finish(connection, who)

    def finish(self, connection: Connection, who: Principal) -> Connection:
        """Delete the tokens, disable the exports and cancel the runs of a removed connection.

        All of it can be repeated, until it is complete.
        """
        if connection.removal_complete:
            return connection
        connection = self.tokens.discard(connection.id)
        if connection.state is not ConnectionState.REMOVED or connection.removal_complete:
            return connection  # somebody was faster, and it may have been made anew
        for export in self.jobs.exports.all():
            if export.connection_id == connection.id:
                self._stop(export, who)
        return self.connections.note_removal_complete(connection.id)

    def _stop(self, export: Export, who: Principal) -> None:
        def disabled(now: Export) -> Export:
            if now.connection_id != export.connection_id:
                return now
            return now.having(enabled=False, disabled_reason="connection_removed")

        try:
            after = self.jobs.exports.update(export.id, disabled)
        except NotFound:
            return  # it was deleted meanwhile
        if after.enabled != export.enabled:
            audit.note(
                "export_disabled",
                who,
                before={"enabled": export.enabled},
                after={"enabled": after.enabled},
                export_id=export.id,
                connection_id=export.connection_id,
            )
        self._cancel_active(export.id, who)

    def _cancel_active(self, export_id: str, who: Principal) -> None:
        active = self.jobs.ledger.active(export_id)
        if active:
            try:
                self.jobs.cancel(active.key, who)
            except RunEnded:
                return  # it ended meanwhile
