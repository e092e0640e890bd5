"""``flotilla stop``: stop without removing anything."""

from __future__ import annotations

from app.cli.containers import DEFAULT_CONFIG, BotsArgument, ConfigOption
from app.cli.database import DryRunOption
from app.cli.order import Order, PlaceOption, give


def stop(
    bots: BotsArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    place: PlaceOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Stop bots; without names all, and what they need.

    Nothing is removed: flotilla start goes on. A bot of a group is stopped alone.
    """
    give(Order.STOP, bots or (), config, place, dry_run=dry_run)
