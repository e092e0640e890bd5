"""Which bots stay stopped where."""

from __future__ import annotations

from app.store.store import Store


async def test_a_bot_stays_stopped_at_its_place_until_it_is_told_otherwise(store: Store) -> None:
    for place, bot in (("here", "left"), ("here", "right"), ("here", "left"), ("there", "left")):
        await store.stops.add(place, bot, f"{bot}_bot")
    assert (await store.stops.at("here"), await store.stops.at("there")) == ({"left", "right"}, {"left"})
    await store.stops.remove("here", "left")
    assert (await store.stops.at("here"), await store.stops.at("there")) == ({"right"}, {"left"})
    await store.stops.remove("here")
    assert (await store.stops.at("here"), await store.stops.at("there")) == (set(), {"left"})
