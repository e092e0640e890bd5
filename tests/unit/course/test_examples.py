"""What the project shows to authors loads without a single warning."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli.main import cli
from app.config.load import load_fleet
from app.config.options import Options
from app.course.course import Course
from app.course.grammar import TYPES
from app.course.loader import ENTRY_KEYS, LIST_FILE, load_course, load_list
from app.course.prompt import render
from app.course.proof import prove
from app.dialog.history import value_of
from app.errors import Problem
from app.runtime.library import Library, read_text
from app.runtime.robot import Robot
from app.texts import texts_for

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "scripts"
GUIDE = (ROOT / "docs/courses.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = sorted(set(re.findall(r"^\$ \./flotilla (.*?)(?:\s+#.*)?$", GUIDE, re.MULTILINE)))
OLD_KEYS = {
    "delay": {"continue", "yes_text", "no_text"},
    "dialog": {"reasoning_effort"},
    "miniapp": {"app_url"},
    "multi_choice": {"mark", "button"},
}
"""What is understood in courses of the old program, and what only a page of one's own needs."""
SHARED_KEYS = {"parse_mode", "link_preview"}
"""Explained once, and the same everywhere."""
LANGUAGES = {"lighthouse/night.yml": "en", "school/knots.yml": "en"}
"""The others are in Russian."""
FOLDERS = sorted(path.parent.name for path in SCRIPTS.glob(f"*/{LIST_FILE}"))


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0] for block in BLOCKS])
def test_an_example_of_the_guide_loads(block: str, tmp_path: Path) -> None:
    if block.startswith("# bots_config.yaml\n"):
        (tmp_path / "bots_config.yaml").write_text(block)
        assert load_fleet(tmp_path / "bots_config.yaml", {}, SCRIPTS, need_secrets=False).warnings == ()
        return
    load = load_list if f"/{LIST_FILE}\n" in block else load_course
    _, problems = load(block, "docs/courses.md")
    assert problems == list[Problem]()


def test_the_guide_shows_every_element() -> None:
    shown = set(re.findall(r"^  type: (\w+)", "\n".join(BLOCKS), re.MULTILINE))
    assert shown == set(TYPES)


@pytest.mark.parametrize("kind", TYPES)
def test_the_guide_explains_every_key(kind: str) -> None:
    part = re.split(rf"^### {kind}\n", GUIDE, flags=re.MULTILINE)[1]
    part = re.split(r"^##", part, flags=re.MULTILINE)[0]
    wanted = set(TYPES[kind].keys) - SHARED_KEYS - OLD_KEYS.get(kind, set()) - {"type"}
    assert [key for key in sorted(wanted) if not re.search(rf"(`|, `|^  ){key}[`:/]", part, re.MULTILINE)] == []


def test_the_guide_explains_every_key_of_a_list() -> None:
    assert [key for key in ENTRY_KEYS if not re.search(rf"^\| .*`{key}`.* \|", GUIDE, re.MULTILINE)] == []


@dataclass(frozen=True)
class Row:
    """A row of the transcript of a dialog."""

    role: str
    report: str | None
    json: str | None


def said(role: str, text: str) -> Row:
    return Row(role, text, json.dumps({"content": text}))


OPENING = Row("bot", "T", json.dumps({"element_data": {"type": "dialog", "text": "T"}}))
CONVERSATION = [OPENING, said("user", "u1"), said("bot", "a1"), said("user", "u2"), said("bot", "a2")]


@pytest.mark.parametrize(
    ("names", "result"), re.findall(r"^\| (`{{.*}}`.*) \| ((?:[Tua]\d? ?)+) \|$", GUIDE, re.MULTILINE)
)
def test_the_variables_of_the_guide_stand_for_what_it_says(names: str, result: str) -> None:
    for prompt in re.findall(r"`(.*?)`", names):
        text = render(prompt, lambda variable: value_of(variable, CONVERSATION) or "")
        assert re.sub(r"### \w+:\n", "", text).split("\n\n") == result.split()


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_guide_exists(line: str) -> None:
    """Its words are parsed as the command would; only what they do is left out."""
    command: Any = typer.main.get_command(cli)
    words = shlex.split(line)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    with command.make_context(command.name, words):
        pass


def test_every_command_that_the_guide_mentions_exists() -> None:
    known = set(typer.main.get_command(cli).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"flotilla ([a-z]+)", GUIDE)) <= known


def courses(folder: str) -> Iterator[Course]:
    yield from {course.source: course for course in Library(SCRIPTS, folder).courses.courses.values()}.values()


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_bot_has_no_problems(folder: str) -> None:
    library = Library(SCRIPTS, folder)
    assert library.problems == []
    assert set(library.courses.entries) == set(library.courses.courses)


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_in_an_example_surprises(folder: str) -> None:
    """Neither unreachable elements, nor dead ends, nor anything else that ``flotilla check`` tells authors."""
    found: list[Problem] = []
    listed = Library(SCRIPTS, folder).courses
    for course_id, course in listed.courses.items():
        start = listed.entries[course_id].element
        found += prove(course, read_text(SCRIPTS, course.source), [start] if start else [])
    assert found == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_nobody_gets_stuck_in_an_example(folder: str) -> None:
    listed = Library(SCRIPTS, folder).courses
    for options in (Options(), Options(app_url="https://example.org/app/")):
        robot = Robot(listed, texts_for("en"), options)
        failures = [robot.walk(course_id, seed).failure for course_id in listed.courses for seed in range(20)]
        assert set(failures) == {None}


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_element_is_shown_in_both_languages(language: str) -> None:
    shown = {
        str(element.body["type"])
        for folder in FOLDERS
        for course in courses(folder)
        for element in course.elements.values()
        if LANGUAGES.get(course.source.removeprefix("scripts/"), "ru") == language
    }
    assert shown == set(TYPES)


@pytest.mark.parametrize("kind", TYPES)
def test_the_example_courses_use_every_key(kind: str) -> None:
    used = {
        key
        for folder in FOLDERS
        for course in courses(folder)
        for element in course.elements.values()
        if element.body["type"] == kind
        for key in element.body
    }
    assert set(TYPES[kind].keys) - SHARED_KEYS - used - OLD_KEYS.get(kind, set()) == set()


def test_the_example_lists_use_every_key() -> None:
    text = "\n".join((SCRIPTS / folder / LIST_FILE).read_text(encoding="utf-8") for folder in FOLDERS)
    assert [key for key in ENTRY_KEYS if not re.search(rf"^  {key}:", text, re.MULTILINE)] == ["token"]
