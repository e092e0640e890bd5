"""How a Compose project is called, and which Compose is new enough."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.deploy.project import ComposeError, Project, is_too_old


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.23.3", True), ("2.24.0", False), ("2.26.1-4", False), ("5.0.1", False), ("1.29.2", True), ("dev", False)],
)
def test_oldest_version(version: str, expected: bool) -> None:
    assert is_too_old(version) == expected


@pytest.mark.parametrize(
    ("folder", "name"), [("fleet", "fleet"), ("My Bots!", "mybots"), ("_fleet-2", "fleet-2"), (".fleet", "fleet")]
)
def test_a_project_is_called_as_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    (tmp_path / folder).mkdir()
    assert Project.of(tmp_path / folder / "bots_config.yaml", {}).name == name


def test_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "link").symlink_to("fleet")
    monkeypatch.chdir(tmp_path / "link")
    config = Path("bots_config.yaml")
    assert Project.of(config, {}).name == "fleet"
    assert Project.of(config, {"PWD": str(tmp_path / "link")}).name == "link"
    assert Project.of(config, {"PWD": "/"}).name == "fleet"
    assert Project.of(Path("..", "fleet", "bots_config.yaml"), {"PWD": str(tmp_path / "link")}).name == "fleet"


def test_a_name_of_its_own(tmp_path: Path) -> None:
    config = tmp_path / "bots_config.yaml"
    (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=from_file\n")
    assert Project.of(config, {}).name == "from_file"
    assert Project.of(config, {"COMPOSE_PROJECT_NAME": "given"}).name == "given"


def test_a_folder_without_a_name() -> None:
    with pytest.raises(ComposeError) as error:
        Project.of(Path(os.sep, "bots_config.yaml"), {})
    assert str(error.value) == "/ has no name that a Compose project could have; set COMPOSE_PROJECT_NAME"
