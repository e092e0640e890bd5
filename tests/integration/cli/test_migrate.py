"""``flotilla migrate`` as a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def migrate(folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "app.cli.main", "migrate"]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


def test_the_database_may_stand_in_the_env_file(empty_database_url: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL='{empty_database_url}'\n")
    first, second = migrate(tmp_path), migrate(tmp_path)
    assert (first.returncode, first.stdout.splitlines()[0]) == (0, "applied 0001_tables")
    assert (second.returncode, second.stdout) == (0, "the database is up to date\n")


def test_without_a_database_it_says_what_to_set(tmp_path: Path) -> None:
    refused = migrate(tmp_path)
    said = "DATABASE_URL is not set; set it, here or in .env, to postgresql://user:password@host/database\n"
    assert (refused.returncode, refused.stderr) == (1, said)
