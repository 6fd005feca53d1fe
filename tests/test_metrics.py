"""Counters, and their text as Prometheus' own parser reads it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from kiroproxy.metrics import MAX_UNKNOWN_EVENTS, Exposition, Histogram, Metrics


def read(exposition: Exposition) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    """Family → its samples as (name, labels, value)."""
    families = text_string_to_metric_families(exposition.encode().decode())
    return {f.name: [(s.name, s.labels, s.value) for s in f.samples] for f in families}


def test_counts_are_read_back() -> None:
    metrics = Metrics()
    for kind in ("quota", "quota", "internal"):
        metrics.count_failure(kind)
    text = Exposition()
    text.counts("failed_total", "Failures.", "kind", metrics.failures)
    assert read(text) == {
        "failed": [
            ("failed_total", {"kind": "internal"}, 1.0),
            ("failed_total", {"kind": "quota"}, 2.0),
        ]
    }


def test_families_without_a_sample_are_left_out() -> None:
    text = Exposition()
    text.counts("none_total", "Nothing.", "kind", {})
    text.single("unknown", "gauge", "Not known.", None)
    text.single("known", "gauge", "Known.", 0.25)
    assert read(text) == {"known": [("known", {}, 0.25)]}


@given(st.text(max_size=20))
def test_any_label_survives(value: str) -> None:
    value = "".join(c for c in value if c.isprintable()) + '\\"\n'
    text = Exposition()
    text.family("g", "gauge", "G.", [((("label", value),), 1)])
    assert read(text)["g"] == [("g", {"label": value}, 1.0)]


@given(st.lists(st.floats(0, 100), max_size=30))
def test_histogram_is_cumulative_and_whole(values: list[float]) -> None:
    histogram = Histogram((0.5, 1, 10))
    for value in values:
        histogram.observe(value)
    text = Exposition()
    text.histogram("h_seconds", "H.", histogram)
    samples = {(n, labels.get("le")): v for n, labels, v in read(text)["h_seconds"]}
    for bound in (0.5, 1.0, 10.0):
        assert samples["h_seconds_bucket", f"{bound:g}"] == sum(v <= bound for v in values)
    assert samples["h_seconds_bucket", "+Inf"] == len(values)
    assert samples["h_seconds_count", None] == len(values)
    assert math.isclose(samples["h_seconds_sum", None], sum(values), abs_tol=1e-9)


@pytest.mark.parametrize(
    ("value", "written"),
    [(math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (1e300, None)],
)
def test_what_is_no_number_has_its_word(value: float, written: str | None) -> None:
    text = Exposition()
    text.single("a", "gauge", "Of the test.", value)
    last = text.encode().decode().split()[-1]
    assert last == (written or str(int(value)))


def test_unknown_events_are_bounded() -> None:
    metrics = Metrics()
    for number in range(MAX_UNKNOWN_EVENTS + 10):
        metrics.count_unknown_event(f"event{number}", 2)
    metrics.count_unknown_event("event0", 1)
    assert len(metrics.unknown_events) == MAX_UNKNOWN_EVENTS
    assert metrics.unknown_events["event0"] == 3
