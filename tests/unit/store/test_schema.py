"""Which schemas the program accepts."""

from __future__ import annotations

import pytest

from app.store.schema import AppliedMigration, SchemaMismatch, known_migrations, require_known

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


@pytest.mark.parametrize(
    ("applied", "text"),
    [
        ([], "database 'x' has no tables of Flotilla; run `flotilla migrate`"),
        ([FIRST], "database 'x' lacks the migrations 0002_jobs; run `flotilla migrate`"),
        (
            [FIRST, SECOND, AppliedMigration("0003", "1.9.0"), AppliedMigration("0004", "1.10.1")],
            "database 'x' needs Flotilla 1.10.1 or newer, and this is 1.10.0; use a newer version of the image",
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
