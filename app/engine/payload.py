"""The payload of ``/start``: which course, and where the learner came from (course-format.md, section 1.6)."""

from __future__ import annotations

from typing import NamedTuple

from app.course.course import Courses

DEFAULT_COURSE = "default"


class Payload(NamedTuple):
    """What a ``/start`` link asks for; the course id need not be a known one."""

    course_id: str
    utm_source: str | None = None
    utm_campaign: str | None = None


def parse_payload(payload: str, courses: Courses) -> Payload:
    """Read ``course__utmsIIsource__utmcIIcampaign``, every part of it optional; nothing makes it fail."""
    first, *rest = payload.strip().split("__")
    if first not in courses.entries and _are_params(first, rest):
        first, rest = "", [first, *rest]
    params = _params(rest)
    return Payload(first or DEFAULT_COURSE, params.get("utms") or None, params.get("utmc") or None)


def _are_params(first: str, rest: list[str]) -> bool:
    return "utm" in first and ("II" in first or bool(rest))


def _params(parts: list[str]) -> dict[str, str]:
    pairs = (part.partition("II") for part in parts)
    return {key: value for key, separator, value in pairs if separator}
