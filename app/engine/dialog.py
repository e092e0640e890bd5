"""A conversation with a model: what the learner and the model say, and how it ends (course-format.md, section 4).

The model itself is asked by ``app.runtime.jobs``: here a turn only asks for that, and takes what comes of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from app.course.element import Dialog, ParseMode
from app.engine.action import Action, Button, JobKind, Role, SendSpeech, SendText, StartJob
from app.engine.button import pressed, refuse
from app.engine.event import ButtonPressed, ContentReceived, ReplyFailed, ReplyReceived, Trouble, VoiceTranscribed
from app.engine.press import RetryPress
from app.engine.reply import spoken, to_html
from app.engine.row import notice_row, said_row
from app.engine.scene import Scene, Step, Walk
from app.engine.screen import exit_button, exit_buttons
from app.engine.state import Run, Talk
from app.engine.walk import advance


def say(scene: Scene, run: Run, element: Dialog, text: str, *before: Action) -> Step:
    """Take what the learner says; the model answers it now, or when it has finished the answer before."""
    talk = run.talk or Talk()
    is_last_word = talk.messages >= _max_messages(element, scene)
    row = said_row(run, Role.USER, text, text)
    if talk.is_busy:
        later = replace(talk, messages=talk.messages + 1, is_behind=not is_last_word)
        return _stand(scene, run, later, *before, row)
    now = Talk(talk.messages + 1, is_busy=True)
    return _stand(scene, run, now, *before, row, StartJob(run.run_id, run.step, JobKind.REPLY))


def hear(scene: Scene, run: Run, event: ContentReceived) -> Step:
    """Have a voice message understood."""
    return scene.stay(StartJob(run.run_id, run.step, JobKind.TRANSCRIPTION, event.file_id))


def voice_transcribed(scene: Scene, event: VoiceTranscribed) -> Step:
    """Show what a voice message was understood as, and go on as if it had been typed."""
    found = _dialog(scene, event.run_id, event.step)
    if found is None:
        return scene.stay()
    if event.text is None:
        texts = scene.texts
        return scene.stay(SendText(texts.voice_unavailable if event.is_deaf else texts.voice_not_understood))
    return say(scene, *found, event.text, SendText(scene.texts.voice_understood.format(text=event.text)))


def reply_received(scene: Scene, event: ReplyReceived) -> Step:
    """Show the model's reply, and end the dialog if the reply says so or the learner has said all they may."""
    found = _dialog(scene, event.run_id, event.step)
    if found is None:
        return scene.stay()
    run, element = found
    shown, is_over = _without_markers(event.text, scene.options.stop_markers)
    if not shown and not is_over:
        return _fail(scene, run, element, Trouble.MODEL, event.message_id)
    talk = run.talk or Talk()
    is_over = is_over or (not talk.is_behind and talk.messages >= _max_messages(element, scene))
    buttons = () if is_over else exit_buttons(element, run, scene)
    said: tuple[Action, ...] = (_spoken(element, shown, buttons, event.message_id),) if shown else ()
    said = (*said, said_row(run, Role.BOT, shown, event.text))
    if is_over:
        return scene.go(said, advance(scene, replace(run, talk=Talk(talk.messages))))
    if talk.is_behind:
        again = StartJob(run.run_id, run.step, JobKind.REPLY)
        return _stand(scene, run, Talk(talk.messages, is_busy=True), *said, again)
    return _stand(scene, run, Talk(talk.messages), *said)


def reply_failed(scene: Scene, event: ReplyFailed) -> Step:
    """Say why there is no reply, and what the learner can do."""
    found = _dialog(scene, event.run_id, event.step)
    return _fail(scene, *found, event.trouble, event.message_id) if found else scene.stay()


def retry_pressed(scene: Scene, event: ButtonPressed, press: RetryPress) -> Step:
    """Have the model work again on what it has not answered; when it does so already, nothing more is needed."""
    found = _dialog(scene, press.run_id, press.step)
    if found is None:
        return refuse(scene, event)
    run, talk = found[0], found[0].talk or Talk()
    taken = pressed(event, run, scene.texts.retry_button)
    if talk.is_busy:
        return scene.stay(*taken)
    if not talk.is_behind:
        return refuse(scene, event)
    work = StartJob(run.run_id, run.step, JobKind.REPLY)
    return _stand(scene, run, Talk(talk.messages, is_busy=True), *taken, work)


def leave_dialog(scene: Scene, event: ButtonPressed, run: Run, element: Dialog) -> Step:
    """Go on with the course."""
    return scene.go(pressed(event, run, exit_button(element, run, scene.texts).text), advance(scene, run))


def _dialog(scene: Scene, run_id: int, step: int) -> tuple[Run, Dialog] | None:
    match scene.on_screen(run_id, step):
        case run, Dialog() as element:
            return run, element
        case _:
            return None


def _stand(scene: Scene, run: Run, talk: Talk, *actions: Action) -> Step:
    return scene.go(actions, Walk(replace(run, talk=talk)))


def _max_messages(element: Dialog, scene: Scene) -> int:
    return element.max_messages if element.max_messages is not None else scene.options.max_messages


def _without_markers(reply: str, markers: tuple[str, ...]) -> tuple[str, bool]:
    """Return the reply without stop markers, also those that two halves make around another one, and if it had any."""
    shown = reply
    while found := next((marker for marker in markers if marker and marker in shown), None):
        shown = shown.replace(found, "")
    return shown.strip(), shown != reply


def _spoken(element: Dialog, shown: str, buttons: tuple[Button, ...], message_id: int | None) -> SendText | SendSpeech:
    text = shown if element.is_html else to_html(shown)
    if element.speech is not None:
        voice = spoken(text, element.language)
        return SendSpeech(voice, text, ParseMode.HTML, element.speech, buttons)
    return SendText(text, ParseMode.HTML, element.link_preview, buttons, replaces=message_id)


def _fail(scene: Scene, run: Run, element: Dialog, trouble: Trouble, message_id: int | None) -> Step:
    """Stand still until the learner asks again or writes; they may leave as well, lest they be stuck."""
    talk = run.talk or Talk()
    text, parse_mode = _excuse(scene, run, trouble)
    retry = Button(scene.texts.retry_button, RetryPress(run.run_id, run.step).data)
    leave = exit_button(element, run, scene.texts)
    buttons = (retry, leave) if trouble is Trouble.MODEL else (leave,)
    told = SendText(text, parse_mode, buttons=buttons, replaces=message_id)
    return _stand(scene, run, Talk(talk.messages, is_behind=True), told, notice_row(run, text))


def _excuse(scene: Scene, run: Run, trouble: Trouble) -> tuple[str, ParseMode | None]:
    texts, entry = scene.texts, scene.courses.entries.get(run.course_id)
    match trouble:
        case Trouble.MODEL:
            return texts.no_reply, None
        case Trouble.BANNED if entry is not None and entry.ban_text:
            return entry.ban_text, ParseMode.MARKDOWN
        case Trouble.BANNED:
            return texts.banned, None
        case Trouble.MESSAGES:
            return texts.messages_spent, None
        case Trouble.TOKENS:
            return texts.tokens_spent, None
        case Trouble.NO_MODEL:
            return texts.no_model, None
        case _:
            assert_never(trouble)
