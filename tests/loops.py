"""The event loops the program runs on, as parameters of ``anyio_backend``: their transports differ."""

from __future__ import annotations

import importlib.util

import pytest

LOOPS = [pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio")]
if importlib.util.find_spec("uvloop") is not None:
    LOOPS.append(pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))
