"""A course, and the courses of one bot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from app.course.element import AnyElement


@dataclass(frozen=True)
class Course:
    """An ordered mapping of element ids to elements, as one file defines it."""

    elements: Mapping[str, AnyElement]
    source: str = ""

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The element ids in the order of the file."""
        return tuple(self.elements)

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Index in ``order`` of each element id."""
        return {element_id: index for index, element_id in enumerate(self.order)}

    def first(self) -> AnyElement | None:
        """Return the first element, ``None`` when the course is empty."""
        return self.elements[self.order[0]] if self.order else None

    def after(self, element_id: str) -> AnyElement | None:
        """Return the element that follows ``element_id``, ``None`` at the end or when the id is unknown."""
        index = self.position.get(element_id)
        if index is None or index + 1 >= len(self.order):
            return None
        return self.elements[self.order[index + 1]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A course of the list in ``courses.yml`` (course-format.md, section 1.2).

    ``title`` stands in the list of courses that learners see. Who sends more than ``message_limit`` messages to the
    model in this course is banned, if ``ban_enabled``; ``daily_limit`` is for one learner and day (UTC).
    """

    course_id: str
    path: str
    element: str | None = None
    restricted: bool = False
    decline_text: str | None = None
    ban_enabled: bool = False
    ban_text: str | None = None
    title: str | None = None
    message_limit: int | None = None
    daily_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Courses:
    """All courses of one bot: the entries of the list, and the courses that could be loaded, by course id."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    courses: Mapping[str, Course] = field(default_factory=dict)

    def get(self, course_id: str) -> Course | None:
        """Return the course of this id, ``None`` when it is not in the list or its file could not be loaded."""
        return self.courses.get(course_id)

    def start_of(self, course_id: str) -> AnyElement | None:
        """Return the element a run of this course starts at: the entry's ``element`` if it exists, else the first."""
        course = self.courses.get(course_id)
        if course is None:
            return None
        wanted = self.entries[course_id].element
        return course.elements.get(wanted) or course.first() if wanted else course.first()
