"""Looking into a test's database beside the program."""

from __future__ import annotations

from typing import Any

import psycopg


def query(database_url: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run a statement, committed at once, and return its rows, if it gives any."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []
