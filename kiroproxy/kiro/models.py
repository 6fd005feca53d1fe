"""Model catalogue: what ListAvailableModels says, and how a requested name finds its entry.

The reply of the account is the authority (entitlements and windows differ per account); the table
below serves only while the call fails. Names come in many spellings: dated Anthropic ids, provider
prefixes, ``[1m]`` markers, family aliases. A name is never moved to another family.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kiroproxy.errors import UpstreamError

DEFAULT_WINDOW: Final = 200_000
DEFAULT_OUTPUT: Final = 64_000
FAMILIES: Final = ("opus", "sonnet", "haiku", "fable")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model of an account. Token limits are never 0. ``rate``: credits per request unit.

    ``fields_schema``: JSON schema of additionalModelRequestFields, None when the model has none.
    """

    id: str
    name: str
    max_input_tokens: int = DEFAULT_WINDOW
    max_output_tokens: int = DEFAULT_OUTPUT
    images: bool = True
    fields_schema: dict[str, Any] | None = None
    cache: bool = False
    rate: float | None = None
    description: str = ""


def _row(
    model_id: str,
    rate: float | None,
    window: int,
    output: int = DEFAULT_OUTPUT,
    images: bool = True,
) -> ModelInfo:
    words = model_id.replace("-", " ").title()
    return ModelInfo(model_id, words, window, output, images, rate=rate)


# Used only when the catalogue cannot be read; observed by several proxies in 2026.
FALLBACK: Final[tuple[ModelInfo, ...]] = (
    _row("auto", 1.0, 200_000),
    _row("claude-opus-5.5", None, 1_000_000),
    _row("claude-opus-5", 2.2, 1_000_000),
    _row("claude-opus-4.8", 2.2, 1_000_000),
    _row("claude-opus-4.7", 2.2, 1_000_000),
    _row("claude-opus-4.6", 2.2, 1_000_000),
    _row("claude-opus-4.5", 2.2, 200_000),
    _row("claude-sonnet-5", 1.3, 1_000_000),
    _row("claude-sonnet-4.6", 1.3, 1_000_000),
    _row("claude-sonnet-4.5", 1.3, 200_000),
    _row("claude-sonnet-4", 1.3, 200_000),
    _row("claude-3.7-sonnet", None, 200_000),
    _row("claude-haiku-4.5", 0.4, 200_000),
    _row("deepseek-3.2", 0.25, 128_000, images=False),
    _row("glm-5", 0.5, 200_000, images=False),
    _row("minimax-m2.5", 0.25, 200_000, images=False),
    _row("minimax-m2.1", 0.15, 200_000, images=False),
    _row("qwen3-coder-next", 0.05, 256_000, images=False),
    _row("gpt-5.6-sol", 2.4, 272_000),
    _row("gpt-5.6-terra", 1.2, 272_000),
    _row("gpt-5.6-luna", None, 272_000),
)


# Names that clients of other proxies have in their settings; listed beside the table above, so that a
# model picker finds them while the live list cannot be read.
FALLBACK_NAMES: Final = (
    "claude-sonnet-4-5-20250929",
    "claude-sonnet-4-20250514",
    "claude-3-7-sonnet-20250219",
    "claude-3-5-haiku-20241022",
    "amazonq-claude-sonnet-4-5-20250929",
    "amazonq-claude-sonnet-4-20250514",
    "amazonq-claude-3-7-sonnet-20250219",
)


def parse_models(reply: bytes) -> list[ModelInfo]:
    """The models of one ListAvailableModels page. Raises UpstreamError when it is no such page."""
    entries = _page(reply).get("models")
    if not isinstance(entries, list):
        raise UpstreamError("ListAvailableModels: the reply holds no list of models.")
    return [model for entry in entries if (model := _maybe_model(entry)) is not None]


def parse_next_token(reply: bytes) -> str | None:
    """The token of the next page, or None on the last one. Same errors as ``parse_models``."""
    page = _page(reply)
    token = page.get("nextToken", page.get("next_token"))
    return token if isinstance(token, str) and token else None


def _page(reply: bytes) -> dict[str, Any]:
    try:
        page = orjson.loads(reply)
    except orjson.JSONDecodeError as error:
        raise UpstreamError(f"ListAvailableModels: the reply is not JSON ({error}).") from None
    if not isinstance(page, dict):
        raise UpstreamError("ListAvailableModels: the reply is not a JSON object.")
    return page


