"""A turn: load the chats of a batch of updates, let the engine decide, save; one transaction for the whole batch."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from app.course.course import Courses
from app.engine.action import (
    AnswerPress,
    CancelJobs,
    CancelTimers,
    EndRun,
    RecordRow,
    ReopenRun,
    SendSpeech,
    StartJob,
    StartRun,
    StartTimer,
)
from app.engine.event import ButtonPressed, Event, Learner, PollAnswered, PollRef, StartRequested, TimeReached
from app.engine.payload import requested_course
from app.engine.press import needs_run_id
from app.engine.state import Chat, from_json, to_json
from app.engine.step import Step, step
from app.observe.logs import get_log
from app.observe.metrics import DEAD_UPDATES, TIMERS, UPDATES
from app.store.errors import StoreUnavailable
from app.store.rows import (
    ChatState,
    ConversationRow,
    DeadUpdate,
    Loaded,
    NewMessage,
    NewRun,
    NewTimer,
    OutboxMessage,
    Timer,
)
from app.store.store import Store
from app.store.turn import Turn
from app.telegram.decode import Update
from app.telegram.encode import encode
from app.texts import Texts, texts_for

POSTPONED_SECONDS = 60.0
"""How much later a timer is tried again whose delivery failed."""

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides a turn of a bot beside the chats: its name in the store, its courses and its language.

    ``has_begun`` tells whether the poll of a step of a run is being sent.
    """

    botname: str
    courses: Courses
    language: str | None = None
    has_begun: Callable[[int, int], bool] = field(default=lambda _run_id, _step: False)

    def texts(self, language_code: str | None) -> Texts:
        """Return the texts for a learner: the bot's language, else the learner's own."""
        return texts_for(self.language or language_code)


@dataclass(slots=True)
class Result:
    """What follows once the turn is committed.

    ``messages`` are stored and to be sent; ``notices`` (callback id, text) are not stored. ``seen`` counts the updates
    and timers that an earlier turn had committed; its messages are in the outbox. ``has_timers`` says that timers were
    started.
    """

    messages: list[OutboxMessage] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)
    seen: int = 0
    has_timers: bool = False

    def add(self, other: Result) -> None:
        """Put what follows from another turn behind it."""
        self.messages += other.messages
        self.notices += other.notices
        self.seen += other.seen
        self.has_timers = self.has_timers or other.has_timers


async def apply(store: Store, rules: Rules, updates: Sequence[Update]) -> Result:
    """Apply a batch of one bot's updates in one transaction, and return when it is committed.

    If it fails, each update gets a transaction of its own, and the one that fails again is set aside with its
    traceback. Raises ``StoreUnavailable``: then the same batch may be applied again; if the commit got through all the
    same, its updates count as seen, and its messages are in the outbox.
    """
    try:
        return await _turn(store, rules, updates)
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("turn failed, trying its updates one by one", bot=rules.botname, updates=len(updates))
    whole = Result()
    for update in updates:
        whole.add(await _apply_alone(store, rules, update))
    return whole


async def deliver(store: Store, rules: Rules, timers: Sequence[Timer]) -> Result:
    """Go on with the runs of these due timers in one transaction, and return when it is committed.

    Claim and effect are one commit, so that each timer counts once. If the transaction fails, each timer gets one of
    its own, and the one that fails again is tried again later. Raises ``StoreUnavailable``, as ``apply`` does.
    """
    try:
        return await _timer_turn(store, rules, timers)
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("timers failed, trying them one by one", bot=rules.botname, timers=len(timers))
    whole = Result()
    for timer in timers:
        whole.add(await _deliver_alone(store, rules, timer))
    return whole


async def _deliver_alone(store: Store, rules: Rules, timer: Timer) -> Result:
    try:
        return await _timer_turn(store, rules, [timer])
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("timer postponed", bot=rules.botname, timer=timer.timer_id, chat=timer.chat_id)
        TIMERS.labels(rules.botname, "postponed").inc()
        await store.postpone_timer(rules.botname, timer.timer_id, POSTPONED_SECONDS)
        return Result()


