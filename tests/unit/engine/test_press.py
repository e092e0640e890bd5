from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.event import (
    ButtonPressed,
    CommandReceived,
    ContentReceived,
    Event,
    Learner,
    PollAnswered,
    StartRequested,
    TextReceived,
)
from app.engine.press import (
    ChoicePress,
    ExitPress,
    LegacyPress,
    Press,
    RestartPress,
    ResumePress,
    RetryPress,
    menu_press,
    needs_run_id,
    parse_press,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = Learner(7)
NUMBERS = st.integers(0, 2**53)


@pytest.mark.parametrize(
    ("press", "data"),
    [
        (ChoicePress(12, 3, 0), "c:12:3:0"),
        (ResumePress(12, 3), "r:12:3"),
        (RestartPress(12, 3), "s:12:3"),
        (ExitPress(12, 3), "e:12:3"),
        (RetryPress(12, 3), "t:12:3"),
        (menu_press("spring"), "m:2b09b6383e73520cd5a2f031cfb8b184"),
        (LegacyPress("got_it"), "got_it"),
        (LegacyPress("goto_Ex1_2"), "goto_Ex1_2"),
        (LegacyPress("wait_1h"), "wait_1h"),
    ],
)
def test_data(press: Press, data: str) -> None:
    assert press.data == data
    assert parse_press(data) == press


@pytest.mark.parametrize(
    "data",
    [
        "", "c", "c:1:2", "r:1:2:3", "s:1", "x:1:2", "c:1:2:-3", "c:1:2:x", "c:1:2:3:4", "c:١:2:3", "c:1:2:3\n",
        "c:" + "9" * 5000 + ":1:1", "m:12", "\x00",
    ],
)  # fmt: skip
def test_data_of_others(data: str) -> None:
    assert parse_press(data) is None


@given(
    st.builds(ChoicePress, NUMBERS, NUMBERS, st.integers(0, 999))
    | st.builds(ResumePress, NUMBERS, NUMBERS)
    | st.builds(RestartPress, NUMBERS, NUMBERS)
    | st.builds(ExitPress, NUMBERS, NUMBERS)
    | st.builds(RetryPress, NUMBERS, NUMBERS)
    | st.builds(menu_press, st.text())
)
def test_data_is_read_back_and_within_the_limit(press: Press) -> None:
    assert parse_press(press.data) == press
    assert len(press.data.encode()) <= 64


def pressed(data: str) -> ButtonPressed:
    return ButtonPressed(ANNA, AT, "callback", data, 1)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (StartRequested(ANNA, AT, ""), True),
        (pressed("s:1:2"), True),
        (pressed("r:1:2"), False),
        (pressed("c:1:2:3"), False),
        (pressed("s"), False),
        (pressed(menu_press("spring").data), True),
        (pressed("e:1:2"), False),
        (pressed("got_it"), False),
        (CommandReceived(ANNA, AT, "restart", ""), True),
        (CommandReceived(ANNA, AT, "go", "spring"), True),
        (CommandReceived(ANNA, AT, "next", ""), False),
        (CommandReceived(ANNA, AT, "help", ""), False),
        (TextReceived(ANNA, AT, "s:1:2"), False),
        (ContentReceived(ANNA, AT, "voice"), False),
        (PollAnswered(ANNA, AT, "poll", (0,)), False),
    ],
)
def test_events_that_may_start_a_run(event: Event, expected: bool) -> None:
    assert needs_run_id(event) is expected
