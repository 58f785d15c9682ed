"""Contacts by the column: from rows of a segment to import files, each row with one fate."""
