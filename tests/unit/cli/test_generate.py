"""``flotilla generate`` on a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.main import cli
from app.config.load import load_fleet
from app.config.schema import schema
from app.deploy.compose import compose
from app.errors import FlotillaError

CONFIG = "telegram: sandbox\nbots:\n  - name: a\n    folder: test\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scripts" / "test").mkdir(parents=True)
    (tmp_path / "scripts" / "test" / "courses.yml").write_text("{}")
    (tmp_path / "bots_config.yaml").write_text(CONFIG)
    return tmp_path


def generate(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["generate", *arguments])
    if isinstance(result.exception, FlotillaError):
        raise result.exception
    return result


def expected() -> str:
    return compose(load_fleet(Path("bots_config.yaml"), {}, need_secrets=False))


def test_it_writes_the_file_and_says_so(folder: Path) -> None:
    result = generate()
    assert (result.exit_code, result.stdout) == (0, "wrote compose.yaml\n")
    assert (folder / "compose.yaml").read_text() == expected()
    assert sorted(path.name for path in folder.iterdir()) == ["bots_config.yaml", "compose.yaml", "scripts"]


def test_it_names_the_variables_that_are_still_missing(folder: Path) -> None:
    (folder / "bots_config.yaml").write_text("bots: [{name: a, folder: test, token_env: A_TOKEN}]\n")
    (folder / ".env").write_text("POSTGRES_PASSWORD=p\n")
    result = generate()
    assert (result.exit_code, result.stderr) == (0, "warning: before you start, put A_TOKEN into .env\n")


def test_a_current_file_is_left_alone(folder: Path) -> None:
    generate()
    before = (folder / "compose.yaml").stat()
    result = generate()
    assert (result.exit_code, result.stdout) == (0, "compose.yaml is up to date\n")
    assert (folder / "compose.yaml").stat().st_ino == before.st_ino


def test_another_config_and_output(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "scripts").rename(folder / "other" / "scripts")
    (folder / "bots_config.yaml").rename(folder / "other" / "fleet.yaml")
    assert generate("--config", "other/fleet.yaml").stdout == "wrote other/compose.yaml\n"
    assert generate("--config", "other/fleet.yaml", "--output", "my.yaml").stdout == "wrote my.yaml\n"
    assert (folder / "my.yaml").read_text() == (folder / "other" / "compose.yaml").read_text()


def test_check_of_a_current_file(folder: Path) -> None:
    generate()
    result = generate("--check")
    assert (result.exit_code, result.output) == (0, "compose.yaml is up to date\n")


def test_check_shows_the_difference_and_fails(folder: Path) -> None:
    generate()
    (folder / "bots_config.yaml").write_text(CONFIG + "    memory: 300m\n")
    before = (folder / "compose.yaml").read_text()
    result = generate("--check")
    assert result.exit_code == 1
    assert result.stdout.startswith("--- compose.yaml\n+++ compose.yaml (generated)\n@@ ")
    assert "\n+    mem_limit: 300m\n" in result.stdout
    assert result.stderr == "compose.yaml is not what bots_config.yaml says; run 'flotilla generate'\n"
    assert (folder / "compose.yaml").read_text() == before


def test_check_without_a_file(folder: Path) -> None:
    assert generate("--check").exit_code == 1
    assert not (folder / "compose.yaml").exists()


def test_dry_run_shows_the_difference_and_writes_nothing(folder: Path) -> None:
    result = generate("--dry-run")
    assert result.exit_code == 0
    assert "\n+services:\n" in result.stdout
    assert not (folder / "compose.yaml").exists()


def test_the_schema(folder: Path) -> None:
    assert generate("--target", "schema").stdout == "wrote bots_config.schema.json\n"
    assert (folder / "bots_config.schema.json").read_text() == schema()


@pytest.mark.parametrize("target", ["swarm", "kubernetes"])
def test_targets_of_later_versions(folder: Path, target: str) -> None:
    with pytest.raises(FlotillaError) as caught:
        generate("--target", target)
    assert (str(caught.value), caught.value.exit_code) == (
        f"target {target!r} is not supported yet; use 'compose'",
        2,
    )


def test_a_wrong_config_writes_nothing(folder: Path) -> None:
    (folder / "bots_config.yaml").write_text(CONFIG + "    mood: good\n")
    with pytest.raises(FlotillaError) as caught:
        generate()
    assert str(caught.value) == "bots_config.yaml:5: bots/a/mood: unknown key 'mood'; did you mean 'mode'?"
    assert not (folder / "compose.yaml").exists()


def test_an_output_that_cannot_be_written(folder: Path) -> None:
    with pytest.raises(FlotillaError) as caught:
        generate("--output", "nowhere/compose.yaml")
    assert str(caught.value) == "nowhere/compose.yaml cannot be written: No such file or directory"


def test_an_output_that_is_a_folder(folder: Path) -> None:
    with pytest.raises(FlotillaError) as caught:
        generate("--output", "scripts")
    assert str(caught.value) == "scripts cannot be read: Is a directory"


def test_units_have_a_folder_of_their_own(folder: Path) -> None:
    result = generate("--target", "systemd")
    names = ["flotilla.target", "flotilla-migrate.service", "flotilla-sandbox.service", "flotilla-a.service"]
    assert result.stdout.splitlines() == [f"wrote systemd/{name}" for name in names]
    assert result.stderr == "warning: before you start, put DATABASE_URL into .env\n"
    assert f"WorkingDirectory={folder.resolve()}\n" in (folder / "systemd" / "flotilla-a.service").read_text()
    assert generate("--target", "systemd", "--check").stdout.count("is up to date") == 4


def test_the_unit_of_a_bot_that_is_gone_is_removed(folder: Path) -> None:
    generate("--target", "systemd")
    (folder / "systemd" / "flotilla-mine.service").write_text("[Service]\n")
    (folder / "bots_config.yaml").write_text(CONFIG.replace("name: a", "name: b"))
    assert generate("--target", "systemd", "--check").exit_code == 1
    assert generate("--target", "systemd").stdout.splitlines() == [
        "wrote systemd/flotilla.target",
        "wrote systemd/flotilla-b.service",
        "removed systemd/flotilla-a.service",
    ]
    assert (folder / "systemd" / "flotilla-mine.service").exists()


def test_lines_that_systemd_reads_otherwise_are_told(folder: Path) -> None:
    (folder / ".env").write_text("DATABASE_URL=postgresql://a\nexport X=1\n")
    assert generate("--target", "systemd", "--output", "units").stderr == (
        "warning: .env:2: systemd reads this line otherwise; "
        "write NAME=value, without 'export', and comments in lines of their own\n"
    )


def test_a_file_for_supervisord(folder: Path) -> None:
    assert generate("--target", "supervisor").stdout == "wrote supervisord.conf\n"
    assert (folder / ".flotilla" / "supervisor").is_dir()
    assert generate("--target", "supervisor", "--check").exit_code == 0


@pytest.mark.parametrize("option", ["--check", "--dry-run"])
def test_a_look_at_a_current_file_makes_no_folder(folder: Path, option: str) -> None:
    generate("--target", "supervisor")
    (folder / ".flotilla" / "supervisor").rmdir()
    assert generate("--target", "supervisor", option).exit_code == 0
    assert not (folder / ".flotilla" / "supervisor").exists()
