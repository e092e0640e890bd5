"""What an operator decides about how a bot treats its learners."""

from __future__ import annotations

from dataclasses import dataclass

COMMANDS = ("menu", "restart", "next", "back", "help")
"""The commands for learners beside ``/start``; each can be switched off."""


@dataclass(frozen=True, slots=True)
class Options:
    """The choices of one bot.

    ``commands`` are those of ``COMMANDS`` that learners may use; ``has_keywords`` lets them move between modules with
    the old program's words too; ``admins`` (chat ids) may use ``/go``. A dialog ends at a reply that contains one of
    ``stop_markers``; after ``exit_after`` messages of the learner it offers a button that ends it, and after
    ``max_messages`` it ends by itself. ``app_url`` is the address of the bot's own page for mini apps, if it has one.
    """

    commands: frozenset[str] = frozenset(COMMANDS)
    has_keywords: bool = False
    admins: frozenset[int] = frozenset()
    stop_markers: tuple[str, ...] = ("{STOP}",)
    exit_after: int = 20
    max_messages: int = 200
    app_url: str | None = None


DEFAULT_OPTIONS = Options()
