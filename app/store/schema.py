"""Which schema this program works on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import app
from app.config.version import version_key
from app.errors import EXIT_CONFIG
from app.store.errors import StoreError

_PACKAGED = Path(__file__).with_name("migrations")
_IN_CHECKOUT = Path(__file__).parents[2] / "db" / "migrations"

MIGRATIONS = _PACKAGED if _PACKAGED.is_dir() else _IN_CHECKOUT
"""The folder of the migration files: inside the installed package, or in the checkout."""


class SchemaMismatch(StoreError):
    """The schema of the database is missing, too old or too new for this program."""

    exit_code = EXIT_CONFIG


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """A migration that the database has; ``oldest_app`` is the oldest version of the program that works after it.

    ``migrated_by`` is the newest version that has found the schema complete up to here, if it is known.
    """

    migration_id: str
    oldest_app: str
    migrated_by: str | None = None


def known_migrations() -> list[str]:
    """Return the ids (file names without suffix) of the migrations this program brings, in order."""
    return sorted(path.stem for path in MIGRATIONS.glob("*.sql"))


def oldest_app_of(migration_id: str) -> str:
    """Return the oldest version of the program that works after this migration, as its file says."""
    text = (MIGRATIONS / f"{migration_id}.sql").read_text(encoding="utf-8")
    said = re.search(rf"'{re.escape(migration_id)}', '([^']+)'", text)
    assert said is not None, migration_id  # noqa: S101 - a test looks into every file
    return said[1]


def require_known(
    applied: Sequence[AppliedMigration], place: str, known: Iterable[str] | None = None, version: str = ""
) -> None:
    """Raise ``SchemaMismatch`` unless this program works on a database with these migrations.

    The text names the versions that do.
    """
    version = version or app.__version__
    wanted = set(known_migrations() if known is None else known)
    ours = {migration.migration_id for migration in applied} & wanted
    if not ours:
        raise SchemaMismatch(f"{place} has no tables of Flotilla; run `flotilla migrate`")
    newest = max((migration.migrated_by or "" for migration in applied), key=version_key)
    newer = [migration.oldest_app for migration in applied if migration.migration_id not in wanted]
    needed = max(newer, key=version_key, default=version)
    if version_key(needed) > version_key(version):
        remedy = f"use a version that works with it: {_range(needed, newest) or f'{needed} or newer'}"
        raise SchemaMismatch(f"{place} needs Flotilla {needed} or newer, and this is {version}; {remedy}")
    if missing := sorted(wanted - ours):
        oldest = max((migration.oldest_app for migration in applied), key=version_key)
        lacks = f"{place} lacks the migrations {', '.join(missing)} that Flotilla {version} needs"
        fitting = _range(oldest, newest)
        remedy = f"; or use a version that works with it as it is: {fitting}" if fitting else ""
        raise SchemaMismatch(f"{lacks}; run `flotilla migrate` of {version}{remedy}")


def _range(oldest: str, newest: str) -> str:
    """Name the versions from one to the other; nothing when the newest is not known."""
    if version_key(newest) < version_key(oldest):
        return ""
    return newest if version_key(newest) == version_key(oldest) else f"{oldest} to {newest}"
