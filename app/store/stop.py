"""Which bots an operator has stopped alone, while others of their host go on."""

from __future__ import annotations

from app.store.connection import Connect

_ADD = """
    INSERT INTO stopped_bot (place, bot, botname) VALUES (%(place)s, %(bot)s, %(botname)s)
    ON CONFLICT (place, bot) DO UPDATE SET stopped_at = now()
"""
_REMOVE = "DELETE FROM stopped_bot WHERE place = %(place)s AND bot = coalesce(%(bot)s, bot)"
_AT = "SELECT bot FROM stopped_bot WHERE place = %(place)s"


class Stops:
    """The bots that stay stopped when their host starts again at the same place, such as a container."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def add(self, place: str, bot: str, botname: str) -> None:
        """Have a bot stay stopped."""
        async with self._connect() as connection:
            await connection.execute(_ADD, {"place": place, "bot": bot, "botname": botname})

    async def remove(self, place: str, bot: str | None = None) -> None:
        """Have a bot, or all of the place, start again with their host."""
        async with self._connect() as connection:
            await connection.execute(_REMOVE, {"place": place, "bot": bot})

    async def at(self, place: str) -> set[str]:
        """Return the names of the bots that stay stopped at a place."""
        async with self._connect() as connection:
            cursor = await connection.execute(_AT, {"place": place})
            return {bot for (bot,) in await cursor.fetchall()}
