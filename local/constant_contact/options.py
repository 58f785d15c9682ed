"""Everything about the stand-in that can be chosen; the defaults are the documented rules.

Where Constant Contact's behaviour is unknown the default is the strict reading, and the
switch for the lenient one says so.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_type_hints

from pydantic import TypeAdapter

SCOPES = ("contact_data", "account_read", "account_update", "campaign_data", "offline_access")
PRIVILEGES = (
    "account:read",
    "contacts:lists:read",
    "contacts:lists:write",
    "contacts:read",
    "contacts:write",
)


@dataclass(kw_only=True)
class Options:
    """May be changed at any time, also while requests are being answered.

    Seconds are floats; sizes are bytes.
    """

    # The registered application
    client_id: str = "stand-in-client"
    client_secret: str | None = "stand-in-secret"  # None: a public application, PKCE
    redirect_uris: tuple[str, ...] = ()
    refresh_tokens: Literal["rotating", "long_lived"] = "rotating"
    deactivated: bool = False

    # The person who is asked
    ask: bool = False  # show a page with an "Allow" button instead of approving at once
    deny: bool = False

    # Tokens
    expires_in: int = 86_400  # seconds an access token lives
    code_seconds: int = 300
    refresh_days: int = 180  # days a refresh token may go unused
    reuse_revokes: bool = (
        True  # unknown: presenting a spent refresh token also kills the newest set
    )
    omit_refresh_token: bool = False  # long-lived only: leave the unchanged value out of the answer
    token_requests_per_second: int = 1

    # Limits
    requests_per_second: int = 4
    requests_per_day: int = 10_000
    token_requests_count: bool = True  # unknown: towards the two limits above
    refused_calls_count: bool = True  # unknown: a 429 uses up the day's quota as well
    queued_activities: int = 1_000
    max_lines: int = 40_000  # of an import, header included
    max_bytes: int = 4_000_000  # of an import's request; unknown: may be 4,194,304
    envelope_counts: bool = True  # unknown: the multipart framing is part of those bytes
    keep_cut_row: bool = False  # unknown: the row cut in two by a limit is imported as it is
    lists_per_account: int = 1_000
    lists_per_contact: int = 50
    fields_per_account: int = 100
    fields_per_contact: int = 25  # the sign-up form's schema says 50

    # Activities
    activity_seconds: float = 0.2
    serial_activities: bool = True  # unknown: one after the other, as in v2
    activity_days: int = 10
    unknown_list: Literal["refuse", "fail"] = "refuse"  # unknown: at the POST or in the activity
    revive_deleted: bool = True  # unknown: an import brings a deleted contact back
    unsubscribed_keep_lists: bool = True  # unknown: an opt-out leaves the memberships alone
    unsubscribed_are_copied: bool = False  # unknown: from one list to another
    errors_name_lines: bool = True  # unknown: activity errors begin with "Line n: ", as in v2
    errors_name_address: bool = False  # unknown: activity errors quote the refused address
    keep_files: bool = True  # remember the content of every import

    # The account
    encoded_account_id: str = "a07e1l8cdif9dl"
    organization_name: str = "Stand-in Company"
    scopes: tuple[str, ...] = SCOPES  # that the application may be given
    privileges: tuple[str, ...] = PRIVILEGES  # of the person who approved

    latency: float = 0.0  # seconds added to every answer

    def change(self, **changes: Any) -> None:
        """Set some options; an unknown name is a `TypeError`, a wrong type a `ValueError`."""
        hints = get_type_hints(type(self))
        known = {field.name for field in fields(self)}
        if unknown := changes.keys() - known:
            raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
        checked = {
            name: TypeAdapter(hints[name]).validate_python(value) for name, value in changes.items()
        }
        for name, value in checked.items():
            setattr(self, name, value)
