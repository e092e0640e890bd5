"""Import aiogram without building its models: each is built when it is first used.

``import aiogram`` builds the validators of all types of the Bot API, most of which no bot ever sees: 110 MiB and 2 s of
CPU (``bench/import.py`` measures both ways). Known to work with aiogram 3.31 and pydantic 2.13.
"""

from __future__ import annotations

import logging
import sys
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ConfigDict

_log = logging.getLogger(__name__)


def import_aiogram() -> None:
    """Import aiogram with its models unbuilt; does nothing when it is imported already.

    If a model then does not work, as with an aiogram or pydantic that differs from what this module knows, the lean
    import is undone and the plain one is made, with a warning in the log.
    """
    if "aiogram" in sys.modules:
        return
    try:
        with _unbuilt_models():
            import_module("aiogram")
        _build_on_first_use()
        _try_out()
    except Exception as error:  # anything may go wrong between versions, and the plain import needs none of it
        _log.warning("aiogram is imported the plain way, which takes 100 MiB more: %s: %s", type(error).__name__, error)
        _forget()
        import_module("aiogram")


@contextmanager
def _unbuilt_models() -> Iterator[None]:
    """Within, no model class that is defined is built, neither by its definition nor by ``model_rebuild()``."""
    config, rebuild = BaseModel.model_config, BaseModel.__dict__["model_rebuild"]
    _set(BaseModel, model_config=ConfigDict(defer_build=True), model_rebuild=classmethod(_leave_unbuilt))
    try:
        yield
    finally:
        _set(BaseModel, model_config=config, model_rebuild=rebuild)


def _leave_unbuilt(_: type[BaseModel], /, **_options: Any) -> None:
    pass


def _set(owner: type[BaseModel], **attributes: Any) -> None:
    for name, value in attributes.items():
        setattr(owner, name, value)


def _build_on_first_use() -> None:
    from aiogram import types
    from aiogram.client.context_controller import BotContextController
    from aiogram.client.default import Default
    from aiogram.methods.base import Response

    names = {name: getattr(types, name) for name in types.__all__}
    names |= {name: getattr(typing, name) for name in ("List", "Literal", "Optional", "Union")}
    names["Default"] = Default
    for base in (BotContextController, Response):  # all types and methods; all answers
        _resolve_with(base, names)


def _resolve_with(base: type[BaseModel], names: Mapping[str, Any]) -> None:
    """Let ``base`` and its subclasses find ``names`` when pydantic builds them, as aiogram does when it is imported.

    What is built is kept: aiogram makes the class ``Response[...]`` for each answer, and pydantic finds an earlier one
    only while somebody holds it.
    """
    built: set[type[BaseModel]] = set()
    rebuild = BaseModel.model_rebuild.__func__  # type: ignore[attr-defined]

    def model_rebuild(cls: Any, /, *, _types_namespace: Mapping[str, Any] | None = None, **options: Any) -> Any:
        built.add(cls)
        return rebuild(cls, _types_namespace={**names, **(_types_namespace or {})}, **options)

    _set(base, model_rebuild=classmethod(model_rebuild))


def _try_out() -> None:
    """Build a method, the types in it and an answer; raises whatever does not work."""
    from aiogram.methods import SendMessage
    from aiogram.methods.base import Response
    from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, User

    keyboard = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="a", callback_data="a")]])
    SendMessage(chat_id=1, text="a", reply_markup=keyboard).model_dump(warnings=False)
    Response[User].model_validate({"ok": True, "result": {"id": 1, "is_bot": True, "first_name": "a"}})


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "aiogram"]:
        del sys.modules[name]
