"""Shared by every test: asyncio is the one backend the program runs on."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
