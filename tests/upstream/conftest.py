"""The client's tests run on both event loops: transports differ in exactly what it relies on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.loops import LOOPS
from tests.upstream.peers import Tls


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))
