"""Who is signed in, and what they may do. Deny by default: no role, no access."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from shared.errors import AdministratorsOnly, Forbidden


class Role(StrEnum):
    """Entra app roles, from the least to the most."""

    VIEWER = "Viewer"
    CONTRIBUTOR = "Contributor"
    ADMINISTRATOR = "Administrator"

    def includes(self, other: Role) -> bool:
        """Say whether this role may do all that *other* may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Principal:
    """A signed-in person or application.

    Attributes:
        name: As the platform gives it; for the record of who did what.
        roles: Empty means signed in, with access to nothing.
    """

    id: str
    name: str
    roles: frozenset[Role] = field(default_factory=frozenset)

    def has(self, role: Role) -> bool:
        """Say whether one of the roles includes *role*."""
        return any(own.includes(role) for own in self.roles)


LOCAL = Principal("local", "local", frozenset({Role.ADMINISTRATOR}))
"""Everyone, where ``SIGN_IN`` is ``off``: settings refuse that on Azure."""

_ROLE_CLAIMS = frozenset({"roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"})


def read_principal(
    headers: Mapping[str, str], sign_in: Literal["entra", "off"] | None
) -> Principal | None:
    """Return who is signed in, or None.

    The platform's headers are believed only under ``SIGN_IN=entra``: with its sign-in switched
    off, nothing removes such headers from what the internet sends.
    https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
    """
    if sign_in == "off":
        return LOCAL
    if sign_in != "entra":
        return None
    claims, role_type = _claims(headers.get("x-ms-client-principal", ""))
    if claims is None:
        return None
    identity = headers.get("x-ms-client-principal-id", "")
    if not identity:
        return None
    return Principal(
        id=identity,
        name=headers.get("x-ms-client-principal-name", "") or identity,
        roles=frozenset(_roles(claims, _ROLE_CLAIMS | {role_type})),
    )


def _claims(header: str) -> tuple[list[object] | None, str]:
    try:
        content = json.loads(base64.b64decode(header, validate=True))
    except (binascii.Error, UnicodeDecodeError, ValueError, RecursionError):
        return None, ""
    match content:
        case {"claims": list(claims), **rest}:
            role_type = rest.get("role_typ")
            return claims, role_type if isinstance(role_type, str) and role_type else "roles"
        case _:
            return None, ""


def _roles(claims: Iterable[object], types: frozenset[str]) -> Iterable[Role]:
    for claim in claims:
        match claim:
            case {"typ": str(kind), "val": str(value)} if kind in types and value in set(Role):
                yield Role(value)
            case _:
                continue


def require(principal: Principal, role: Role) -> None:
    """Raise `Forbidden` unless *principal* has *role* or one that includes it."""
    if not principal.has(role):
        raise Forbidden(f"This needs the role {role}.")


def require_use(principal: Principal, usable_by: Iterable[Role]) -> None:
    """Raise `Forbidden` unless *principal* may use a connection.

    Administrators always may; a contributor only if the connection names contributors.
    """
    require(principal, Role.CONTRIBUTOR)
    if not (principal.has(Role.ADMINISTRATOR) or Role.CONTRIBUTOR in set(usable_by)):
        raise AdministratorsOnly("This connection may be used by administrators only.")