async def _timer_turn(store: Store, rules: Rules, timers: Sequence[Timer]) -> Result:
    async with store.turn(rules.botname) as turn:
        chat_ids = sorted({timer.chat_id for timer in timers})
        loaded = await turn.load([], chat_ids)
        claimed = await turn.claim_timers([timer.timer_id for timer in timers])
        decision = _Decision()
        for timer in timers:
            if timer.timer_id in claimed:
                learner = Learner(timer.chat_id, loaded.chats[timer.chat_id].username)
                event = TimeReached(learner, datetime.now(UTC), timer.run_id, timer.element_id)
                _decide_one(decision, rules, loaded, event)
        result = await _save(turn, decision)
    result.seen = len(timers) - len(claimed)
    TIMERS.labels(rules.botname, "delivered").inc(len(claimed))
    return result


async def _apply_alone(store: Store, rules: Rules, update: Update) -> Result:
    try:
        return await _turn(store, rules, [update])
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("update set aside", bot=rules.botname, update=update.update_id, chat=update.chat_id)
        DEAD_UPDATES.labels(rules.botname).inc()
        UPDATES.labels(rules.botname, "dead").inc()
        apology = None
        if update.chat_id is not None and update.event is not None:
            text = rules.texts(update.event.learner.language_code).apology
            apology = NewMessage(update.chat_id, "sendMessage", {"chat_id": update.chat_id, "text": text})
        dead = DeadUpdate(update.update_id, update.chat_id, dict(update.raw), traceback.format_exc())
        queued = await store.bury(rules.botname, dead, apology)
        return Result([queued] if queued else [], [(update.callback_id, "")] if update.callback_id else [])


async def _turn(store: Store, rules: Rules, updates: Sequence[Update]) -> Result:
    relevant = [update for update in updates if update.event is not None]
    if not relevant:
        return Result()
    async with store.turn(rules.botname) as turn:
        loaded = await _load(turn, relevant)
        decision = await _decide(turn, rules, loaded, relevant)
        result = await _save(turn, decision)
    result.seen = sum(update.update_id not in loaded.fresh for update in relevant)
    UPDATES.labels(rules.botname, "committed").inc(len(loaded.fresh))
    UPDATES.labels(rules.botname, "seen").inc(result.seen)
    return result


async def _save(turn: Turn, decision: _Decision) -> Result:
    messages = await turn.save(
        chats=list(decision.states.values()),
        runs_started=decision.started,
        runs_ended=[run_id for run_id, is_ended in decision.ended.items() if is_ended],
        runs_reopened=[run_id for run_id, is_ended in decision.ended.items() if not is_ended],
        timers_started=decision.timers,
        timers_cancelled=decision.cancelled,
        rows=decision.rows,
        messages=decision.messages,
    )
    return Result(messages, decision.notices, has_timers=bool(decision.timers))


async def _load(turn: Turn, updates: Sequence[Update]) -> Loaded:
    events = [update.event for update in updates]
    return await turn.load(
        update_ids=[update.update_id for update in updates],
        chat_ids=sorted({update.chat_id for update in updates if update.chat_id is not None}),
        poll_ids=[event.poll_id for event in events if isinstance(event, PollAnswered)],
        run_ids=sum(1 for event in events if event is not None and needs_run_id(event)),
    )


@dataclass(slots=True)
class _Decision:
    """What the engine decided for all chats of a turn; ``ended`` says of runs whether they are, or are not any more."""

    chats: dict[int, Chat] = field(default_factory=dict)
    states: dict[int, ChatState] = field(default_factory=dict)
    started: list[NewRun] = field(default_factory=list)
    ended: dict[int, bool] = field(default_factory=dict)
    timers: list[NewTimer] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    rows: list[ConversationRow] = field(default_factory=list)
    messages: list[NewMessage] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)


async def _decide(turn: Turn, rules: Rules, loaded: Loaded, updates: Sequence[Update]) -> _Decision:
    decision = _Decision()
    run_ids = iter(loaded.run_ids)
    for update in updates:
        chat_id, event = update.chat_id, update.event
        if chat_id is None or event is None:
            continue
        if update.update_id not in loaded.fresh:
            if update.callback_id:
                decision.notices.append((update.callback_id, ""))
            continue
        chat = _chat(decision, loaded, chat_id)
        whole = await _complete(turn, rules, loaded, chat, event, next(run_ids) if needs_run_id(event) else 0)
        _decide_one(decision, rules, loaded, whole)
    return decision


