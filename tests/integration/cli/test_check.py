"""``flotilla check`` as people and scripts call it."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli.conftest import LinkServer

ROOT = Path(__file__).parents[3]
GOOD = "a: {type: message, text: hi, button: go}\nb: {type: end}\n"
ODD = "a: {type: message, text: hi, button: ok, buton: x}\n"
UNLISTED = "is in no list of courses; add it to courses.yml if learners should get it"
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
            f"hint: scripts/school/d.yml: {UNLISTED}",
            "1 bot, 2 courses, 3 elements: 1 error, 1 warning, 1 hint",
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
            },
            {
                "file": "b.yml",
                "line": 0,
                "column": 0,
                "where": "",
                "text": "is in no list of courses",
                "remedy": "add it to courses.yml if learners should get it",
                "severity": "hint",
            },
        ],
        "unlisted": ["b.yml"],
        "bots": 0,
        "courses": {},
        "links": None,
        "walks": None,
        "errors": 1,
        "warnings": 0,
        "hints": 1,
    }


def test_annotations_for_github(tmp_path: Path) -> None:
    write(tmp_path, {"courses.yml": "default: {path: 'a,b.yml'}", "a,b.yml": "a: {type: 100%}\n"})
    code, lines = check(tmp_path, "--scripts", ".", "--format", "github")
    assert code == 78
    assert lines[0].startswith(
        "::error file=a%2Cb.yml,line=1,col=5::a,b.yml:1:5: a/type: unknown element type '100%25'"
    )


def test_hints_are_notices_for_github(tmp_path: Path) -> None:
    write(tmp_path, {"courses.yml": LIST, "a.yml": GOOD, "b.yml": GOOD})
    code, lines = check(tmp_path, "--scripts", ".", "--format", "github")
    assert (code, lines[0]) == (0, f"::notice file=b.yml::b.yml: {UNLISTED}")


def test_files_that_no_list_names(tmp_path: Path) -> None:
    """What would keep one from running is a warning; a file that is no course at all is only named."""
    write(
        tmp_path,
        {
            "courses.yml": LIST,
            "a.yml": GOOD,
            "b.yml": "a: {type: mesage}\nb: {type: end}",
            "c.yml": "x: 1",
            "d.yml": "[",
        },
    )
    code, lines = check(tmp_path, "--scripts", ".")
    assert (code, lines[:-1]) == (
        0,
        [
            f"hint: b.yml: {UNLISTED}",
            "warning: b.yml:1:5: a/type: unknown element type 'mesage'; did you mean 'message'?",
            f"hint: c.yml: {UNLISTED}",
            f"hint: d.yml: {UNLISTED}",
            "warning: d.yml:2:1: is not valid YAML: while parsing a flow node on line 2: did not find "
            "expected node content",
        ],
    )


STRAYED = """
a: {type: message, text: hi, button: go}
b: {type: end}
c: {type: message, text: nobody comes here}
d: {type: delay, wait: 1d, goto: d}
"""


def test_what_nothing_leads_to(tmp_path: Path) -> None:
    write(tmp_path, {"courses.yml": LIST, "a.yml": STRAYED})
    code, lines = check(tmp_path, "--scripts", ".")
    assert (code, lines) == (
        0,
        [
            "warning: a.yml:4:1: c: nothing leads here, nor to the one after it; name it in a 'goto', or remove it",
            "warning: a.yml:5:1: d: goes round for ever without the learner, every 1d: 'd' -> 'd'; "
            "lead the 'goto' out of the circle, or give one of its elements a button",
            "1 course, 4 elements: no errors, 2 warnings",
        ],
    )


def test_an_entry_may_begin_where_nothing_leads(tmp_path: Path) -> None:
    write(tmp_path, {"courses.yml": LIST + "\nb: {path: a.yml, element: c}", "a.yml": STRAYED})
    assert [line.split(": ")[2] for line in check(tmp_path, "--scripts", ".")[1][:-1]] == ["d"]


def test_stop_markers_are_those_of_the_bot(tmp_path: Path) -> None:
    dialog = "a: {type: dialog, text: hi, prompt: 'Talk, then say BYE.'}\n"
    files = {"scripts/school/courses.yml": LIST, "scripts/school/a.yml": dialog}
    write(
        tmp_path,
        {**files, "bots_config.yaml": CONFIG + "dialog: {base_url: 'http://localhost:1', stop_markers: [BYE]}\n"},
    )
    assert check(tmp_path) == (0, ["1 bot, 1 course, 1 element: no errors, no warnings"])
    write(tmp_path, {"bots_config.yaml": CONFIG})
    code, lines = check(tmp_path)
    assert (code, lines[0]) == (
        0,
        "warning: scripts/school/a.yml:1:37: a/prompt: does not ask the model for {STOP}, so the dialog does not end "
        "by itself; tell the model when to write {STOP}; until then learners leave by a button",
    )


def test_a_robot_walks(tmp_path: Path) -> None:
    write(tmp_path, {"courses.yml": LIST, "a.yml": GOOD, "sub/courses.yml": LIST, "sub/a.yml": GOOD})
    code, lines = check(tmp_path, "--scripts", ".", "--walks", "20", "--seed", "7")
    assert code == 0
    assert re.fullmatch(r"40 walks with seed 7, \d+ steps: came to 4 of 4 elements", lines[0])
    assert lines[1:] == ["2 courses, 4 elements: no errors, no warnings"]
    assert check(tmp_path, "--scripts", ".", "--walks", "20", "--seed", "7") == (code, lines)


def test_walks_of_one_file_from_each_of_its_starts(tmp_path: Path) -> None:
    courses = LIST + "\nsame: {path: a.yml}\nb: {path: a.yml, element: b}"
    write(tmp_path, {"courses.yml": courses, "a.yml": GOOD})
    found = json.loads("\n".join(check(tmp_path, "--scripts", ".", "--walk", "--walks", "3", "--json")[1]))
    assert (found["walks"]["count"], found["walks"]["elements"]) == (6, 2)


async def test_links_are_fetched(tmp_path: Path, links: LinkServer) -> None:
    course = f"""
a: {{type: message, text: hi, media: [{links.url}/cat.jpg, {links.url}/gone.jpg]}}
b: {{type: audio, media: "{links.url}/cat.jpg"}}
"""
    write(tmp_path, {"courses.yml": LIST, "a.yml": course})
    code, lines = await asyncio.to_thread(check, tmp_path, "--scripts", ".", "--online")
    column = len(course.splitlines()[1].split("gone")[0]) - len(f"{links.url}/") + 1
    assert (code, lines) == (
        0,
        [
            f"warning: a.yml:2:{column}: a/media/2: '{links.url}/gone.jpg' answers with 404 Not Found; "
            "use the link that opens the file itself, without a login",
            f"warning: a.yml:3:25: b/media/1: '{links.url}/cat.jpg' is image/jpeg, not an audio file; "
            "use the link of an audio file",
            "2 links fetched",
            "1 course, 2 elements: no errors, 2 warnings",
        ],
    )