_SNAKE: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _get(entry: dict[str, Any], key: str) -> Any:
    """The camelCase key, or its snake_case spelling (seen once in the wild)."""
    return entry[key] if key in entry else entry.get(_SNAKE.sub("_", key).lower())


def _maybe_model(entry: object) -> ModelInfo | None:
    """One entry; None when it has no id. Every other field falls back to its default."""
    if not isinstance(entry, dict):
        return None
    model_id = _get(entry, "modelId")
    if not isinstance(model_id, str) or not model_id:
        return None
    limits = _get(entry, "tokenLimits")
    limits = limits if isinstance(limits, dict) else {}
    name = _get(entry, "modelName")
    rate = _get(entry, "rateMultiplier")
    description = _get(entry, "description")
    kinds = _get(entry, "supportedInputTypes")
    return ModelInfo(
        id=model_id,
        name=name if isinstance(name, str) and name else model_id,
        max_input_tokens=_positive(_get(limits, "maxInputTokens"), _window_of(model_id)),
        max_output_tokens=_positive(_get(limits, "maxOutputTokens"), DEFAULT_OUTPUT),
        images=not isinstance(kinds, list) or "IMAGE" in kinds,
        fields_schema=_schema(_get(entry, "additionalModelRequestFieldsSchema")),
        cache=_caches(entry),
        rate=float(rate) if _is_number(rate) else None,
        description=description if isinstance(description, str) else "",
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positive(value: object, default: int) -> int:
    return int(value) if _is_number(value) and value >= 1 else default  # type: ignore[operator, call-overload]


def _window_of(model_id: str) -> int:
    known = (row.max_input_tokens for row in FALLBACK if row.id == model_id)
    return next(known, DEFAULT_WINDOW)


def _schema(value: object) -> dict[str, Any] | None:
    """The schema comes as an object or as JSON text; empty or broken means none."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, dict) and value else None


def _caches(entry: dict[str, Any]) -> bool:
    caching = _get(entry, "promptCaching")
    if isinstance(caching, dict):
        return _get(caching, "supportsPromptCaching") is True
    return _get(entry, "supportsPromptCache") is True


_ONE_MILLION: Final = re.compile(r"\[1m\]$", re.IGNORECASE)
_THINKING: Final = re.compile(r"-thinking$", re.IGNORECASE)
_DATE: Final = re.compile(r"[-@](?:20\d{6}|latest)(?:-v\d+(?::\d+)?)?$", re.IGNORECASE)
# Bedrock's spelling, and the one that older proxies of this service listed.
_VENDOR: Final = re.compile(r"^(?:(?:[a-z]{2,6}\.)?anthropic\.|amazonq-)(?=claude)", re.IGNORECASE)
_OLD_ORDER: Final = re.compile(r"^claude-(\d+(?:[.-]\d+)?)-(opus|sonnet|haiku)$")
_DASHED_VERSION: Final = re.compile(r"(\d)-(\d+)(?!\d)(?=$|-)")
_CLAUDE: Final = re.compile(rf"^claude-({'|'.join(FAMILIES)})-(\d+)(?:\.(\d+))?$")


def wants_thinking(name: str) -> bool:
    """Whether the name carries the ``-thinking`` suffix by which some clients switch thinking on."""
    return _is_marked(name) if len(name) <= MAX_KNOWN_NAME else _has_suffix(name)


def _has_suffix(name: str) -> bool:
    return _THINKING.search(_ONE_MILLION.sub("", name.strip())) is not None


_is_marked: Final = functools.lru_cache(maxsize=256)(_has_suffix)


MAX_KNOWN_NAME: Final = 200
"""Names come from clients; longer ones are worked out each time instead of being kept."""


def normalise(name: str) -> tuple[str, ...]:
    """Spellings under which the service may know ``name``, best first, all lower-case, no repeats.

    ``claude-opus-4-5-20251101[1m]`` → itself without the marker, then ``claude-opus-4.5``.
    """
    return _remembered(name) if len(name) <= MAX_KNOWN_NAME else _spellings(name)


def _spellings(name: str) -> tuple[str, ...]:
    bare = _bare(name).lower()
    plain = _DATE.sub("", _THINKING.sub("", _DATE.sub("", bare)))
    dotted = _DASHED_VERSION.sub(r"\1.\2", plain, count=1)
    candidates = [bare, plain, dotted]
    old = _OLD_ORDER.match(dotted)
    if old is not None:
        candidates.append(f"claude-{old[2]}-{old[1]}")
    # Anthropic writes version 4 as 4-0 too; the service refuses any ".0".
    candidates += [item[:-2] for item in candidates[2:] if item.endswith(".0")]
    return tuple(dict.fromkeys(candidates))


_remembered = functools.lru_cache(maxsize=256)(_spellings)


def _bare(name: str) -> str:
    """Without provider prefix and window marker, in its own case."""
    return _VENDOR.sub("", _ONE_MILLION.sub("", name.strip().rsplit("/", 1)[-1]).strip())


def claude_aliases(catalogue: Iterable[ModelInfo]) -> dict[str, str]:
    """Alias → model id: the dashed spelling of each Claude id, and each family's bare name for its
    newest member (``sonnet`` and ``claude-sonnet``)."""
    aliases: dict[str, str] = {}
    newest: dict[str, tuple[tuple[int, int], str]] = {}
    for model in catalogue:
        version = _claude_version(model.id)
        if version is None:
            continue
        family, number = version
        aliases[model.id.replace(".", "-")] = model.id
        newest[family] = max(newest.get(family, (number, model.id)), (number, model.id))
    for family, (_, model_id) in newest.items():
        aliases[family] = aliases[f"claude-{family}"] = model_id
    return aliases


def _claude_version(model_id: str) -> tuple[str, tuple[int, int]] | None:
    match = _CLAUDE.match(model_id.lower())
    return None if match is None else (match[1], (int(match[2]), int(match[3] or 0)))


def offers(name: str, catalogue: Sequence[ModelInfo]) -> bool:
    """Whether the catalogue holds ``name`` itself, in any spelling or by its family's alias."""
    return _listed(normalise(name), catalogue) is not None


def _listed(spellings: Sequence[str], catalogue: Sequence[ModelInfo]) -> ModelInfo | None:
    by_id = {model.id.lower(): model for model in catalogue}
    for spelling in spellings:
        if spelling in by_id:
            return by_id[spelling]
    aliases = claude_aliases(catalogue)
    for spelling in spellings:
        if spelling in aliases:
            return by_id[aliases[spelling].lower()]
    return None


def resolve(name: str, catalogue: Sequence[ModelInfo]) -> ModelInfo:
    """The entry that serves ``name``.

    In order: any spelling of the name in the catalogue; a family alias; for a Claude version that
    this account does not have, the nearest version of the same family (the newest one that is not
    newer than asked, else the oldest): clients ask for ids newer than an account offers. Anything
    else passes through unchanged, so that the service itself can refuse it. While only the fallback
    table is known nothing is moved to a near version: it does not tell what the account has.
    """
    spellings = normalise(name)
    listed = _listed(spellings, catalogue)
    if listed is not None:
        return listed
    near = None if tuple(catalogue) == FALLBACK else _nearest(spellings, catalogue)
    return near if near is not None else _unknown(name, spellings)


def _nearest(spellings: Sequence[str], catalogue: Sequence[ModelInfo]) -> ModelInfo | None:
    asked = next((v for v in map(_claude_version, spellings) if v is not None), None)
    if asked is None:
        return None
    family, number = asked
    known: list[tuple[tuple[int, int], ModelInfo]] = []
    for model in catalogue:
        version = _claude_version(model.id)
        if version is not None and version[0] == family:
            known.append((version[1], model))
    if not known:
        return None
    known.sort(key=lambda item: item[0])
    older = [item for item in known if item[0] <= number]
    return (older[-1] if older else known[0])[1]


def _unknown(name: str, spellings: Sequence[str]) -> ModelInfo:
    """A name nobody knows: Claude spellings go out normalised, all others in the caller's case."""
    claude = next((item for item in reversed(spellings) if _CLAUDE.match(item)), None)
    model_id = claude or _bare(name) or "auto"
    return ModelInfo(model_id, model_id, max_input_tokens=_window_of(model_id))
