"""A model's server for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.model_server import ModelServer


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """A server that echoes until it is told otherwise."""
    async with ModelServer() as server:
        yield server
