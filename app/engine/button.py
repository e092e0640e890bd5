"""What a press of an inline button always takes: an answer, and a row when it counts."""

from __future__ import annotations

from app.engine.action import Action, AnswerPress, RemoveButtons, SendText
from app.engine.event import ButtonPressed
from app.engine.row import user_row
from app.engine.scene import Scene, Step
from app.engine.state import Run


def pressed(event: ButtonPressed, run: Run, button: str) -> tuple[Action, ...]:
    """Take the press, which uses the button up, and record it."""
    used_up = (RemoveButtons(event.message_id),) if event.message_id is not None else ()
    return (AnswerPress(event.callback_id), *used_up, user_row(run, button))


def refuse(scene: Scene, event: ButtonPressed) -> Step:
    """Say that the button is not active any more."""
    return scene.stay(AnswerPress(event.callback_id, scene.texts.stale_button))


def explain(scene: Scene, event: ButtonPressed, why: str) -> Step:
    """Say why the press leads nowhere now; the button stays, because it may work later."""
    return scene.stay(AnswerPress(event.callback_id), SendText(why))
