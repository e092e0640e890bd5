"""A turn: load the chats of a batch of updates, let the engine decide, save; one transaction for the whole batch."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from app.engine.event import (
    ButtonPressed,
    CommandReceived,
    CourseGiven,
    Event,
    Learner,
    PollAnswered,
    PollRef,
    StartRequested,
    TimeReached,
)
from app.engine.press import needs_run_id
from app.engine.start import requested_course
from app.engine.state import Chat
from app.observe.logs import get_log, levels
from app.observe.work import Work, Working, work_on
from app.runtime.decision import Decision, Rules, Unused
from app.store.errors import StoreUnavailable
from app.store.rows import (
    NO_BACKLOG,
    Backlog,
    DeadUpdate,
    Loaded,
    NewMessage,
    OutboxMessage,
    Timer,
    Usage,
)
from app.store.store import Store
from app.store.turn import Turn
from app.telegram.decode import Update

POSTPONED_SECONDS = 60.0
"""How much later a timer is tried again whose delivery failed."""

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class Feed:
    """An event that no update brings, and the timer or job that is used up with it, if any.

    Of the event's learner only the id need be known. ``usage`` is what the job cost, also if its result comes too late.
    """

    event: Event
    timer_id: int | None = None
    job_id: int | None = None
    usage: Usage | None = None

    @property
    def chat_id(self) -> int:
        """The chat it concerns."""
        return self.event.learner.chat_id


@dataclass(slots=True)
class Result:
    """What follows once the turn is committed.

    ``messages`` are stored and to be sent by this host; ``notices`` (callback id, text) are not stored. ``seen`` counts
    what had no effect because it was used up: updates and timers that an earlier turn had committed, whose messages are
    in the outbox, and jobs that were cancelled; ``committed`` and ``dead`` count the other updates, and ``postponed``
    timers that are to be tried again later. ``has_timers`` and ``has_jobs`` say that some were started,
    ``jobs_cancelled`` names the runs whose jobs were cancelled. ``unused`` is left to the plugin. Of a chat in
    ``backlog`` older messages come first.
    """

    messages: list[OutboxMessage] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)
    seen: int = 0
    committed: int = 0
    dead: int = 0
    postponed: int = 0
    has_timers: bool = False
    has_jobs: bool = False
    jobs_cancelled: list[int] = field(default_factory=list)
    unused: list[Unused] = field(default_factory=list)
    backlog: Backlog = NO_BACKLOG

    def add(self, other: Result) -> None:
        """Put what follows from another turn behind it."""
        self.messages += other.messages
        self.notices += other.notices
        self.seen += other.seen
        self.committed += other.committed
        self.dead += other.dead
        self.postponed += other.postponed
        self.has_timers = self.has_timers or other.has_timers
        self.has_jobs = self.has_jobs or other.has_jobs
        self.jobs_cancelled += other.jobs_cancelled
        self.unused += other.unused
        self.backlog |= other.backlog


async def apply(store: Store, rules: Rules, updates: Sequence[Update]) -> Result:
    """Apply a batch of one bot's updates in one transaction, and return when it is committed.

    If it fails, each update gets a transaction of its own, and the one that fails again is set aside with its
    traceback. Raises ``StoreUnavailable``: then the same batch may be applied again; if the commit got through all the
    same, its updates count as seen, and its messages are in the outbox.
    """
    try:
        with Working():
            return await _turn(store, rules, updates)
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("turn failed, trying its updates one by one", bot=rules.botname, updates=len(updates))
    whole = Result()
    for update in updates:
        with Working():
            whole.add(await _apply_alone(store, rules, update))
    return whole


async def feed(store: Store, rules: Rules, feeds: Sequence[Feed]) -> Result:
    """Apply events that no update brings in one transaction, and return when it is committed.

    Claim and effect are one commit, so that each counts once. Raises what the turn raises; after ``StoreUnavailable``
    the same may be fed again, as with ``apply``.
    """
    with Working():
        return await _feed(store, rules, feeds)


async def _feed(store: Store, rules: Rules, feeds: Sequence[Feed]) -> Result:
    async with store.turn(rules.botname) as turn:
        chat_ids = sorted({one.chat_id for one in feeds})
        loaded = await turn.load([], chat_ids, run_ids=sum(needs_run_id(one.event) for one in feeds))
        run_ids = iter(loaded.run_ids)
        claimed = await turn.claim_timers([one.timer_id for one in feeds if one.timer_id is not None])
        decision, taken = Decision(), 0
        for one in feeds:
            if one.usage is not None:
                decision.usage.append(one.usage)
            if await _is_taken(turn, one, claimed):
                taken += 1
                _work_on(rules, decision.chat(loaded, one.chat_id), one.chat_id, job=one.job_id)
                decision.decide(rules, loaded, _numbered(_introduced(one.event, loaded), run_ids))
        result = await _save(turn, decision)
    result.seen = len(feeds) - taken
    return result


async def _is_taken(turn: Turn, one: Feed, claimed_timers: frozenset[int]) -> bool:
    if one.timer_id is not None:
        return one.timer_id in claimed_timers
    return one.job_id is None or await turn.claim_job(one.job_id)


async def post(store: Store, rules: Rules, messages: Sequence[NewMessage]) -> Result:
    """Queue messages that no course sends, behind all that is queued for their chats; one transaction."""
    async with store.turn(rules.botname) as turn:
        await turn.load([], sorted({message.chat_id for message in messages}))
        return await _save(turn, Decision(messages=list(messages)))


def _numbered(event: Event, run_ids: Iterator[int]) -> Event:
    return replace(event, run_id=next(run_ids)) if isinstance(event, CourseGiven) else event


def _introduced(event: Event, loaded: Loaded) -> Event:
    """Return the event with what the store knows of its learner."""
    learner, known = event.learner, loaded.chats[event.learner.chat_id]
    username, language = learner.username or known.username, learner.language_code or known.language_code
    return replace(event, learner=Learner(learner.chat_id, username, language))


async def deliver(store: Store, rules: Rules, timers: Sequence[Timer]) -> Result:
    """Go on with the runs of these due timers, in one transaction as ``feed`` does.

    If it fails, each timer gets one of its own, and the one that fails again is tried again later.
    """
    try:
        return await _deliver(store, rules, timers)
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("timers failed, trying them one by one", bot=rules.botname, timers=len(timers))
    whole = Result()
    for timer in timers:
        with Working():
            work_on(Work(rules.botname, timer.chat_id, run=timer.run_id, element=timer.element_id))
            whole.add(await _deliver_alone(store, rules, timer))
    return whole


async def _deliver_alone(store: Store, rules: Rules, timer: Timer) -> Result:
    try:
        return await _deliver(store, rules, [timer])
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("timer postponed", bot=rules.botname, timer=timer.timer_id, chat=timer.chat_id)
        await store.postpone_timer(rules.botname, timer.timer_id, POSTPONED_SECONDS)
        return Result(postponed=1)


async def _deliver(store: Store, rules: Rules, timers: Sequence[Timer]) -> Result:
    now = datetime.now(UTC)
    feeds = [
        Feed(TimeReached(Learner(timer.chat_id), now, timer.run_id, timer.element_id), timer_id=timer.timer_id)
        for timer in timers
    ]
    return await feed(store, rules, feeds)


async def _apply_alone(store: Store, rules: Rules, update: Update) -> Result:
    try:
        return await _turn(store, rules, [update])
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("update set aside", bot=rules.botname, update=update.update_id, chat=update.chat_id)
        apology = None
        if update.chat_id is not None and update.event is not None:
            text = rules.texts(update.event.learner.language_code).apology
            apology = NewMessage(update.chat_id, "sendMessage", {"chat_id": update.chat_id, "text": text})
        dead = DeadUpdate(update.update_id, update.chat_id, dict(update.raw), traceback.format_exc())
        queued, backlog = await store.bury(rules.botname, dead, apology)
        notices = [(update.callback_id, "")] if update.callback_id else []
        return Result(queued, notices, dead=1, backlog=backlog)


async def _turn(store: Store, rules: Rules, updates: Sequence[Update]) -> Result:
    relevant = [update for update in updates if update.event is not None or update.kind in rules.plugin_kinds]
    if not relevant:
        return Result()
    async with store.turn(rules.botname) as turn:
        loaded = await _load(turn, relevant)
        decision = await _decide(turn, rules, loaded, relevant)
        result = await _save(turn, decision)
    result.seen = sum(update.update_id not in loaded.fresh for update in relevant)
    result.committed = len(loaded.fresh)
    return result


async def _save(turn: Turn, decision: Decision) -> Result:
    messages = await turn.save(
        chats=list(decision.states.values()),
        runs_started=decision.started,
        runs_ended=[run_id for run_id, is_ended in decision.ended.items() if is_ended],
        runs_reopened=[run_id for run_id, is_ended in decision.ended.items() if not is_ended],
        timers_started=decision.timers,
        timers_cancelled=decision.timers_cancelled,
        jobs_started=decision.jobs,
        jobs_cancelled=decision.jobs_cancelled,
        usage=decision.usage,
        rows=decision.rows,
        messages=decision.messages,
    )
    return Result(
        messages,
        decision.notices,
        has_timers=bool(decision.timers),
        has_jobs=bool(decision.jobs),
        unused=decision.unused,
        jobs_cancelled=decision.jobs_cancelled,
        backlog=turn.backlog,
    )


async def _load(turn: Turn, updates: Sequence[Update]) -> Loaded:
    events = [update.event for update in updates]
    return await turn.load(
        update_ids=[update.update_id for update in updates],
        chat_ids=sorted({update.chat_id for update in updates if update.chat_id is not None}),
        poll_ids=[event.poll_id for event in events if isinstance(event, PollAnswered)],
        run_ids=sum(event is not None and needs_run_id(event) for event in events),
    )


async def _decide(turn: Turn, rules: Rules, loaded: Loaded, updates: Sequence[Update]) -> Decision:
    decision = Decision()
    run_ids, fresh = iter(loaded.run_ids), set(loaded.fresh)
    for update in updates:
        chat_id, event = update.chat_id, update.event
        if update.update_id not in fresh:
            if update.callback_id:
                decision.notices.append((update.callback_id, ""))
            continue
        fresh.remove(update.update_id)  # it may come twice in one batch
        if chat_id is None or event is None:
            decision.unused.append(Unused(update, rules.texts(None)))
            continue
        chat = decision.chat(loaded, chat_id)
        _work_on(rules, chat, chat_id, update=update.update_id)
        if levels.is_verbose:
            _tell_of(update)
        whole = await _complete(turn, rules, loaded, chat, event, next(run_ids) if needs_run_id(event) else 0)
        decision.decide(rules, loaded, _in_language(whole, loaded), update)
    return decision


def _work_on(rules: Rules, chat: Chat, chat_id: int, *, update: int | None = None, job: int | None = None) -> None:
    run = chat.run
    if run is None:
        work_on(Work(rules.botname, chat_id, update, job=job))
    else:
        work_on(Work(rules.botname, chat_id, update, run.run_id, run.element_id, job))


def _tell_of(update: Update) -> None:
    """Log an update; what the learner wrote only if that is asked for."""
    body, text = update.body, None
    if levels.has_texts:
        text = body.get("text") or body.get("caption") or body.get("data")
    log.debug("update", kind=update.kind, **({"text": text} if text else {}))


def _in_language(event: Event, loaded: Loaded) -> Event:
    """Return the event with the learner's language as it was known, if this update does not tell."""
    learner = event.learner
    known = None if learner.language_code else loaded.chats[learner.chat_id].language_code
    return replace(event, learner=replace(learner, language_code=known)) if known else event


