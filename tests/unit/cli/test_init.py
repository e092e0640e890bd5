"""``flotilla init`` in a folder."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values
from typer.testing import CliRunner

from app.cli.main import cli
from app.config.load import load_fleet
from app.errors import FlotillaError
from app.runtime.library import Library


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLOTILLA_COMMAND", raising=False)  # the launcher's, which has started these tests
    return tmp_path


def init(*arguments: str) -> list[str]:
    result = CliRunner().invoke(cli, ["init", *arguments])
    if isinstance(result.exception, FlotillaError):
        raise result.exception
    assert result.exit_code == 0
    return result.stdout.splitlines()


def test_an_empty_folder(folder: Path) -> None:
    assert init() == [
        "wrote scripts/hello/courses.yml",
        "wrote scripts/hello/hello.yml",
        "wrote bots_config.yaml",
        "wrote bots_config.schema.json",
        "wrote .env",
        "wrote .gitignore",
        "next: flotilla run",
    ]
    fleet = load_fleet(Path("bots_config.yaml"), {})
    assert [(bot.name, bot.folder, bot.token_env) for bot in fleet.bots] == [("hello", "hello/", "HELLO_TOKEN")]
    assert fleet.sandbox
    assert not fleet.warnings
    library = Library(fleet.scripts, "hello/")
    assert not library.problems
    assert list(library.courses.courses["default"].elements) == ["Hello_1", "Hello_2", "Hello_3"]


def test_secrets_are_new_and_for_the_owner_alone(folder: Path) -> None:
    init()
    first = dotenv_values(folder / ".env")
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert {name: len(value or "") for name, value in first.items()} == {
        "POSTGRES_PASSWORD": 48,
        "WEBHOOK_SECRET_TOKEN": 48,
        "GRAFANA_PASSWORD": 48,
    }
    (folder / ".env").unlink()
    init()
    assert set(first.values()).isdisjoint(dotenv_values(folder / ".env").values())


def test_nothing_is_overwritten(folder: Path) -> None:
    init()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert init() == [
        "kept  bots_config.yaml (it exists)",
        "kept  bots_config.schema.json (it exists)",
        "kept  .env (it exists)",
        "kept  .gitignore (it exists)",
        "next: flotilla run",
    ]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_courses_that_are_there_become_bots(folder: Path) -> None:
    for name in ("", "greek", "test.2", "not a name", "proxy"):
        (folder / "scripts" / name).mkdir(parents=True, exist_ok=True)
        (folder / "scripts" / name / "courses.yml").write_text("{}")
    init()
    fleet = load_fleet(Path("bots_config.yaml"), {})
    assert [(bot.name, bot.folder, bot.token_env) for bot in fleet.bots] == [
        ("bot", "", "BOT_API_TOKEN"),
        ("greek", "greek/", "GREEK_TOKEN"),
        ("test.2", "test.2/", "TEST_2_TOKEN"),
    ]


def test_another_place(folder: Path) -> None:
    (folder / "fleet").mkdir()
    assert init("--config", "fleet/my.yaml")[-1] == "next: flotilla run --config fleet/my.yaml"
    assert (folder / "fleet" / ".env").exists()


def test_a_place_that_does_not_exist(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(FlotillaError) as caught:
        init("--config", "file/my.yaml")
    assert str(caught.value) == "file/scripts/hello cannot be written: Not a directory"


@pytest.mark.parametrize("is_on_path", [True, False])
def test_the_next_command_is_called_as_this_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_on_path: bool
) -> None:
    """The launcher says how it was called; its path is needed unless the shell finds it by its name."""
    launcher = folder / "checkout" / "flotilla"
    launcher.parent.mkdir()
    launcher.touch(mode=0o755)
    monkeypatch.setenv("FLOTILLA_COMMAND", str(launcher))
    monkeypatch.setenv("PATH", str(launcher.parent if is_on_path else folder))
    assert init()[-1] == ("next: flotilla run" if is_on_path else f"next: {launcher} run")
