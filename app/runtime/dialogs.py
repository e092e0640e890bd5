"""Does the jobs of one bot's dialogs: replies of the model, and what voice messages say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar, assert_never

from app.config.options import Options
from app.config.settings import DialogSettings, VoiceSettings
from app.course.course import Course, Courses, Entry
from app.course.element import Dialog
from app.course.grammar import element_of
from app.dialog.errors import ModelRefused, ModelUnavailable, VoiceUnavailable
from app.dialog.model import ModelClient
from app.dialog.prompt import compose
from app.dialog.reply import Reply, ReplyRequest
from app.dialog.voice import transcribe
from app.engine.action import JobKind
from app.engine.event import Learner, ReplyFailed, ReplyReceived, Trouble, VoiceTranscribed
from app.engine.state import Run, from_json
from app.observe.logs import get_log
from app.observe.metrics import Meter
from app.observe.work import work_more_closely
from app.runtime.draft import Draft, as_html, delete_draft, shown, typing
from app.runtime.settler import when_available
from app.runtime.turn import Feed
from app.store.rows import Job, Said, Standing, Usage
from app.store.store import Store
from app.telegram.api import BotApi
from app.telegram.backoff import Backoff
from app.telegram.decode import clean
from app.telegram.error import FloodWait, TelegramError, Unavailable

T = TypeVar("T")

DOWNLOADS = 4
"""How often a voice message is asked for."""

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class Workplace:
    """What the worker of one bot has at hand.

    ``courses`` returns the courses as they are now; ``is_sending`` tells whether messages for a chat are still queued;
    once ``stop`` is set, waiting for PostgreSQL ends with ``StoreUnavailable``.
    """

    botname: str
    options: Options
    settings: DialogSettings | None
    model: ModelClient | None
    courses: Callable[[], Courses]
    store: Store
    api: BotApi
    is_sending: Callable[[int], bool]
    stop: asyncio.Event
    meter: Meter


@dataclass(frozen=True, slots=True)
class _Scene:
    """The dialog that a job belongs to."""

    run: Run
    element: Dialog
    course: Course
    entry: Entry


class Dialogs:
    """The worker of one bot's dialogs, for ``Jobs``."""

    def __init__(self, workplace: Workplace) -> None:
        self._at = workplace
        self._drafts: dict[int, Draft] = {}

    async def work(self, job: Job) -> Feed:
        """Do the job and return its result, which ends it."""
        scene = await self._scene(job)
        if scene is None:
            return self.failed(job)
        work_more_closely(element=scene.run.element_id)
        match JobKind(job.kind):
            case JobKind.REPLY:
                return await self._reply(job, scene)
            case JobKind.TRANSCRIPTION:
                return await self._heard(job, scene.element)
            case kind:
                assert_never(kind)

    def failed(self, job: Job) -> Feed:
        """Return the result of a job that cannot be done."""
        if job.kind == JobKind.TRANSCRIPTION:
            return _transcribed(job, None)
        return self._refused(job, Trouble.MODEL)

    async def dropped(self, job: Job, result: Feed | None) -> None:
        """Take away what is shown of a reply that nobody waits for any more; no ``result``: it was broken off."""
        match result:
            case None:
                message_id = self._message_of(job)
            case Feed(ReplyReceived() | ReplyFailed() as event):
                message_id = event.message_id
            case _:
                return
        if message_id is not None:
            await delete_draft(self._at.api, job.chat_id, message_id)

    async def _scene(self, job: Job) -> _Scene | None:
        """Return where the job belongs; ``None`` when the learner is elsewhere by now, or the course is gone."""
        record = await self._stored(lambda: self._at.store.chat(self._at.botname, job.chat_id))
        run = from_json(record.state).run if record is not None and record.state else None
        if run is None or (run.run_id, run.step) != (job.run_id, job.step):
            return None
        courses = self._at.courses()
        element, course = element_of(run.element_id, run.body), courses.get(run.course_id)
        if not isinstance(element, Dialog) or course is None:
            return None
        return _Scene(run, element, course, courses.entries[run.course_id])

    # --- replies ----------------------------------------------------------------------------------------------------

    async def _reply(self, job: Job, scene: _Scene) -> Feed:
        settings, model = self._at.settings, self._at.model
        if settings is None or model is None:
            log.warning(
                "a course has a dialog, but the bot no model; configure 'dialog' in bots_config.yaml",
                bot=self._at.botname,
                course=scene.run.course_id,
            )
            return self._refused(job, Trouble.NO_MODEL)
        trouble = await self._trouble(job, scene, settings)
        if trouble is not None:
            return self._refused(job, trouble)
        request = await compose(scene.element, scene.course, lambda id_: self._rows(job, scene, id_), settings)
        try:
            async with typing(self._at.api, job.chat_id):
                reply = await self._ask(job, scene, model, request, is_streaming=settings.is_streaming)
        except (ModelUnavailable, ModelRefused) as failure:
            level = log.error if isinstance(failure, ModelRefused) else log.warning
            level("no reply of the model", bot=self._at.botname, chat=job.chat_id, reason=str(failure))
            return self._refused(job, Trouble.MODEL)
        return await self._received(job, scene, reply)

    async def _trouble(self, job: Job, scene: _Scene, settings: DialogSettings) -> Trouble | None:
        """Return why the learner gets no reply now; one who has sent too many messages is banned."""
        store, botname, entry = self._at.store, self._at.botname, scene.entry
        standing = await self._stored(lambda: store.standing(botname, job.chat_id, entry.course_id))
        if is_too_much(standing, entry):
            reason = f"more than {entry.message_limit} messages in course {entry.course_id!r}"
            log.info("learner banned", bot=botname, chat=job.chat_id, reason=reason)
            await self._stored(lambda: store.ban(botname, job.chat_id, reason))
            return Trouble.BANNED
        return trouble_of(standing, entry, settings.daily_tokens)

    async def _rows(self, job: Job, scene: _Scene, element_id: str) -> list[Said]:
        run, at = scene.run, self._at
        return await self._stored(
            lambda: at.store.transcript(at.botname, job.chat_id, run.course_id, run.run_id, element_id)
        )

    async def _ask(
        self, job: Job, scene: _Scene, model: ModelClient, request: ReplyRequest, *, is_streaming: bool
    ) -> Reply:
        """Ask the model; the reply is shown while it is written, if it may be and is not to be spoken."""
        if not is_streaming or scene.element.speech is not None:
            return await model.reply(request)
        draft = Draft(
            self._at.api,
            job.chat_id,
            job.message_id,
            html_of=partial(self._beginning, scene.element),
            keep=lambda id_: self._stored(lambda: self._at.store.set_job_message(self._at.botname, job.job_id, id_)),
            may_show=lambda: self._may_show(job.chat_id),
        )
        self._drafts[job.job_id] = draft

        async def tell(text: str) -> None:
            draft.tell(text)

        async with draft.growing():
            return await model.reply(request, tell)

    async def _may_show(self, chat_id: int) -> bool:
        """Tell whether a draft overtakes nothing that this host or another has still to send to the chat."""
        at = self._at
        is_sending = at.is_sending(chat_id) or await self._stored(lambda: at.store.is_foreign(at.botname, chat_id))
        return not is_sending

    def _beginning(self, element: Dialog, text: str) -> str:
        return as_html(shown(clean(text), self._at.options.stop_markers), is_html=element.is_html)

    async def _received(self, job: Job, scene: _Scene, reply: Reply) -> Feed:
        self._at.meter.input_tokens.inc(reply.input_tokens)
        self._at.meter.output_tokens.inc(reply.output_tokens)
        usage = Usage(job.chat_id, scene.run.course_id, job.run_id, reply.input_tokens, reply.output_tokens)
        message_id, text = self._message_of(job), clean(reply.text)
        if message_id is not None and not shown(text, self._at.options.stop_markers):
            # There is nothing to take the draft's place.
            await delete_draft(self._at.api, job.chat_id, message_id)
            message_id = None
        event = ReplyReceived(Learner(job.chat_id), _now(), job.run_id, job.step, text, message_id)
        return Feed(event, job_id=job.job_id, usage=usage)

    def _refused(self, job: Job, trouble: Trouble) -> Feed:
        message_id = self._message_of(job)
        event = ReplyFailed(Learner(job.chat_id), _now(), job.run_id, job.step, trouble, message_id)
        return Feed(event, job_id=job.job_id)

    def _message_of(self, job: Job) -> int | None:
        """Return the message that shows the beginning of the reply, when the job is at its end."""
        draft = self._drafts.pop(job.job_id, None)
        return draft.message_id if draft is not None else job.message_id

    # --- voice messages ---------------------------------------------------------------------------------------------

    async def _heard(self, job: Job, element: Dialog) -> Feed:
        voice = self._at.settings.voice if self._at.settings is not None else None
        if voice is None:
            log.warning("voice message, but the bot has no 'voice' configured", bot=self._at.botname, chat=job.chat_id)
            return _transcribed(job, None, is_deaf=True)
        return _transcribed(job, await self._transcribe(job, element, voice))

    async def _transcribe(self, job: Job, element: Dialog, voice: VoiceSettings) -> str | None:
        try:
            async with typing(self._at.api, job.chat_id):
                audio = await self._download(str(job.params["file_id"]))
                text = await transcribe(voice, audio, "voice.ogg", element.language)
        except (TelegramError, VoiceUnavailable) as failure:
            log.warning("voice message not understood", bot=self._at.botname, chat=job.chat_id, reason=str(failure))
            return None
        return clean(text).strip() or None

    async def _download(self, file_id: str) -> bytes:
        waits = Backoff()
        for _ in range(DOWNLOADS - 1):
            try:
                return await self._at.api.download(file_id)
            except (FloodWait, Unavailable) as trouble:
                await asyncio.sleep(trouble.retry_after if isinstance(trouble, FloodWait) else next(waits))
        return await self._at.api.download(file_id)

    async def _stored(self, call: Callable[[], Awaitable[T]]) -> T:
        return await when_available(call, self._at.stop)


def trouble_of(standing: Standing, entry: Entry, daily_tokens: int | None) -> Trouble | None:
    """Return what keeps a learner from talking to the model now; who is exempt only shares the bot's tokens."""
    if not standing.is_exempt:
        if entry.ban_enabled and standing.is_banned:
            return Trouble.BANNED
        if entry.daily_limit is not None and standing.messages_today > entry.daily_limit:
            return Trouble.MESSAGES
    return Trouble.TOKENS if daily_tokens is not None and standing.tokens_today >= daily_tokens else None


def is_too_much(standing: Standing, entry: Entry) -> bool:
    """Tell whether a learner is to be banned for the number of messages in the course."""
    return (
        entry.ban_enabled
        and not (standing.is_banned or standing.is_exempt)
        and entry.message_limit is not None
        and standing.messages > entry.message_limit
    )


def _transcribed(job: Job, text: str | None, *, is_deaf: bool = False) -> Feed:
    event = VoiceTranscribed(Learner(job.chat_id), _now(), job.run_id, job.step, text, is_deaf)
    return Feed(event, job_id=job.job_id)


def _now() -> datetime:
    return datetime.now(UTC)
