"""The tide at Skerry, as a keeper without a printed table would reckon it: the moon brings high water twice a day."""

from datetime import UTC, datetime, timedelta
from math import cos, pi

BETWEEN_HIGH_WATERS = timedelta(hours=12, minutes=25)
A_HIGH_WATER = datetime(1895, 10, 1, 4, 10, tzinfo=UTC)
MEAN, RANGE = 2.4, 3.6  # metres above the chart


def next_high_water(at: datetime) -> datetime:
    """Return when the water is highest next."""
    return at + BETWEEN_HIGH_WATERS - (at - A_HIGH_WATER) % BETWEEN_HIGH_WATERS


def height(at: datetime) -> float:
    """Return the height of the water in metres."""
    return MEAN + RANGE / 2 * cos(2 * pi * ((at - A_HIGH_WATER) / BETWEEN_HIGH_WATERS))
