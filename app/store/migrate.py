"""Bring a database to the schema of this program."""

from __future__ import annotations

from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import Migration

import app
from app.config.version import version_key
from app.store.connection import parameters_of, place_of
from app.store.errors import store_errors
from app.store.schema import MIGRATIONS, known_migrations

MIGRATION_TABLE = "_yoyo_migration"

_MIGRATED_BY = "SELECT coalesce(migrated_by, '') FROM schema_version WHERE migration_id = %(migration_id)s"
_SET_MIGRATED_BY = "UPDATE schema_version SET migrated_by = %(version)s WHERE migration_id = %(migration_id)s"

_LOCK = "SELECT pg_advisory_lock(hashtextextended('flotilla migrate', 0))"


def migrate(database_url: str) -> list[str]:
    """Apply the migrations that the database lacks, each in a transaction; return their ids in order.

    Others that migrate at the same time wait. Raises ``StoreUnavailable`` or ``StoreError``.
    """
    place = place_of(database_url)
    with store_errors(place), _connect(database_url) as backend:
        # Held until the connection closes, also by a crash; yoyo's own lock outlives its holder.
        backend.execute(_LOCK)
        backend.create_lock_table()
        backend.break_lock()
        pending = backend.to_apply(read_migrations(str(MIGRATIONS)))
        backend.apply_migrations(pending)
        _leave_word(backend)
        return [migration.id for migration in pending]


def _leave_word(backend: _Backend) -> None:
    """Write down that the schema is complete for this version, for the texts of versions that it is wrong for."""
    newest = {"migration_id": known_migrations()[-1], "version": app.__version__}
    with backend.transaction():
        known = backend.execute(_MIGRATED_BY, newest).fetchone()
        if version_key(known[0] if known else "") < version_key(app.__version__):
            backend.execute(_SET_MIGRATED_BY, newest)


def _connect(database_url: str) -> _Backend:
    parameters = parameters_of(database_url)
    uri = DatabaseURI("postgresql", None, None, None, None, parameters.pop("dbname", None), parameters)
    return _Backend(uri, MIGRATION_TABLE)


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """yoyo's PostgreSQL without what its lock and log do badly."""

    create_lock_table_sql = PostgresqlPsycopgBackend.create_lock_table_sql.replace(
        "CREATE TABLE", "CREATE TABLE IF NOT EXISTS"
    )

    def log_migration(self, migration: Migration, operation: str) -> None:
        """Keep no log: in a container the user may have no name, and looking up the host's may take seconds."""
