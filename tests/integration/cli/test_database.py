"""Which database and which bot a command means."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from app.errors import FlotillaError, InputError
from app.store.embedded import EmbeddedPostgres
from app.store.errors import StoreError
from app.store.schema import SchemaMismatch
from tests.integration.cli.conftest import Flotilla, call

CONFIG = """
telegram: sandbox
bots:
  - {name: school, bot_name: schoolbot, folder: school, token_env: SCHOOL_TOKEN}
  - {name: other, folder: school, token_env: OTHER_TOKEN}
"""


def write_fleet(folder: Path) -> None:
    (folder / "bots_config.yaml").write_text(CONFIG)
    (folder / "scripts/school").mkdir(parents=True)
    (folder / "scripts/school/courses.yml").write_text("default: {path: a.yml}")
    (folder / "scripts/school/a.yml").write_text("a: {type: end}")


def banned(database_url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT botname, chat_id FROM bannedparticipants ORDER BY 2").fetchall()


def test_a_bot_is_called_by_its_name_in_the_config_or_in_the_database(
    flotilla: Flotilla, folder: Path, database_url: str
) -> None:
    write_fleet(folder)
    flotilla("ban", "school", "1")
    flotilla("ban", "schoolbot", "2")
    flotilla("ban", "other", "3")

    assert banned(database_url) == [("schoolbot", 1), ("schoolbot", 2), ("other", 3)]


def test_a_bot_that_the_config_does_not_have(flotilla: Flotilla, folder: Path, database_url: str) -> None:
    write_fleet(folder)
    with pytest.raises(FlotillaError) as caught:
        flotilla("ban", "scool", "1")
    assert (str(caught.value), caught.value.exit_code) == (
        "bots_config.yaml: there is no bot 'scool'; did you mean 'school'?",
        2,
    )
    with pytest.raises(FlotillaError) as caught:
        flotilla("ban", "zzz", "1")
    assert str(caught.value) == "bots_config.yaml: there is no bot 'zzz'; it has other, school"
    assert banned(database_url) == []


def test_a_config_that_is_named_has_to_be_there(flotilla: Flotilla) -> None:
    with pytest.raises(InputError, match=r"^nowhere\.yaml: "):
        flotilla("ban", "school", "1", "--config", "nowhere.yaml")


def test_without_a_config_the_bot_is_called_as_in_the_database(flotilla: Flotilla, database_url: str) -> None:
    flotilla("ban", "schoolbot", "1")
    assert banned(database_url) == [("schoolbot", 1)]


def test_the_database_of_the_env_file(folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    write_fleet(folder)
    (folder / ".env").write_text(f"DATABASE_URL={database_url}\n")
    monkeypatch.chdir("/")
    call("ban", "school", "1", "--config", str(folder / "bots_config.yaml"))

    assert banned(database_url) == [("schoolbot", 1)]


def test_no_database_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(FlotillaError) as caught:
        call("bans", "schoolbot")
    assert str(caught.value) == (
        "which database? there is no DATABASE_URL in the environment or in .env, and none in .flotilla; "
        "set DATABASE_URL, or start the fleet once, with `flotilla run` or in containers"
    )
    assert list(folder.iterdir()) == []


def test_an_engine_that_does_not_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    (folder / "compose.yaml").write_text("services: {}\n")
    with pytest.raises(FlotillaError, match=r"^which database\? .* in containers \(no Docker engine .*127\.0\.0\.1:1"):
        call("bans", "schoolbot")


def test_a_database_without_tables(folder: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    with pytest.raises(SchemaMismatch, match=r"has no tables of Flotilla; run `flotilla migrate`$"):
        call("bans", "schoolbot")


def test_a_database_that_is_away_and_its_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://bot:sekret@127.0.0.1:1/fleet")
    with pytest.raises(StoreError, match=r"^database 'fleet' at '127\.0\.0\.1' \(user 'bot'\)") as caught:
        call("bans", "schoolbot")
    assert "sekret" not in str(caught.value)


def test_the_embedded_database_at_rest_and_in_use(server_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second command finds it as ``flotilla run`` holds it; when the last user is gone, it is stopped."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(server_folder)
    embedded = server_folder / ".flotilla" / "postgres"
    with EmbeddedPostgres(embedded, durable=False):
        pass

    result = CliRunner().invoke(cli, ["ban", "schoolbot", "1"])
    assert (result.exit_code, result.stderr) == (0, "database  .flotilla/postgres\n")
    assert not (embedded / "postmaster.pid").exists()
    with EmbeddedPostgres(embedded, durable=False) as url:
        call("ban", "schoolbot", "2")
        assert banned(url) == [("schoolbot", 1), ("schoolbot", 2)]


def test_migrate_finds_the_database_in_the_environment_file(
    folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(FlotillaError, match=r"DATABASE_URL is not set, nor is it in \.env; set it to postgresql://"):
        call("migrate")
    (folder / ".env").write_text(f"DATABASE_URL={database_url}\n")
    assert call("migrate") == ["the database is up to date"]


def test_migrate_tells_what_it_would_do(empty_database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    would = json.loads("\n".join(call("migrate", "--dry-run", "--json")))
    assert would["migrations"][0] == {"migration": "0001_tables", "oldest_app": "0.1.0"}
    assert call("migrate", "--dry-run") == [f"would apply {one['migration']}" for one in would["migrations"]]
    assert call("migrate") == [f"applied {one['migration']}" for one in would["migrations"]]
    assert json.loads("\n".join(call("migrate", "--dry-run", "--json"))) == {"migrations": [], "dry_run": True}
