"""``flotilla test`` on a small checkout of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.cli.test import run
from app.errors import FlotillaError

PYPROJECT = """
[tool.mypy]
packages = ["app"]
[tool.importlinter]
root_package = "app"
[[tool.importlinter.contracts]]
name = "a"
type = "independence"
modules = ["app"]
"""
MIXED = """\
import pytest


def test_good():
    assert True


def test_bad():
    raise AssertionError("this is why")


@pytest.fixture
def broken():
    raise OSError("no such thing")


def test_broken(broken):
    pass


@pytest.mark.parametrize("n", [1, 2])
def test_container(n):
    pytest.skip("containers: no Docker engine answers")
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    for name, text in {"app/__init__.py": "", "tests/test_it.py": "def test_good():\n    assert True\n"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    return tmp_path


def lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Return what was printed, without durations."""
    return re.sub(r" \(\d+\.\d s\)", "", capfd.readouterr().out).splitlines()


def test_all_is_well(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(checkout, [])
    printed = lines(capfd)
    assert printed[:4] == ["lint    ok", "format  ok", "types   ok", "imports ok"]
    assert printed[-1] == "1 passed, 0 failed"


def test_failures_errors_and_skips_are_counted_with_their_reasons(
    checkout: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (checkout / "tests/test_it.py").write_text(MIXED)
    assert not run(checkout, ["-q"])
    printed = lines(capfd)
    assert "E       AssertionError: this is why" in printed
    assert printed[-2:] == ["skipped 2: containers: no Docker engine answers", "1 passed, 2 failed, 2 skipped"]


def test_a_failed_check_fails_the_run_and_shows_why(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (checkout / "app/__init__.py").write_text("import os\nx: int = 'a'\n")
    assert not run(checkout, ["-q"])
    printed = lines(capfd)
    assert any(line.startswith("F401 ") for line in printed)
    assert any(line.startswith("app/__init__.py:2: error: Incompatible types") for line in printed)
    assert printed[-2:] == ["failed before the tests: lint, format, types", "1 passed, 0 failed"]


def test_arguments_choose_tests(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (checkout / "tests/test_it.py").write_text(MIXED)
    assert run(checkout, ["-q", "-k", "good"])
    assert lines(capfd)[-1] == "1 passed, 0 failed"


@pytest.mark.parametrize("arguments", [["-k", "nothing"], ["--no-such-option"]])
def test_no_test_is_a_failure(checkout: Path, capfd: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert not run(checkout, arguments)
    assert lines(capfd)[-1] == "0 passed, 0 failed"


def test_an_installed_package_says_where_the_tests_are(tmp_path: Path) -> None:
    with pytest.raises(FlotillaError) as caught:
        run(tmp_path, [])
    remedy = "they are not installed; run ./flotilla test in a checkout"
    assert str(caught.value) == f"no tests in {str(tmp_path)!r}: {remedy}"
