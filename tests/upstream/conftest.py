"""The client's tests run on both event loops: transports differ in exactly what it relies on."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

_LOOPS = [pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio")]
if importlib.util.find_spec("uvloop") is not None:
    _LOOPS.append(pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))


@pytest.fixture(params=_LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param
