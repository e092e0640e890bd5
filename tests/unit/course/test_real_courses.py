"""The course files of the old program that were handed over load without errors, and come back from the database."""

from pathlib import Path

import pytest

from app.course.element import Dialog, MiniApp
from app.course.loader import DATABASE, elements_of, load_course, load_courses, load_stored
from app.course.report import has_errors
from app.course.stored import Stored, to_yaml
from tests.unit.course.real import FOLDER, REASON

FILES = sorted({*FOLDER.glob("*.yml"), *FOLDER.glob("*.yaml")} - {FOLDER / "courses.yml"})

pytestmark = pytest.mark.skipif(not FILES, reason=REASON)


def read(file: str) -> str:
    return (FOLDER / Path(file).name).read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_loads_without_errors(path: Path) -> None:
    course, problems = load_course(path.read_text(), path.name)
    assert [str(problem) for problem in problems if problem.severity == "error"] == []
    assert course.elements


def test_the_list_of_courses_loads() -> None:
    courses, problems = load_courses(read, "")
    missing = {entry.course_id for entry in courses.entries.values() if not (FOLDER / Path(entry.path).name).exists()}
    assert set(courses.courses) == set(courses.entries) - missing
    # Not every file of the list was handed over.
    assert [str(problem) for problem in problems if problem.severity == "error" and "exist" not in problem.text] == []
    assert missing >= {entry.course_id for entry in courses.entries.values() if entry.path == DATABASE}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_comes_back_from_the_database(path: Path) -> None:
    text = path.read_text()
    course, _ = load_course(text, path.name)
    imported = elements_of(text, path.name)
    assert [(element_id, name) for element_id, name, _ in imported] == [
        (element.id, element.body["type"]) for element in course.elements.values()
    ]
    rows = tuple((element_id, body) for element_id, _, body in imported)
    stored, problems = load_stored("c", Stored(rows, text))
    assert (dict(stored.elements), has_errors(problems)) == (dict(course.elements), False)
    exported, problems = load_course(to_yaml(rows), path.name)
    assert (dict(exported.elements), has_errors(problems)) == (dict(course.elements), False)


def test_dialogs_and_mini_apps_are_read() -> None:
    elements = [element for path in FILES for element in load_course(path.read_text(), path.name)[0].elements.values()]
    dialogs = [element for element in elements if isinstance(element, Dialog)]
    assert all(dialog.text.strip() and dialog.prompt.strip() for dialog in dialogs)
    assert {type(element) for element in elements} >= {Dialog, MiniApp}
