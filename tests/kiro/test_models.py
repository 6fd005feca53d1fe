"""The catalogue reply in every shape seen, and names finding their model."""

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiroproxy.errors import UpstreamError
from kiroproxy.kiro.models import (
    FALLBACK,
    ModelInfo,
    claude_aliases,
    normalise,
    parse_models,
    parse_next_token,
    resolve,
    wants_thinking,
)

SCHEMA = {"type": "object", "additionalProperties": False, "properties": {"max_tokens": {}}}
FULL = {
    "modelId": "claude-sonnet-5",
    "modelName": "Claude Sonnet 5",
    "description": "Good at code",
    "rateMultiplier": 1.3,
    "rateUnit": "credit",
    "tokenLimits": {"maxInputTokens": 1_000_000, "maxOutputTokens": 64_000},
    "supportedInputTypes": ["TEXT", "IMAGE"],
    "promptCaching": {"supportsPromptCaching": True, "maximumCacheCheckpointsPerRequest": 4},
    "additionalModelRequestFieldsSchema": SCHEMA,
}


def page(*models: object, **more: object) -> bytes:
    return orjson.dumps({"models": list(models), **more})


def test_parse_models_full_entry_keeps_every_field() -> None:
    assert parse_models(page(FULL)) == [
        ModelInfo(
            "claude-sonnet-5", "Claude Sonnet 5", 1_000_000, 64_000, True, SCHEMA, True, 1.3,
            "Good at code",
        )
    ]  # fmt: skip


def test_parse_models_snake_case_entry_is_read() -> None:
    entry = {
        "model_id": "glm-5",
        "token_limits": {"max_input_tokens": 9, "max_output_tokens": 8},
        "supported_input_types": ["TEXT"],
    }
    [model] = parse_models(page(entry))
    assert (model.id, model.max_input_tokens, model.max_output_tokens) == ("glm-5", 9, 8)
    assert not model.images


def test_parse_models_schema_as_text_is_parsed() -> None:
    entry = {**FULL, "additionalModelRequestFieldsSchema": orjson.dumps(SCHEMA).decode()}
    assert parse_models(page(entry))[0].fields_schema == SCHEMA


@pytest.mark.parametrize("schema", [None, "", "{", "[]", {}, 3])
def test_parse_models_unusable_schema_is_none(schema: object) -> None:
    entry = {**FULL, "additionalModelRequestFieldsSchema": schema}
    assert parse_models(page(entry))[0].fields_schema is None


def test_parse_models_bare_entry_gets_window_of_fallback_table() -> None:
    [known, unknown] = parse_models(page({"modelId": "claude-opus-5"}, {"modelId": "new"}))
    assert known.max_input_tokens == 1_000_000
    assert unknown.max_input_tokens == 200_000
    assert unknown.images


def test_parse_models_old_cache_flag_is_read() -> None:
    assert parse_models(page({"modelId": "m", "supportsPromptCache": True}))[0].cache


def test_parse_models_entry_without_id_is_skipped() -> None:
    assert parse_models(page({"modelName": "x"}, 7, {"modelId": ""})) == []


@pytest.mark.parametrize("reply", [b"", b"[]", b"{}", b'{"models": {}}', b"\xff"])
def test_parse_models_other_replies_are_refused(reply: bytes) -> None:
    with pytest.raises(UpstreamError, match="ListAvailableModels"):
        parse_models(reply)


def test_parse_next_token() -> None:
    assert parse_next_token(page(nextToken="t")) == "t"
    assert parse_next_token(page(nextToken=None)) is None
    assert parse_next_token(page()) is None


# The first example builds character tables, which is slow on a busy machine and no fault here.
PROPERTY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(FULL)), JSON))
@PROPERTY
def test_parse_models_any_field_values_give_models_with_positive_limits(
    entry: dict[str, object],
) -> None:
    for model in parse_models(page(entry)):
        assert model.id
        assert model.max_input_tokens >= 1
        assert model.max_output_tokens >= 1


