"""Removing a connection: everything that uses it stops, nothing that was set up is lost."""

from __future__ import annotations

from dataclasses import dataclass

from shared import audit
from shared.connections import Connection
from shared.errors import RunEnded
from shared.exports import Export
from shared.jobs import Jobs
from shared.roles import Principal
from shared.tokens import Tokens


@dataclass(frozen=True)
class Removal:
    """Takes a connection away at any time."""

    jobs: Jobs
    tokens: Tokens

    def remove(self, connection_id: str, who: Principal) -> Connection:
        """Delete the tokens, cancel the runs under way and disable the exports.

        The mark comes first: from then on no token is handed out. What is cut off in between is
        finished by doing it again.
        """
        before = self.jobs.connections.find(connection_id)
        connection = self.tokens.remove(connection_id, who.name)
        for export in self.jobs.exports.all():
            if export.connection_id == connection_id:
                disabled = self.jobs.exports.update(export.id, _disabled)
                audit.note(
                    "export_disabled",
                    who,
                    before={"enabled": export.enabled},
                    after={"enabled": disabled.enabled},
                    export_id=export.id,
                    connection_id=connection_id,
                )
                self._cancel_active(export.id, who)
        audit.note(
            "connection_removed",
            who,
            before=before.audited if before else None,
            after=connection.audited,
            connection_id=connection_id,
        )
        return connection

    def _cancel_active(self, export_id: str, who: Principal) -> None:
        active = self.jobs.ledger.active(export_id)
        if active:
            try:
                self.jobs.cancel(active.key, who)
            except RunEnded:
                return  # it ended meanwhile


def _disabled(export: Export) -> Export:
    return export.having(enabled=False, disabled_reason="connection_removed")
