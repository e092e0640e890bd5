"""The old program's ``config.yaml``: what it says about dialogs, in today's variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.config.dialog import ELEVENLABS_KEY, OPENAI_KEY, Dialog
from app.config.document import Document, read_document
from app.config.load import problem_at
from app.errors import InputError, Problem

_NAMES = {
    "model": "model",
    "temperature": "temperature",
    "api": "api",
    "proxy": "base_url",
    "reasoning": "reasoning_effort",
    "reasoning_effort": "reasoning_effort",
}
"""Keys of its ``openai`` section, and those of ours; of two for the same the last one wins."""


def predecessor_variables(environ: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    """Return ``DIALOG`` and the key, if ``config.yaml`` in ``CONFIG_DIR`` says them; ``OPENAI_API_KEY`` wins over its.

    Other sections of that file are not read.
    """
    path = Path(environ.get("CONFIG_DIR", "") + "config.yaml")
    if not path.is_file():
        return {}
    try:
        document = read_document(path, str(path))
    except InputError as error:
        problems += error.problems
        return {}
    section = document.data.get("openai") if isinstance(document.data, dict) else None
    if not isinstance(section, dict):
        return {}
    key = environ.get(OPENAI_KEY) or section.get("api_key")
    dialog = _dialog(section, environ, document, problems) if isinstance(key, str) and key else None
    return {"DIALOG": dialog.model_dump_json(exclude_defaults=True), OPENAI_KEY: str(key)} if dialog else {}


def _dialog(
    section: dict[str, Any], environ: Mapping[str, str], document: Document, problems: list[Problem]
) -> Dialog | None:
    written = {old: value for old in _NAMES if (value := section.get(old)) not in (None, "") and value is not False}
    if environ.get("CURRENT_ENVIRONMENT") == "heroku":
        written.pop("proxy", None)
    keys = {_NAMES[old]: value for old, value in written.items()}
    if environ.get(ELEVENLABS_KEY):
        keys["voice"] = {}
    try:
        # Its key was meant for its proxy too.
        return Dialog.model_validate({"api_key_env": OPENAI_KEY, **keys})
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            old = next(name for name in reversed(written) if _NAMES[name] == detail["loc"][0])
            problems.append(problem_at(("openai", old), detail, document))
        return None
