"""Which schema this program works on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app import __version__
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
    """A migration that the database has; ``oldest_app`` is the oldest version of the program that works after it."""

    migration_id: str
    oldest_app: str


def known_migrations() -> list[str]:
    """Return the ids (file names without suffix) of the migrations this program brings, in order."""
    return sorted(path.stem for path in MIGRATIONS.glob("*.sql"))


def require_known(
    applied: Sequence[AppliedMigration], place: str, known: Iterable[str] | None = None, app: str = __version__
) -> None:
    """Raise ``SchemaMismatch`` unless this program works on a database with these migrations."""
    wanted = set(known_migrations() if known is None else known)
    ours = {migration.migration_id for migration in applied} & wanted
    if not ours:
        raise SchemaMismatch(f"{place} has no tables of Flotilla; run `flotilla migrate`")
    if missing := sorted(wanted - ours):
        raise SchemaMismatch(f"{place} lacks the migrations {', '.join(missing)}; run `flotilla migrate`")
    newer = [migration.oldest_app for migration in applied if migration.migration_id not in wanted]
    needed = max(newer, key=_version, default=app)
    if _version(needed) > _version(app):
        text = f"needs Flotilla {needed} or newer, and this is {app}; use a newer version of the image"
        raise SchemaMismatch(f"{place} {text}")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
