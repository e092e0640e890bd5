"""Growing pauses between attempts. aiogram has such a class, and takes 15 MiB to be imported."""

from __future__ import annotations

from random import normalvariate

_SHORTEST, _FACTOR, _JITTER = 0.5, 1.6, 0.1


class Backoff:
    """Delays in seconds, each longer than the one before up to ``longest``: ``next`` gives one, ``reset`` begins anew.

    They vary at random, lest many who failed together try again together.
    """

    def __init__(self, longest: float = 15.0) -> None:
        self._longest = longest
        self.next_delay = _SHORTEST

    def __next__(self) -> float:
        delay = self.next_delay
        self.next_delay = max(0.0, normalvariate(min(delay * _FACTOR, self._longest), _JITTER))
        return delay

    def reset(self) -> None:
        """Begin with the shortest delay again."""
        self.next_delay = _SHORTEST
