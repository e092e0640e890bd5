"""A bot's own aiogram router behind a dispatcher, and where its conversations stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from aiogram import Bot, Dispatcher, Router
from aiogram.dispatcher.event.bases import UNHANDLED, CancelHandler
from aiogram.fsm.state import State
from aiogram.fsm.storage.base import BaseStorage, DefaultKeyBuilder, StorageKey
from aiogram.methods import TelegramMethod
from aiogram.types import Update

if TYPE_CHECKING:
    from aiogram.fsm.storage.base import StateType


class States(Protocol):
    """Keeps a state and data under a key; both survive restarts."""

    async def load(self, key: str) -> tuple[str | None, dict[str, Any]]:
        """Return what is kept, nothing if nothing is."""

    async def save_state(self, key: str, state: str | None) -> None:
        """Replace the state."""

    async def save_data(self, key: str, data: dict[str, Any]) -> None:
        """Replace the data."""


class PluginRouter:
    """A router with its own dispatcher; raises ``TypeError`` or ``RuntimeError`` when it cannot have one.

    ``kinds`` are the types of updates that it, or a router in it, has handlers for.
    """

    def __init__(self, router: object, states: States) -> None:
        if not isinstance(router, Router) or isinstance(router, Dispatcher):
            raise TypeError(f"router is {type(router).__name__}, not aiogram.Router")
        self._dispatcher = Dispatcher(storage=_Storage(states))
        self._dispatcher.include_router(router)
        self.kinds = frozenset(router.resolve_used_update_types())

    async def start(self, **context: Any) -> None:
        """Call the router's ``startup`` handlers."""
        await self._dispatcher.emit_startup(**context)

    async def stop(self, **context: Any) -> None:
        """Call the router's ``shutdown`` handlers."""
        await self._dispatcher.emit_shutdown(**context)

    async def feed(self, bot: Bot, raw: Mapping[str, Any], **context: Any) -> bool:
        """Give the router an update as it came from JSON; tell whether a handler took it. Raises what handlers raise.

        A method that a handler returns is called, as in aiogram.
        """
        update = Update.model_validate(raw, context={"bot": bot})
        try:
            response = await self._dispatcher.feed_update(bot, update, **context)
        except CancelHandler:
            return True
        if response is UNHANDLED:
            return False
        if isinstance(response, TelegramMethod):
            await bot(response)
        return True


class _Storage(BaseStorage):
    """aiogram's conversations in ``States``."""

    def __init__(self, states: States) -> None:
        self._states = states

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        await self._states.save_state(_name(key), state.state if isinstance(state, State) else state)

    async def get_state(self, key: StorageKey) -> str | None:
        return (await self._states.load(_name(key)))[0]

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        await self._states.save_data(_name(key), dict(data))

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        return (await self._states.load(_name(key)))[1]

    async def close(self) -> None:
        pass


_name = DefaultKeyBuilder(with_business_connection_id=True, with_destiny=True).build
