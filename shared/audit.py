"""Who changed what, from what to what, for those who have to account for it later.

Every change of a connection, an export or a run by somebody leaves one event; its time is the
log record's. People are named by their ids, never by name or address.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shared.events import Event, emit
from shared.roles import Principal


def note(
    what: str,
    who: Principal | str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    **ids: str | None,
) -> None:
    """Emit the event of a change, with the fields in which *before* and *after* differ.

    Args:
        who: Or the id of somebody who is not here any more.
        before: None for what is new; *after*: None for what is gone. Neither may hold names,
            addresses or tokens.
    """
    differing = {
        field
        for field in {**(before or {}), **(after or {})}
        if (before or {}).get(field) != (after or {}).get(field)
    }
    emit(
        Event.AUDIT,
        what=what,
        who=who.id if isinstance(who, Principal) else who,
        before=_shown(before, differing),
        after=_shown(after, differing),
        **ids,
    )


def _shown(state: Mapping[str, Any] | None, fields: set[str]) -> str | None:
    if state is None:
        return None
    return json.dumps({field: value for field, value in state.items() if field in fields})