async def _complete(turn: Turn, rules: Rules, loaded: Loaded, chat: Chat, event: Event, run_id: int) -> Event:
    """Return the event with what only the store knows: fresh ids, where a poll belongs, who is a participant."""
    match event:
        case StartRequested() | ButtonPressed() | CommandReceived():
            return replace(event, run_id=run_id, is_participant=await _may_start(turn, rules, chat, event))
        case PollAnswered():
            return await _bound(turn, rules, chat, event, loaded.polls.get(event.poll_id))
        case _:
            return event


async def _may_start(turn: Turn, rules: Rules, chat: Chat, event: Event) -> bool:
    """Tell whether the learner may start the course the event asks for; only asked of restricted ones."""
    course_id, learner = requested_course(event, rules.courses, chat), event.learner
    entry = rules.courses.entries.get(course_id) if course_id is not None else None
    if entry is None or not entry.restricted:
        return False
    return await turn.is_participant(entry.course_id, learner.username, learner.chat_id)


async def _bound(turn: Turn, rules: Rules, chat: Chat, event: PollAnswered, poll: PollRef | None) -> PollAnswered:
    """Return the vote with where its poll belongs.

    A quick vote may come before its poll is settled, or meanwhile; and of a poll that was sent twice only one copy is
    known. Any other vote in an unknown poll does not concern the question on screen.
    """
    if poll is not None or chat.run is None:
        return replace(event, poll=poll)
    run = chat.run
    # Asked first: what is settled between the two questions was being sent then, and is known to the store now.
    chat_id = event.learner.chat_id
    has_begun = rules.has_begun(run.run_id, run.step)
    if turn.is_foreign(chat_id) or chat_id in turn.backlog.taken_over:  # another host may have sent it
        has_begun = await turn.is_outgoing(chat_id, run.run_id, run.step)
    newest = await turn.newest_poll(chat_id, run.run_id)
    if newest is not None and newest.poll_id == event.poll_id:
        return replace(event, poll=newest.place)
    if newest is not None and newest.place.step == run.step:
        return replace(event, is_bound=newest.is_single)
    return replace(event, is_bound=not has_begun)
