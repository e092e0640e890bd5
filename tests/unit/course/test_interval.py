from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.course.interval import IntervalTooLong, parse_interval


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", timedelta(seconds=30)),
        ("1h:30m", timedelta(minutes=90)),
        ("1d12h", timedelta(hours=36)),
        ("1d:2h:3m:4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("90m", timedelta(minutes=90)),
        ("", timedelta()),
        (":::", timedelta()),
        (" 5m ", timedelta(minutes=5)),
        ("36500d", timedelta(days=36500)),
    ],
)
def test_parse_interval(text: str, expected: timedelta) -> None:
    assert parse_interval(text) == expected


@pytest.mark.parametrize("text", ["5", "soon", "1m1h", "1.5h", "-1h", "1w", "1h 30m", "١s", "::::"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an interval"):
        parse_interval(text)


@pytest.mark.parametrize("text", ["36501d", "36500d1s", "99999999h", "9" * 5000 + "s", "1d" + "9" * 11 + "m"])
def test_what_is_too_long_is_refused(text: str) -> None:
    with pytest.raises(IntervalTooLong, match="is too long"):
        parse_interval(text)


@given(*[st.integers(0, 999)] * 4)
def test_every_interval_that_can_be_written_is_read(days: int, hours: int, minutes: int, seconds: int) -> None:
    expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    assert parse_interval(f"{days}d:{hours}h:{minutes}m:{seconds}s") == expected
