"""The fuzz targets without a fuzzer: every kept input, and what hypothesis makes up."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import samples
from fuzz.targets import NAMES
from tests.api.turns import JSON

FUZZ = Path(__file__).parent.parent / "fuzz"
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def target_of(name: str) -> Callable[[bytes], None]:
    target: Callable[[bytes], None] = importlib.import_module(f"fuzz.targets.{name}").target
    return target


def kept(kind: str, name: str) -> list[Path]:
    return sorted(path for path in (FUZZ / kind / name).glob("*") if path.is_file())


@pytest.mark.parametrize("name", NAMES)
def test_corpus(name: str) -> None:
    target, paths = target_of(name), kept("corpus", name)
    assert paths
    for path in paths:
        target(path.read_bytes())


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=f"{n}-{p.name}") for n in NAMES for p in kept("findings", n)],
)
def test_finding_stays_mended(path: Path) -> None:
    target_of(path.parent.name)(path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
@QUICK
@given(st.binary(max_size=120))
def test_any_bytes(name: str, data: bytes) -> None:
    target_of(name)(data)


VALUES: st.SearchStrategy[Any] = JSON | st.sampled_from(
    ["user", "assistant", "tool", "text", "auto", 1.5, 2**70, [], {}, None]
)


def changed(requests: tuple[dict[str, Any], ...]) -> st.SearchStrategy[bytes]:
    """A sample request with some of its fields replaced, and some fields that nobody knows."""
    return st.builds(
        lambda sample, more: json.dumps({**sample, **more}).encode(),
        st.sampled_from(requests),
        st.dictionaries(
            st.sampled_from(sorted({key for r in requests for key in r})) | st.text(max_size=5),
            VALUES,
            max_size=3,
        ),
    )


@QUICK
@given(changed(samples.MESSAGES))
def test_messages_requests(body: bytes) -> None:
    target_of("messages")(body)


@QUICK
@given(changed(samples.CHAT))
def test_chat_requests(body: bytes) -> None:
    target_of("chat")(body)


@QUICK
@given(changed(samples.RESPONSES))
def test_responses_requests(body: bytes) -> None:
    target_of("responses")(body)


def test_every_target_is_named() -> None:
    files = {path.stem for path in (FUZZ / "targets").glob("*.py")} - {"__init__"}
    assert files == set(NAMES)
    for kind in ("corpus", "findings"):
        assert {path.name for path in (FUZZ / kind).iterdir()} <= files
