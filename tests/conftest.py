"""Shared by every test: asyncio is the one backend the program runs on, and no clock judges a test."""

import signal
import time
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("untimed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs this in the background ignores Ctrl-C, and so would each program a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


_BEGAN_S = pytest.StashKey[float]()


def _limit_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0])
    option = item.config.getoption("timeout")
    return float(item.config.getini("timeout") if option is None else option)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.stash[_BEGAN_S] = time.monotonic()
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Again if the first was taken for something else, and the test still runs."""
    left_s, _ = signal.getitimer(signal.ITIMER_REAL)
    if left_s:
        signal.setitimer(signal.ITIMER_REAL, left_s, 20.0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that has outlived its limit has failed. The limit is an exception at whatever line runs then,
    and an event loop takes one inside a transport's callback for that connection's end."""
    report = yield
    took_s = time.monotonic() - item.stash[_BEGAN_S]
    if call.when == "call" and report.passed and 0 < _limit_s(item) <= took_s:
        report.outcome = "failed"
        report.longrepr = f"took {took_s:.0f} s, which is over its limit"
    return report