def _decide_one(decision: _Decision, rules: Rules, loaded: Loaded, event: Event) -> None:
    learner = event.learner
    chat = _chat(decision, loaded, learner.chat_id)
    decided = step(rules.courses, chat, event, rules.texts(learner.language_code))
    decision.chats[learner.chat_id] = decided.chat
    decision.states[learner.chat_id] = ChatState(
        learner.chat_id, learner.username, to_json(decided.chat), has_written=not isinstance(event, TimeReached)
    )
    _collect(decision, event, decided)


def _chat(decision: _Decision, loaded: Loaded, chat_id: int) -> Chat:
    """Return the chat as this turn has left it so far."""
    if chat_id in decision.chats:
        return decision.chats[chat_id]
    state = loaded.chats[chat_id].state
    return from_json(state) if state else Chat()


async def _complete(turn: Turn, rules: Rules, loaded: Loaded, chat: Chat, event: Event, run_id: int) -> Event:
    """Return the event with what only the store knows: fresh ids, where a poll belongs, who is a participant."""
    match event:
        case StartRequested():
            entry = rules.courses.entries.get(requested_course(event.payload, rules.courses))
            learner = event.learner
            may_start = (
                entry is not None
                and entry.restricted
                and await turn.is_participant(entry.course_id, learner.username, learner.chat_id)
            )
            return replace(event, run_id=run_id, is_participant=may_start)
        case PollAnswered():
            return await _bound(turn, rules, chat, event, loaded.polls.get(event.poll_id))
        case ButtonPressed():
            return replace(event, run_id=run_id)
        case _:
            return event


async def _bound(turn: Turn, rules: Rules, chat: Chat, event: PollAnswered, poll: PollRef | None) -> PollAnswered:
    """Return the vote with where its poll belongs.

    A quick vote may come before its poll is settled, or meanwhile; and of a poll that was sent twice only one copy is
    known. Any other vote in an unknown poll does not concern the question on screen.
    """
    if poll is not None or chat.run is None:
        return replace(event, poll=poll)
    run = chat.run
    newest = await turn.newest_poll(event.learner.chat_id, run.run_id)
    if newest is not None and newest.poll_id == event.poll_id:
        return replace(event, poll=newest.place)
    if newest is not None and newest.place.step == run.step:
        return replace(event, is_bound=newest.is_single)
    return replace(event, is_bound=not rules.has_begun(run.run_id, run.step))


def _collect(decision: _Decision, event: Event, decided: Step) -> None:
    learner = event.learner
    for action in decided.actions:
        match action:
            case AnswerPress():
                decision.notices.append((action.callback_id, action.text))
            case StartRun():
                decision.started.append(
                    NewRun(
                        action.run_id,
                        learner.chat_id,
                        learner.username,
                        action.course_id,
                        action.utm_source,
                        action.utm_campaign,
                    )
                )
            case EndRun():
                decision.ended[action.run_id] = True
            case ReopenRun():
                decision.ended[action.run_id] = False
            case StartTimer():
                seconds = action.wait.total_seconds()
                decision.timers.append(
                    NewTimer(learner.chat_id, action.run_id, action.course_id, action.element_id, seconds)
                )
            case CancelTimers():
                decision.timers = [timer for timer in decision.timers if timer.run_id != action.run_id]
                decision.cancelled.append(action.run_id)
            case RecordRow():
                decision.rows.append(_row(learner.chat_id, learner.username, action))
            case StartJob() | CancelJobs() | SendSpeech():
                raise NotImplementedError
            case _:
                for request in encode(learner.chat_id, action):
                    decision.messages.append(
                        NewMessage(learner.chat_id, request.method, dict(request.params), request.run_id, request.step)
                    )


def _row(chat_id: int, username: str | None, action: RecordRow) -> ConversationRow:
    return ConversationRow(
        chat_id=chat_id,
        username=username or NO_USERNAME,
        course_id=action.course_id,
        element_id=action.element_id,
        element_type=action.element_type,
        role=action.role.value,
        json=snapshot(action.body, action.attempt),
        report=action.report,
        score=action.score,
        maxscore=action.maxscore,
        run_id=action.run_id,
    )


NO_USERNAME = "--empty--"
"""What ``conversation.username`` holds for learners without one, as the old program wrote it."""


def snapshot(body: Mapping[str, Any] | None, attempt: int = 1) -> str:
    """Return the text of ``conversation.json``: the element as it stood, and the number of a repeated attempt."""
    counted = {"attempt": attempt} if attempt > 1 else {}
    return json.dumps({"element_data": body, **counted}, ensure_ascii=True, separators=(",", ":"))
