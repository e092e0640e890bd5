"""Who may talk to the model."""

import pytest

from app.course.course import Entry
from app.engine.event import Trouble
from app.runtime.dialogs import is_too_much, trouble_of
from app.store.rows import Standing

OPEN = Entry("a", "a.yml")
STRICT = Entry("a", "a.yml", ban_enabled=True, message_limit=10, daily_limit=5)


@pytest.mark.parametrize(
    ("standing", "entry", "daily_tokens", "trouble"),
    [
        (Standing(), OPEN, None, None),
        (Standing(is_banned=True), OPEN, None, None),
        (Standing(is_banned=True), STRICT, None, Trouble.BANNED),
        (Standing(is_banned=True, is_exempt=True), STRICT, None, None),
        (Standing(messages_today=5), STRICT, None, None),
        (Standing(messages_today=6), STRICT, None, Trouble.MESSAGES),
        (Standing(messages_today=6, is_exempt=True), STRICT, None, None),
        (Standing(messages_today=600), OPEN, None, None),
        (Standing(tokens_today=99), OPEN, 100, None),
        (Standing(tokens_today=100), OPEN, 100, Trouble.TOKENS),
        (Standing(tokens_today=100, is_exempt=True), STRICT, 100, Trouble.TOKENS),
        (Standing(is_banned=True, messages_today=6, tokens_today=100), STRICT, 100, Trouble.BANNED),
        (Standing(messages_today=6, tokens_today=100), STRICT, 100, Trouble.MESSAGES),
    ],
)
def test_d27_what_keeps_a_learner_from_the_model(
    standing: Standing, entry: Entry, daily_tokens: int | None, trouble: Trouble | None
) -> None:
    assert trouble_of(standing, entry, daily_tokens) is trouble


@pytest.mark.parametrize(
    ("standing", "entry", "is_over"),
    [
        (Standing(messages=10), STRICT, False),
        (Standing(messages=11), STRICT, True),
        (Standing(messages=11, is_banned=True), STRICT, False),
        (Standing(messages=11, is_exempt=True), STRICT, False),
        (Standing(messages=11), OPEN, False),
        (Standing(messages=11), Entry("a", "a.yml", message_limit=10), False),
    ],
)
def test_d27_who_is_banned_for_too_many_messages(standing: Standing, entry: Entry, is_over: bool) -> None:
    assert is_too_much(standing, entry) is is_over
