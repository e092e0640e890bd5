"""The base of every part of the config."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A mapping of the config: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
