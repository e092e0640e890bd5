"""The engine's actions as rows of the store."""

import json
from datetime import UTC, datetime

from app.course.course import Courses, Entry
from app.course.loader import load_course
from app.engine.event import Learner, ReplyReceived, StartRequested, TextReceived
from app.runtime.decision import Decision, Rules
from app.store.rows import ChatRecord, Loaded, NewJob

NOW = datetime(2026, 1, 2, tzinfo=UTC)
COURSE, _ = load_course("Talk: {type: dialog, text: Hi, prompt: Be kind}\nBye: {type: end, text: Bye}\n", "c.yml")
RULES = Rules("bot", Courses({"default": Entry("default", "c.yml")}, {"default": COURSE}))
ANNA = Learner(7, "anna", "ru")
EMPTY = Loaded(frozenset(), {7: ChatRecord()}, {}, ())


def started() -> Decision:
    decision = Decision()
    decision.decide(RULES, EMPTY, StartRequested(ANNA, NOW, "", run_id=1))
    decision.decide(RULES, EMPTY, TextReceived(ANNA, NOW, "What is \x85 love?"))
    return decision


def test_a_text_in_a_dialog_starts_a_job_and_is_recorded_as_the_model_reads_it() -> None:
    decision = started()
    assert decision.jobs == [NewJob(7, 1, 1, "reply", {})]
    row = decision.rows[-1]
    assert (row.role, row.report, json.loads(row.json or "")) == (
        "user",
        "What is \x85 love?",
        {"content": "What is \x85 love?"},
    )


def test_a_job_that_is_cancelled_in_its_own_turn_is_not_stored() -> None:
    decision = started()
    decision.decide(RULES, EMPTY, ReplyReceived(Learner(7), NOW, 1, 1, "Nothing. {STOP}"))
    assert [row.report for row in decision.rows[-2:]] == ["Nothing.", "Bye"]
    decision = started()
    decision.decide(RULES, EMPTY, StartRequested(ANNA, NOW, "", run_id=2))
    decision.decide(RULES, EMPTY, StartRequested(ANNA, NOW, "other", run_id=3))
    assert decision.jobs == [NewJob(7, 1, 1, "reply", {})]


def test_the_language_of_the_learner_is_kept() -> None:
    assert started().states[7].language_code == "ru"


def test_what_comes_by_itself_is_no_sign_of_a_learner_who_is_back() -> None:
    decision = Decision()
    decision.decide(RULES, EMPTY, ReplyReceived(Learner(7), NOW, 1, 1, "Hm"))
    assert decision.states[7].has_written is False
    decision.decide(RULES, EMPTY, StartRequested(ANNA, NOW, "", run_id=1))
    decision.decide(RULES, EMPTY, ReplyReceived(Learner(7), NOW, 1, 1, "Hm"))
    assert decision.states[7].has_written is True
