"""Each package's door: what ``__all__`` promises is there, once."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import kiroproxy

MODULES = sorted(
    ["kiroproxy", *(info.name for info in pkgutil.walk_packages(kiroproxy.__path__, "kiroproxy."))]
)


@pytest.mark.parametrize("name", MODULES)
def test_all_resolves_without_repetition(name: str) -> None:
    module = importlib.import_module(name)
    promised = promised_by(module)
    assert len(promised) == len(set(promised))
    assert [item for item in promised if not hasattr(module, item)] == []
    assert [item for item in promised if item.startswith("_") and item != "__version__"] == []


def promised_by(module: ModuleType) -> list[str]:
    promised = getattr(module, "__all__", ())
    assert all(isinstance(item, str) for item in promised)
    return list(promised)


def test_the_walk_found_the_packages() -> None:
    packages = ("eventstream", "http", "kiro", "api", "upstream", "accounts", "simulator")
    assert {f"kiroproxy.{name}" for name in packages} <= set(MODULES)
