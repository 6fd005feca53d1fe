"""The models this Kiro offers: ids, windows, and the schema of the extra request fields.

Numbers follow what proxies saw in ListAvailableModels during 2026. Only models with a
``fields_schema`` think natively; the others think in ``<thinking>`` text when the prompt asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

JsonObject = dict[str, Any]

DEFAULT_MODEL_ID = "auto"
MIN_ANSWER_TOKENS = 1024  # the schema's lower bound of max_tokens


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One entry of the catalogue. Token limits in tokens, ``rate`` in credits per standard call."""

    id: str
    name: str
    max_input_tokens: int
    max_output_tokens: int = 64_000
    rate: float = 1.0
    images: bool = True
    cache: bool = True
    fields_schema: JsonObject | None = None
    description: str = ""

    @property
    def thinks(self) -> bool:
        """Whether the model knows native reasoning events."""
        return self.fields_schema is not None


def _closed(properties: JsonObject, required: list[str] | None = None) -> JsonObject:
    schema: JsonObject = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        schema["required"] = required
    return schema


def _word(*allowed: str) -> JsonObject:
    return {"type": "string", "enum": list(allowed)}


def claude_schema(max_tokens: int, *, xhigh: bool) -> JsonObject:
    """Effort, adaptive thinking and ``max_tokens``, as Claude models publish them."""
    levels = (
        ("low", "medium", "high", "xhigh", "max") if xhigh else ("low", "medium", "high", "max")
    )
    return _closed(
        {
            "output_config": _closed({"effort": _word(*levels)}),
            "thinking": _closed(
                {
                    "type": _word("adaptive", "disabled"),
                    "display": _word("summarized", "omitted"),
                },
                ["type"],
            ),
            "max_tokens": {"type": "integer", "minimum": MIN_ANSWER_TOKENS, "maximum": max_tokens},
        }
    )


def gpt_schema() -> JsonObject:
    """The GPT family knows ``reasoning.effort`` and nothing else."""
    return _closed({"reasoning": _closed({"effort": _word("low", "medium", "high", "xhigh")})})


def _claude(
    id_: str, name: str, window: int, output: int, rate: float, *, xhigh: bool | None = None
) -> ModelSpec:
    schema = None if xhigh is None else claude_schema(output, xhigh=xhigh)
    return ModelSpec(id_, name, window, output, rate, fields_schema=schema)


def _gpt(id_: str, name: str, rate: float) -> ModelSpec:
    return ModelSpec(id_, name, 272_000, 64_000, rate, cache=False, fields_schema=gpt_schema())


def _text(id_: str, name: str, window: int, rate: float) -> ModelSpec:
    return ModelSpec(id_, name, window, 64_000, rate, images=False, cache=False)


CATALOGUE: tuple[ModelSpec, ...] = (
    ModelSpec("auto", "Auto", 200_000, description="Chooses the best model for each task"),
    _claude("claude-opus-5.5", "Claude Opus 5.5", 1_000_000, 128_000, 2.2, xhigh=True),
    _claude("claude-opus-5", "Claude Opus 5", 1_000_000, 128_000, 2.2, xhigh=True),
    _claude("claude-opus-4.8", "Claude Opus 4.8", 1_000_000, 128_000, 2.2, xhigh=True),
    _claude("claude-opus-4.7", "Claude Opus 4.7", 1_000_000, 128_000, 2.2, xhigh=True),
    _claude("claude-opus-4.6", "Claude Opus 4.6", 1_000_000, 64_000, 2.2, xhigh=False),
    _claude("claude-opus-4.5", "Claude Opus 4.5", 200_000, 64_000, 2.2),
    _claude("claude-sonnet-5", "Claude Sonnet 5", 1_000_000, 64_000, 1.3, xhigh=True),
    _claude("claude-sonnet-4.6", "Claude Sonnet 4.6", 1_000_000, 64_000, 1.3, xhigh=False),
    _claude("claude-sonnet-4.5", "Claude Sonnet 4.5", 200_000, 64_000, 1.3),
    _claude("claude-sonnet-4", "Claude Sonnet 4", 200_000, 64_000, 1.3),
    _claude("claude-haiku-4.5", "Claude Haiku 4.5", 200_000, 64_000, 0.4),
    _gpt("gpt-5.6-sol", "GPT-5.6 Sol", 2.4),
    _gpt("gpt-5.6-terra", "GPT-5.6 Terra", 1.2),
    _text("deepseek-3.2", "DeepSeek 3.2", 128_000, 0.25),
    _text("glm-5", "GLM 5", 200_000, 0.5),
    _text("minimax-m2.5", "MiniMax M2.5", 200_000, 0.25),
    _text("qwen3-coder-next", "Qwen3 Coder Next", 256_000, 0.05),
)


def by_id(models: Iterable[ModelSpec]) -> Mapping[str, ModelSpec]:
    """A look-up by model id."""
    return {model.id: model for model in models}


def model_entry(model: ModelSpec) -> JsonObject:
    """One element of ListAvailableModels' ``models``."""
    entry: JsonObject = {
        "modelId": model.id,
        "modelName": model.name,
        "description": model.description or f"The {model.name} model",
        "rateMultiplier": model.rate,
        "rateUnit": "credit",
        "tokenLimits": {
            "maxInputTokens": model.max_input_tokens,
            "maxOutputTokens": model.max_output_tokens,
        },
        "supportedInputTypes": ["TEXT", "IMAGE"] if model.images else ["TEXT"],
        "supportsPromptCache": model.cache,
        "promptCaching": _caching(model),
    }
    if model.fields_schema is not None:
        entry["additionalModelRequestFieldsSchema"] = model.fields_schema
    return entry


def _caching(model: ModelSpec) -> JsonObject:
    return {
        "supportsPromptCaching": model.cache,
        "maximumCacheCheckpointsPerRequest": 4 if model.cache else 0,
        "minimumTokensPerCacheCheckpoint": 1024 if model.cache else 0,
    }
