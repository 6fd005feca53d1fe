"""The models list: one body that both SDK families accept (each ignores the other's keys)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from kiroproxy.kiro.models import FALLBACK, FALLBACK_NAMES, ModelInfo, normalise, resolve

# The catalogue has no dates and clients want one. A model has that of its dated public id; a fixed one
# says plainly that it carries no meaning where a model has no such id.
_DATES: Final = {
    "claude-opus-4.5": "2025-11-01",
    "claude-haiku-4.5": "2025-10-01",
    "claude-sonnet-4.5": "2025-09-29",
    "claude-opus-4.1": "2025-08-05",
    "claude-opus-4": "2025-05-14",
    "claude-sonnet-4": "2025-05-14",
    "claude-sonnet-3.7": "2025-02-19",
    "claude-haiku-3.5": "2024-10-22",
}
_NO_DATE: Final = "2025-01-01"
_DATED_ID = re.compile(r"-(20\d{2})(\d{2})(\d{2})$")


def public_models(
    models: Sequence[ModelInfo], aliases: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Entries in the catalogue's order; doubled ids are shown once. The user's own names come last,
    before them the old names that clients know, if the built-in table stands in for a live list."""
    seen: dict[str, dict[str, Any]] = {}
    for model in models:
        if model.id not in seen:
            seen[model.id] = _entry(model.id, model)
    names = dict.fromkeys(FALLBACK_NAMES, "") if list(models) == list(FALLBACK) else {}
    for name, target in {**names, **(aliases or {})}.items():
        seen.setdefault(name, _entry(name, resolve(target or name, models)))
    return list(seen.values())


def models_body(entries: Sequence[dict[str, Any]]) -> bytes:
    """The whole list as JSON; there is never a second page."""
    return orjson.dumps(
        {
            "object": "list",
            "data": entries,
            "first_id": entries[0]["id"] if entries else None,
            "last_id": entries[-1]["id"] if entries else None,
            "has_more": False,
        }
    )


def model_body(wanted: str, entries: Sequence[dict[str, Any]]) -> bytes | None:
    """One entry as JSON under the id that was asked for, or None. Aliases and dated ids count."""
    by_id = {entry["id"]: entry for entry in entries}
    for name in (wanted, *normalise(wanted)):
        if name in by_id:
            created = _created_at(wanted)
            return orjson.dumps({**by_id[name], "id": wanted, **created})
    return None


def _entry(public_id: str, model: ModelInfo) -> dict[str, Any]:
    return {
        "id": public_id,
        "type": "model",
        "object": "model",
        "display_name": model.name or public_id,
        **_created_at(public_id),
        "owned_by": "anthropic" if public_id.startswith("claude") else "kiro",
        "max_input_tokens": model.max_input_tokens,
        "max_tokens": model.max_output_tokens,
    }


def _created_at(public_id: str) -> dict[str, Any]:
    match = _DATED_ID.search(public_id)
    if match:
        date = "-".join(match.groups())
    else:
        names = (_DATES[name] for name in normalise(public_id) if name in _DATES)
        date = next(names, _NO_DATE)
    try:
        moment = datetime.fromisoformat(date).replace(tzinfo=UTC)
    except ValueError:
        moment = datetime.fromisoformat(_NO_DATE).replace(tzinfo=UTC)
    return {
        "created_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "created": int(moment.timestamp()),
    }
