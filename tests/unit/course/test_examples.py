"""What the project shows to authors loads without a single warning."""

import re
from pathlib import Path

import pytest

from app.course.grammar import TYPES
from app.course.loader import LIST_FILE, load_course, load_list
from app.errors import Problem
from app.runtime.library import Library

ROOT = Path(__file__).parents[3]
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/courses.md").read_text(encoding="utf-8"), re.DOTALL)
LATER = {"dialog", "miniapp"}
FOLDERS = sorted(path.parent.name for path in ROOT.glob(f"scripts/*/{LIST_FILE}"))


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0] for block in BLOCKS])
def test_an_example_of_the_guide_loads(block: str) -> None:
    load = load_list if f"/{LIST_FILE}\n" in block else load_course
    _, problems = load(block, "docs/courses.md")
    assert problems == list[Problem]()


def test_the_guide_shows_every_element() -> None:
    shown = set(re.findall(r"^  type: (\w+)", "\n".join(BLOCKS), re.MULTILINE))
    assert shown == set(TYPES) - LATER


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_bot_has_no_problems(folder: str) -> None:
    library = Library(ROOT / "scripts", folder)
    assert library.problems == []
    assert set(library.courses.entries) == set(library.courses.courses)


def test_the_example_fleet_uses_every_element_and_key() -> None:
    used: dict[str, set[str]] = {}
    for folder in FOLDERS:
        for course in Library(ROOT / "scripts", folder).courses.courses.values():
            for element in course.elements.values():
                used.setdefault(str(element.body["type"]), set()).update(element.body)
    assert set(used) == set(TYPES) - LATER
    assert used["message"] == set(TYPES["message"].keys)
    assert used["quiz"] == set(TYPES["quiz"].keys)
    assert used["input"] == set(TYPES["input"].keys)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_element_of_an_example_is_reached(folder: str) -> None:
    """Follow every button from every start of a file; no element may be out of reach, no path without an end."""
    library = Library(ROOT / "scripts", folder)
    by_file: dict[str, set[str]] = {}
    for course_id, course in library.courses.courses.items():
        start = library.courses.start_of(course_id)
        assert start is not None
        reached, ahead = by_file.setdefault(course.source, set()), [start.id]
        while ahead:
            element = course.elements[ahead.pop()]
            if element.id in reached:
                continue
            reached.add(element.id)
            targets = [choice.goto for choice in getattr(element, "choices", ())] or [getattr(element, "goto", None)]
            following = course.after(element.id)
            if element.body["type"] != "end":
                ahead += [target or following.id for target in targets if target or following]
    for course in library.courses.courses.values():
        sections = {key for key, element in course.elements.items() if element.body["type"] == "section"}
        assert set(course.order) - by_file[course.source] - sections == set()
        assert any(course.elements[element_id].body["type"] == "end" for element_id in by_file[course.source])
