"""``flotilla start``: start what was stopped."""

from __future__ import annotations

from app.cli.containers import DEFAULT_CONFIG, BotsArgument, ConfigOption
from app.cli.database import DryRunOption
from app.cli.order import Order, PlaceOption, give


def start(
    bots: BotsArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    place: PlaceOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Start bots that were stopped; without names all, and what they need.

    New bots and changed settings take: flotilla up. A bot of a group is started alone.
    """
    give(Order.START, bots or (), config, place, dry_run=dry_run)
