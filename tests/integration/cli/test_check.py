"""``flotilla check`` as people and scripts call it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GOOD = "a: {type: message, text: hi, button: go}\nb: {type: end}\n"
ODD = "a: {type: message, text: hi, button: ok, buton: x}\n"
LIST = "default: {path: a.yml}"
CONFIG = "telegram: sandbox\nbots:\n  - {name: school, folder: school, token_env: SCHOOL_TOKEN}\n"


def check(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """Run the command in ``folder``; return its exit code and the lines it prints."""
    command = [sys.executable, "-m", "app.cli.main", "check", *arguments]
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_the_example_fleet_is_clean() -> None:
    code, lines = check(ROOT)
    assert (code, lines[-1].split(": ")[1]) == (0, "no errors, no warnings")
    assert lines[-1].startswith("3 bots, ")


def test_a_fleet_with_everything(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "bots_config.yaml": CONFIG,
            "scripts/school/courses.yml": "default: {path: a.yml}\nb: {path: b.yml}\nc: {path: c.yml}",
            "scripts/school/a.yml": GOOD,
            "scripts/school/b.yml": ODD,
            "scripts/school/c.yml": "a: {type: mesage}",
            "scripts/school/d.yml": GOOD,
        },
    )
    assert check(tmp_path) == (
        78,
        [
            "warning: scripts/school/b.yml:1:42: a/buton: unknown key; did you mean 'button'?",
            "error: scripts/school/c.yml:1:5: a/type: unknown element type 'mesage'; did you mean 'message'?",
            "hint: scripts/school/d.yml: is in no list of courses",
            "1 bot, 2 courses, 3 elements: 1 error, 1 warning",
        ],
    )


def test_warnings_are_no_failure(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "bots_config.yaml": CONFIG,
            "scripts/school/courses.yml": LIST,
            "scripts/school/a.yml": ODD,
        },
    )
    code, lines = check(tmp_path)
    assert (code, lines[-1]) == (0, "1 bot, 1 course, 1 element: no errors, 1 warning")


def test_a_broken_config_does_not_hide_broken_courses(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "bots_config.yaml": CONFIG.replace("folder", "foldr"),
            "scripts/school/courses.yml": LIST,
            "scripts/school/a.yml": "a: [",
        },
    )
    code, lines = check(tmp_path)
    assert code == 78
    named = {line.split(":")[1].strip() for line in lines if line.startswith("error")}
    assert named == {"bots_config.yaml", "scripts/school/a.yml"}


def test_config_and_scripts_can_be_elsewhere(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"fleet.yaml": CONFIG, "texts/school/courses.yml": LIST, "texts/school/a.yml": GOOD},
    )
    code, lines = check(tmp_path, "--config", "fleet.yaml", "--scripts", "texts")
    assert (code, lines) == (0, ["1 bot, 1 course, 2 elements: no errors, no warnings"])


def test_a_folder_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "old/courses.yml": "default: {path: scripts/a.yml}",
            "old/a.yml": ODD,
            "old/sub/courses.yml": "default: {path: b.yml}",
            "old/sub/b.yml": GOOD,
            "old/sub/deeper/c.yml": "a: [",
        },
    )
    assert check(tmp_path, "--scripts", "old") == (
        0,
        [
            "warning: old/a.yml:1:42: a/buton: unknown key; did you mean 'button'?",
            "2 courses, 3 elements: no errors, 1 warning",
        ],
    )


def test_a_folder_without_a_list(tmp_path: Path) -> None:
    write(tmp_path, {"a.yml": GOOD, "b.yaml": "a: [", "readme.md": "x"})
    code, lines = check(tmp_path, "--scripts", ".")
    assert code == 78
    assert [line.split(": ")[1] for line in lines[:-1]] == ["b.yaml:2:1"]
    assert lines[-1] == "1 course, 2 elements: 1 error, no warnings"


@pytest.mark.parametrize(
    ("folder", "problem"),
    [("empty", "has no courses.yml and no course files"), ("nowhere", "is not a folder")],
)
def test_a_folder_with_nothing_in_it(tmp_path: Path, folder: str, problem: str) -> None:
    (tmp_path / "empty").mkdir()
    assert check(tmp_path, "--scripts", folder) == (
        78,
        [
            f"error: {folder}: {problem}; name the folder with courses.yml",
            "no courses, no elements: 1 error, no warnings",
        ],
    )


def test_json(tmp_path: Path) -> None:
    write(tmp_path, {"courses.yml": LIST, "a.yml": "a: {type: mesage}", "b.yml": GOOD})
    code, lines = check(tmp_path, "--scripts", ".", "--json")
    assert code == 78
    assert json.loads("\n".join(lines)) == {
        "problems": [
            {
                "file": "a.yml",
                "line": 1,
                "column": 5,
                "where": "a/type",
                "text": "unknown element type 'mesage'",
                "remedy": "did you mean 'message'?",
                "severity": "error",
            }
        ],
        "unlisted": ["b.yml"],
        "bots": 0,
        "courses": {},
        "errors": 1,
        "warnings": 0,
    }


def test_annotations_for_github(tmp_path: Path) -> None:
    write(tmp_path, {"courses.yml": "default: {path: 'a,b.yml'}", "a,b.yml": "a: {type: 100%}\n"})
    code, lines = check(tmp_path, "--scripts", ".", "--format", "github")
    assert code == 78
    assert lines[0].startswith(
        "::error file=a%2Cb.yml,line=1,col=5::a,b.yml:1:5: a/type: unknown element type '100%25'"
    )
