"""The models list: dates."""

from __future__ import annotations

import orjson
import pytest

from kiroproxy.api.catalogue import model_body, models_body, public_models
from kiroproxy.kiro.models import FALLBACK, ModelInfo


@pytest.mark.parametrize(
    ("model_id", "date"),
    [
        ("claude-sonnet-4.5", "2025-09-29"),
        ("claude-sonnet-4-5-20250929", "2025-09-29"),
        ("claude-haiku-4-5", "2025-10-01"),
        ("claude-3.7-sonnet", "2025-02-19"),
        ("claude-opus-4.5[1m]", "2025-11-01"),
        ("claude-future-20991341", "2025-01-01"),
        ("auto", "2025-01-01"),
    ],
)
def test_a_model_has_the_date_of_its_public_id(model_id: str, date: str) -> None:
    (entry,) = public_models([ModelInfo(model_id, "A model")])
    assert entry["created_at"] == f"{date}T00:00:00Z"
    assert entry["created"] % 86_400 == 0


def test_both_sdk_families_read_the_same_moment() -> None:
    entries = {entry["id"]: entry for entry in public_models(FALLBACK)}
    entry = entries["claude-sonnet-4.5"]
    assert (entry["created"], entry["created_at"]) == (1_759_104_000, "2025-09-29T00:00:00Z")
    assert orjson.loads(models_body([entry]))["data"] == [entry]
    body = model_body("claude-sonnet-4-5", [entry])
    assert body is not None
    assert orjson.loads(body) == {**entry, "id": "claude-sonnet-4-5"}
