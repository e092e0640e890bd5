"""Moving between the modules of a course (course-format.md, section 3.6; D31, D32).

A module is the elements whose ids have the same part before their first underscore. It begins with the first of them.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from app.course.course import Course
from app.course.element import AnyElement, Section
from app.engine.action import SendText
from app.engine.row import user_row
from app.engine.scene import Scene, Step
from app.engine.state import Run
from app.engine.walk import anchor, go_to, lose
from app.texts import Texts, texts_for


class Direction(Enum):
    """Which module to go to, from the one on screen."""

    BACK = -1
    START = 0
    NEXT = 1


class Keyword(NamedTuple):
    """What a word asks for, and the language it is in."""

    direction: Direction
    language: str


_WORDS = {
    Direction.BACK: {"ru": "назад", "en": "back previous"},
    Direction.START: {"ru": "начало начать сначала заново", "en": "start restart"},
    Direction.NEXT: {"ru": "дальше далее вперёд вперед", "en": "next forward"},
}
_KEYWORDS = {
    word: Keyword(direction, language)
    for direction, languages in _WORDS.items()
    for language, words in languages.items()
    for word in words.split()
}
_MOST_WORDS = 3


def keyword_in(text: str) -> Keyword | None:
    """Return what a short message asks for; one that asks for two directions asks for none."""
    words = re.findall(r"\w+", text.lower())
    found = [_KEYWORDS[word] for word in words if word in _KEYWORDS]
    is_clear = len(words) <= _MOST_WORDS and len({keyword.direction for keyword in found}) == 1
    return found[0] if is_clear else None


def follow_keyword(scene: Scene, run: Run, keyword: Keyword, text: str) -> Step:
    """Move as the learner wrote, and say so in the language they wrote it in."""
    texts = texts_for(keyword.language)
    return move(scene, run, keyword.direction, text, SendText(_acknowledgement(keyword.direction, texts)))


def _acknowledgement(direction: Direction, texts: Texts) -> str:
    told = {
        Direction.BACK: texts.moved_back,
        Direction.START: texts.moved_to_start,
        Direction.NEXT: texts.moved_next,
    }
    return told[direction]


def move(scene: Scene, run: Run, direction: Direction, said: str, *acknowledgement: SendText) -> Step:
    """Go to the beginning of a module, which cancels what is under way where the run stands."""
    course = scene.courses.get(run.course_id)
    if course is None:
        return scene.stay(SendText(scene.texts.course_unavailable))
    if anchor(run) not in course.elements:
        return scene.go((user_row(run, said),), lose(run, scene.texts))
    modules = list(modules_of(course))
    place = modules.index(module_of(anchor(run))) + direction.value
    if place < 0:
        return scene.stay(SendText(scene.texts.first_module))
    if place >= len(modules):
        return scene.stay(SendText(scene.texts.last_module))
    target = modules_of(course)[modules[place]]
    return scene.go((user_row(run, said), *acknowledgement), go_to(scene, course, run, target))


def module_of(element_id: str) -> str:
    """Return the module of an element; one without an underscore in its id is a module of its own name."""
    return element_id.partition("_")[0] or element_id


def modules_of(course: Course) -> dict[str, AnyElement]:
    """Return the modules in the order of the course, each with its first element; dividers do not count."""
    modules: dict[str, AnyElement] = {}
    for element_id, element in course.elements.items():
        if not isinstance(element, Section):
            modules.setdefault(module_of(element_id), element)
    return modules
