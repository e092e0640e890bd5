"""What can go wrong with the database, told in terms that need no psycopg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from app.errors import FlotillaError

PROGRAM_LIMIT_EXCEEDED = "54"
"""Class of SQLSTATE codes: a value is too big. psycopg counts it as operational, but repeating does not help."""


class StoreError(FlotillaError):
    """The database refused a statement; repeating it does not help."""


class DataRefused(StoreError):
    """A value cannot be stored: a NUL character, half a surrogate pair, a number out of range, too long."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, restarts, is full, read-only or broke a deadlock: try again.

    A transaction that was under way was rolled back, unless the connection broke while it committed: then it may be
    written. What is tried again has to find out (``Loaded.fresh``).
    """


@contextmanager
def store_errors(place: str) -> Iterator[None]:
    """Turn errors of psycopg into ours; ``place`` names the database in their text."""
    try:
        yield
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise _translated(_first(error), place) from error


def _first(error: BaseException) -> BaseException:
    """Return what broke the pipeline when all that is left to see is that it broke."""
    while isinstance(error, errors.PipelineAborted) and error.__context__ is not None:
        error = error.__context__
    return error


def _translated(error: BaseException, place: str) -> StoreError:
    reason = reason_of(error)
    if isinstance(error, UnicodeEncodeError | psycopg.DataError) or _is_too_big(error):
        return DataRefused(f"{place} refused a value: {reason}")
    if _is_passing(error):
        return StoreUnavailable(f"{place} is unavailable: {reason}; try again")
    return StoreError(f"{place} refused a statement: {reason}; see the log of PostgreSQL")


def reason_of(error: BaseException) -> str:
    """Return what the server said, or else the first line of the client, which adds hints, without full stop."""
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return (said or (str(error).splitlines() or [""])[0].strip()).rstrip(".")


def _is_too_big(error: BaseException) -> bool:
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(PROGRAM_LIMIT_EXCEEDED)


def _is_passing(error: BaseException) -> bool:
    passing = (
        psycopg.OperationalError,
        psycopg.InterfaceError,
        errors.ReadOnlySqlTransaction,
        errors.IdleInTransactionSessionTimeout,
    )
    return isinstance(error, passing)
