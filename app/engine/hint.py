"""What a learner is told who did something else than what is awaited (course-format.md, section 3.5)."""

from __future__ import annotations

from typing import assert_never

from app.engine.action import SendText
from app.engine.scene import Scene
from app.engine.screen import Awaited, awaited
from app.engine.start import offer
from app.engine.walk import restart_button


def hint(scene: Scene) -> SendText:
    """Say what would lead on from here."""
    run, texts = scene.chat.run, scene.texts
    if run is None:
        return SendText(texts.no_run)
    if run.is_ended:
        return SendText(texts.course_finished, buttons=(restart_button(run, texts),))
    if run.is_waiting:
        return SendText(texts.wait_please)
    element = scene.element(run)
    awaits = awaited(element) if element is not None else Awaited.NOTHING
    match awaits:
        case Awaited.PRESS | Awaited.APP:
            return SendText(_with_keywords(scene, texts.press_button))
        case Awaited.TEXT:
            return SendText(texts.text_please)
        case Awaited.VOTE:
            return SendText(_with_keywords(scene, texts.vote_first))
        case Awaited.NOTHING | Awaited.TIME | Awaited.START:
            return offer(run, texts)
        case _:
            assert_never(awaits)


def _with_keywords(scene: Scene, text: str) -> str:
    return f"{text}\n\n{scene.texts.keyword_hint}" if scene.options.has_keywords else text