NAMES = {
    "claude-opus-4-5-20251101": "claude-opus-4.5",
    "claude-opus-4-5": "claude-opus-4.5",
    "Claude-Opus-4.5": "claude-opus-4.5",
    "anthropic/claude-sonnet-4-5-20250929": "claude-sonnet-4.5",
    "claude-sonnet-4-20250514": "claude-sonnet-4",
    "claude-sonnet-4-0": "claude-sonnet-4",
    "claude-3-7-sonnet-20250219": "claude-3.7-sonnet",
    "claude-3-7-sonnet-latest": "claude-3.7-sonnet",
    "claude-4.5-sonnet": "claude-sonnet-4.5",
    "claude-4-5-haiku": "claude-haiku-4.5",
    "claude-sonnet-5[1m]": "claude-sonnet-5",
    "claude-opus-4-6-thinking": "claude-opus-4.6",
    "claude-haiku-4-5-20251001-thinking": "claude-haiku-4.5",
    "us.vendor/claude-haiku-4-5-20251001-v1:0": "claude-haiku-4.5",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": "claude-sonnet-4.5",
    "anthropic.claude-3-7-sonnet-20250219-v1:0": "claude-3.7-sonnet",
    "claude-sonnet-4-5@20250929": "claude-sonnet-4.5",
    "gpt-5.6-sol": "gpt-5.6-sol",
    "AUTO": "auto",
    "sonnet": "claude-sonnet-5",
    "claude-opus": "claude-opus-5.5",
    " claude-opus-5-5 ": "claude-opus-5.5",
}


@pytest.mark.parametrize("name", NAMES)
def test_resolve_spellings_find_their_model(name: str) -> None:
    assert resolve(name, FALLBACK).id == NAMES[name]


ACCOUNT = parse_models(
    page(
        *(
            {"modelId": i}
            for i in ("auto", "claude-opus-4.5", "claude-opus-4.7", "claude-haiku-4.5")
        )
    )
)


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("claude-opus-5-5", "claude-opus-4.7"),
        ("claude-opus-4-6", "claude-opus-4.5"),
        ("claude-opus-4", "claude-opus-4.5"),
        ("claude-haiku-5-5[1m]", "claude-haiku-4.5"),
    ],
)
def test_resolve_missing_version_takes_nearest_of_its_family(name: str, model_id: str) -> None:
    assert resolve(name, ACCOUNT).id == model_id


def test_resolve_never_changes_the_family() -> None:
    assert resolve("claude-sonnet-4-5", ACCOUNT).id == "claude-sonnet-4.5"


def test_resolve_fallback_table_moves_nothing() -> None:
    for catalogue in (FALLBACK, list(FALLBACK)):
        assert resolve("claude-haiku-9-1", catalogue).id == "claude-haiku-9.1"


@pytest.mark.parametrize("name", ["my-model", "CLAUDE_SONNET_4_20250514_V1_0", "gpt-7-2"])
def test_resolve_unknown_names_pass_through(name: str) -> None:
    assert resolve(name, ACCOUNT).id == name


def test_resolve_keeps_the_catalogue_spelling() -> None:
    catalogue = parse_models(page({"modelId": "OPENAI_GPT_OSS"}))
    assert resolve("openai_gpt_oss", catalogue).id == "OPENAI_GPT_OSS"


@given(st.text())
@PROPERTY
def test_resolve_any_text_gives_an_id(name: str) -> None:
    assert resolve(name, ACCOUNT).id
    assert len(normalise(name)) == len(set(normalise(name)))


def test_wants_thinking_reads_the_suffix() -> None:
    assert wants_thinking("claude-sonnet-4-5-thinking")
    assert wants_thinking("claude-sonnet-4-5-thinking[1m]")
    assert not wants_thinking("claude-sonnet-4-5")


def test_claude_aliases_names_newest_of_each_family() -> None:
    aliases = claude_aliases(ACCOUNT)
    assert aliases["opus"] == aliases["claude-opus"] == "claude-opus-4.7"
    assert aliases["claude-opus-4-5"] == "claude-opus-4.5"
    assert "auto" not in aliases
