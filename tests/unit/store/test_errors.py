"""How errors of psycopg become ours."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from app.store.errors import DataRefused, StoreError, StoreUnavailable, store_errors

PASSING = [
    psycopg.OperationalError("server closed the connection"),
    psycopg.InterfaceError("the connection is closed"),
    errors.AdminShutdown(),
    errors.CannotConnectNow(),
    errors.DiskFull(),
    errors.TooManyConnections(),
    errors.DeadlockDetected(),
    errors.SerializationFailure(),
    errors.ReadOnlySqlTransaction(),
    errors.IdleInTransactionSessionTimeout(),
]
REFUSED = [
    psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
    errors.UntranslatableCharacter(),
    errors.NumericValueOutOfRange(),
    errors.ProgramLimitExceeded(),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
]
WRONG = [errors.UndefinedTable(), errors.UniqueViolation(), errors.InsufficientPrivilege()]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *((error, StoreUnavailable) for error in PASSING),
        *((error, DataRefused) for error in REFUSED),
        *((error, StoreError) for error in WRONG),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_kinds(error: Exception, kind: type[StoreError]) -> None:
    assert type(translated(error)) is kind


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (psycopg.OperationalError("gone\n\tdown."), "database 'x' is unavailable: gone; try again"),
        (psycopg.DataError("no NUL"), "database 'x' refused a value: no NUL"),
        (
            psycopg.ProgrammingError("no table"),
            "database 'x' refused a statement: no table; see the log of PostgreSQL",
        ),
    ],
)
def test_texts(error: Exception, text: str) -> None:
    assert str(translated(error)) == text


def test_a_broken_pipeline_is_blamed_on_what_broke_it() -> None:
    aborted = errors.PipelineAborted("pipeline aborted")
    aborted.__context__ = psycopg.DataError("no NUL")

    assert type(translated(aborted)) is DataRefused


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), store_errors("database 'x'"):
        raise ZeroDivisionError


def translated(error: Exception) -> StoreError:
    with pytest.raises(StoreError) as caught, store_errors("database 'x'"):
        raise error
    return caught.value
