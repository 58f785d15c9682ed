"""Identifiers: slugs for what people name, sortable ids for runs."""

from __future__ import annotations

import re
import secrets
import unicodedata
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

SLUG = r"[a-z0-9-]{1,64}"
RUN_ID = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}"
CONTAINER = r"[a-z0-9](?:-?[a-z0-9]){2,62}"
"""Of a storage account."""

UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def require_printable(name: str) -> str:
    """Return *name*, or raise `ValueError` if control characters are in it."""
    if not name.isprintable():
        raise ValueError("must not contain control characters")
    return name


DisplayName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(require_printable),
]
"""What people call an export or a connection, without blanks around it."""

_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def slug(name: str) -> str:
    """Return a slug for a display name: ``Spring renewals`` becomes ``spring-renewals``.

    A name without any Latin letter or digit gets a random slug.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return _NOT_SLUG.sub("-", plain).strip("-")[:64].strip("-") or secrets.token_hex(4)


def new_run_id(now: datetime) -> str:
    """Return an id that sorts by time, e.g. ``20261123T060000Z-7f3a9c``: 7f3a9 microseconds.

    Which of two runs is newer is told by their ids, so that the second would not do.
    """
    at = now.astimezone(UTC)
    return f"{at:%Y%m%dT%H%M%SZ}-{at.microsecond:05x}{secrets.token_hex(1)[0]}"
