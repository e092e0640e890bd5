"""The stage of the runtime's tests, with a model's server beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.runtime.conftest import stage
from tests.model_server import ModelServer

__all__ = ["model", "stage"]


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    """A model's server that repeats what it hears, and ends the dialog at ``bye``."""
    async with ModelServer() as server:
        yield server
