"""Which schemas the program accepts."""

from __future__ import annotations

import pytest

import app
from app.config.version import version_key
from app.store.schema import (
    AppliedMigration,
    SchemaMismatch,
    known_migrations,
    oldest_app_of,
    require_known,
)

KNOWN = ["0001_tables", "0002_jobs"]
FIRST, SECOND = AppliedMigration("0001_tables", "0.1.0"), AppliedMigration("0002_jobs", "0.1.0")


@pytest.mark.parametrize(
    "applied",
    [
        [FIRST, SECOND],
        [SECOND, FIRST],
        [FIRST, SECOND, AppliedMigration("0003", "1.2.0")],
        [FIRST, SECOND, AppliedMigration("0003", "1.9"), AppliedMigration("0004", "1.10.0")],
        [AppliedMigration("0001_tables", "99.0"), SECOND],
    ],
)
def test_accepted(applied: list[AppliedMigration]) -> None:
    require_known(applied, "database 'x'", KNOWN, "1.10.0rc1")


LATER = AppliedMigration("0003", "1.9.0"), AppliedMigration("0004", "1.10.1")


@pytest.mark.parametrize(
    ("applied", "text"),
    [
        ([], "database 'x' has no tables of Flotilla; run `flotilla migrate`"),
        (
            [FIRST],
            "database 'x' lacks the migrations 0002_jobs that Flotilla 1.10.0 needs; run `flotilla migrate` of 1.10.0",
        ),
        (
            [AppliedMigration("0001_tables", "0.1.0", "1.8.2")],
            "database 'x' lacks the migrations 0002_jobs that Flotilla 1.10.0 needs; run `flotilla migrate` of 1.10.0; "
            "or use a version that works with it as it is: 0.1.0 to 1.8.2",
        ),
        (
            [FIRST, SECOND, *LATER],
            "database 'x' needs Flotilla 1.10.1 or newer, and this is 1.10.0; "
            "use a version that works with it: 1.10.1 or newer",
        ),
        (
            [FIRST, SECOND, *LATER, AppliedMigration("0005", "1.9.0", "2.1.0")],
            "database 'x' needs Flotilla 1.10.1 or newer, and this is 1.10.0; "
            "use a version that works with it: 1.10.1 to 2.1.0",
        ),
        (
            [FIRST, SECOND, AppliedMigration("0005", "2.1.0", "2.1.0")],
            "database 'x' needs Flotilla 2.1.0 or newer, and this is 1.10.0; use a version that works with it: 2.1.0",
        ),
    ],
)
def test_refused(applied: list[AppliedMigration], text: str) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        require_known(applied, "database 'x'", KNOWN, "1.10.0")
    assert str(caught.value) == text
    assert caught.value.exit_code == 78


def test_the_migrations_of_this_program_are_found() -> None:
    assert known_migrations()[0] == "0001_tables"


@pytest.mark.parametrize("migration", known_migrations())
def test_every_migration_says_how_old_a_program_may_be(migration: str) -> None:
    assert version_key("0.1.0") <= version_key(oldest_app_of(migration)) <= version_key(app.__version__)
