"""Thinking fields: only what a model's own schema admits."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiroproxy.kiro.fields import EFFORTS, Wish, admits, effort_of_budget, native_fields


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def words(*options: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(options)}


CLAUDE = closed(
    output_config=closed(effort=words("low", "medium", "high", "max")),
    thinking=closed(type=words("adaptive", "disabled"), display=words("summarized", "omitted")),
    max_tokens={"type": "integer", "minimum": 1024, "maximum": 64_000},
)
GPT = closed(reasoning=closed(effort=words("low", "medium", "high", "xhigh")))


def test_claude_gets_thinking_effort_and_limit() -> None:
    assert native_fields(CLAUDE, Wish("high", max_tokens=32_000)) == {
        "output_config": {"effort": "high"},
        "thinking": {"type": "adaptive", "display": "summarized"},
        "max_tokens": 32_000,
    }


def test_no_effort_asked_none_sent() -> None:
    assert native_fields(CLAUDE, Wish()) == {
        "thinking": {"type": "adaptive", "display": "summarized"}
    }


def test_gpt_gets_its_own_key_only() -> None:
    assert native_fields(GPT, Wish("xhigh", max_tokens=9)) == {"reasoning": {"effort": "xhigh"}}
    assert native_fields(GPT, Wish("max")) == {"reasoning": {"effort": "xhigh"}}
    assert native_fields(GPT, Wish()) == {"reasoning": {"effort": "high"}}


@pytest.mark.parametrize(("wanted", "sent"), [(5, 1024), (2000, 2000), (128_000, 64_000)])
def test_max_tokens_is_brought_into_bounds(wanted: int, sent: int) -> None:
    fields = native_fields(CLAUDE, Wish(max_tokens=wanted))
    assert fields is not None
    assert fields["max_tokens"] == sent


def test_unknown_effort_becomes_the_nearest() -> None:
    fields = native_fields(CLAUDE, Wish("xhigh"))
    assert fields is not None
    assert fields["output_config"] == {"effort": "max"}


def test_omitted_display_falls_back_when_unknown() -> None:
    schema = closed(thinking=closed(type=words("adaptive")))
    assert native_fields(schema, Wish(omit=True)) == {"thinking": {"type": "adaptive"}}


def test_enabled_with_budget_where_adaptive_is_unknown() -> None:
    schema = closed(
        thinking=closed(type=words("enabled"), budget_tokens={"type": "integer", "maximum": 9000})
    )
    assert native_fields(schema, Wish(budget_tokens=5000)) == {
        "thinking": {"type": "enabled", "budget_tokens": 5000}
    }
    assert native_fields(schema, Wish(budget_tokens=50_000)) is None


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {},
        {"properties": []},
        closed(),
        closed(max_tokens={"type": "integer"}),
        closed(thinking=False),
        {**CLAUDE, "required": ["other"]},
    ],
)
def test_no_switch_in_the_schema_gives_none(schema: dict[str, Any] | None) -> None:
    assert native_fields(schema, Wish("high", max_tokens=2000)) is None


@pytest.mark.parametrize(
    ("budget", "effort"),
    [(1, "low"), (10_000, "low"), (20_000, "medium"), (28_000, "high"), (31_999, "max")],
)
def test_effort_of_budget(budget: int, effort: str) -> None:
    assert effort_of_budget(budget) == effort


REFERRING = {"$defs": {"e": words("low")}, "properties": {"a": {"$ref": "#/$defs/e"}}}


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        (True, 1, True),
        (False, 1, False),
        ({"type": "integer"}, True, False),
        ({"type": "boolean"}, True, True),
        ({"type": ["string", "null"]}, None, True),
        ({"type": "string"}, None, False),
        ({"const": 1}, 2, False),
        ({"minimum": 3}, 2, False),
        ({"maximum": 3}, 4, False),
        ({"minimum": 3}, "text", True),
        ({"required": ["a"]}, {}, False),
        ({"additionalProperties": {"type": "string"}}, {"a": 1}, False),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, False),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, 1, True),
        ({"allOf": [{"type": "integer"}, {"minimum": 5}]}, 1, False),
        (REFERRING, {"a": "low"}, True),
        (REFERRING, {"a": "high"}, False),
        ({"$ref": "#"}, 1, False),
        ({"$ref": "#/nowhere"}, 1, False),
    ],
)
def test_admits(schema: Any, value: Any, fits: bool) -> None:
    root = schema if isinstance(schema, dict) else {}
    assert admits(schema, value, root) is fits


@given(
    st.sampled_from(["", *EFFORTS]),
    st.integers(0, 100_000),
    st.booleans(),
    st.none() | st.integers(1, 300_000),
    st.sampled_from([CLAUDE, GPT]),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_native_fields_any_wish_is_admitted(
    effort: str, budget: int, omit: bool, limit: int | None, schema: dict[str, Any]
) -> None:
    fields = native_fields(schema, Wish(effort, budget, omit, limit))
    assert fields is not None
    assert admits(schema, fields, schema)
