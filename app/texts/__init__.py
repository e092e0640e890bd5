"""What the bots themselves say to learners, one catalogue file per language."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

import yaml

from app.errors import FlotillaError

LANGUAGES = ("en", "ru")
_UNDERSTOOD = {"be": "ru", "kk": "ru", "uk": "ru"}
"""Languages without a catalogue whose speakers are served better by another one than by the fallback."""


class CatalogueError(FlotillaError):
    """A catalogue file does not hold exactly the texts there are."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts in one language: plain text, no markup.

    ``unknown_command`` is a format string with ``{name}``, ``voice_understood`` one with ``{text}``,
    ``go_usage`` with ``{courses}``, ``go_no_element`` with ``{course}`` and ``{element}``. ``stale_button`` also serves
    as a notice on a press, which Telegram limits to 200 characters.
    """

    unknown_course: str
    not_admitted: str
    offer_resume: str
    resume_button: str
    restart_button: str
    no_run: str
    course_finished: str
    course_changed: str
    course_unavailable: str
    press_button: str
    vote_first: str
    text_please: str
    unknown_command: str
    wait_please: str
    stale_button: str
    target_missing: str
    apology: str
    message_failed: str
    app_send: str
    app_back: str
    app_right: str
    app_wrong: str
    app_taken: str
    app_closed: str
    app_unproven: str
    app_foreign: str
    app_unknown: str
    app_unreadable: str
    app_unavailable: str
    voice_understood: str
    voice_not_understood: str
    no_reply: str
    retry_button: str
    exit_button: str
    banned: str
    messages_spent: str
    tokens_spent: str
    skip_button: str
    page_missing: str
    menu: str
    menu_empty: str
    first_module: str
    last_module: str
    moved_back: str
    moved_to_start: str
    moved_next: str
    keyword_hint: str
    help: str
    command_menu: str
    command_restart: str
    command_next: str
    command_back: str
    command_help: str
    go_usage: str
    go_no_element: str
    voice_unavailable: str
    no_model: str


def texts_for(language: str | None, fallback: str = "en") -> Texts:
    """Return the texts for a language tag of Telegram (``ru``, ``pt-br``), else for ``fallback``, else English."""
    return _read(_catalogue(language) or _catalogue(fallback) or "en")


def _catalogue(language: str | None) -> str | None:
    primary = (language or "").replace("_", "-").partition("-")[0].lower()
    served = _UNDERSTOOD.get(primary, primary)
    return served if served in LANGUAGES else None


@cache
def _read(language: str) -> Texts:
    file = resources.files(__name__) / f"{language}.yaml"
    return parse_catalogue(file.read_text(encoding="utf-8"), file.name)


def parse_catalogue(text: str, source: str) -> Texts:
    """Make texts from the YAML of a catalogue; raise ``CatalogueError`` unless it has every text and no other."""
    catalogue = yaml.safe_load(text) or {}
    known = {field.name for field in fields(Texts)}
    if missing := sorted(known - catalogue.keys()):
        raise CatalogueError(f"{source}: texts {missing!r} are missing; add them")
    if unknown := sorted(catalogue.keys() - known):
        raise CatalogueError(f"{source}: texts {unknown!r} are not known; remove them or add them to app.texts.Texts")
    if empty := sorted(name for name, value in catalogue.items() if not isinstance(value, str) or not value.strip()):
        raise CatalogueError(f"{source}: texts {empty!r} are empty or not strings; quote them")
    return Texts(**catalogue)
