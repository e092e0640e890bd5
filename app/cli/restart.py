"""``flotilla restart``: stop and start."""

from __future__ import annotations

from app.cli.containers import DEFAULT_CONFIG, BotsArgument, ConfigOption
from app.cli.database import DryRunOption
from app.cli.order import Order, PlaceOption, give


def restart(
    bots: BotsArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    place: PlaceOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Restart bots, without names all of them.

    The containers stay, and so do their settings: changed ones take flotilla up. A bot of a group is restarted alone.
    """
    give(Order.RESTART, bots or (), config, place, dry_run=dry_run)
