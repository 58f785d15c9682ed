"""Masked values: enough to find a row again, not enough to know a person."""

from __future__ import annotations


def masked(value: str) -> str:
    """Return the first character, and of an address also that of its domain."""
    value = value.strip()
    local, at, domain = value.partition("@")
    if at and local:
        return f"{local[0]}***@{domain[:1]}***"
    return f"{value[0]}***" if value else ""
