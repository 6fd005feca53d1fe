"""Model names: own ones, old ones, and accounts that lack a model."""

from __future__ import annotations

from pathlib import Path

from kiroproxy.kiro.models import FALLBACK_NAMES
from tests.e2e.support import house


async def test_own_name_is_listed_served_and_echoed(tmp_path: Path) -> None:
    async with house(tmp_path, MODEL_ALIASES="fast=claude-haiku-4.5, clever = opus") as home:
        listed = [m["id"] for m in (await home.send("GET", "/v1/models")).json["data"]]
        assert listed[-2:] == ["fast", "clever"]
        answer = await home.ask("[[sim:say quick]]", model="fast")
        assert (answer.text, answer.json["model"]) == ("quick", "fast")
        assert answer.headers["x-kiroproxy-model"] == "claude-haiku-4.5"
        family = await home.ask("[[sim:say wise]]", model="clever")
        assert family.headers["x-kiroproxy-model"].startswith("claude-opus-")


async def test_account_without_the_model_is_not_asked(tmp_path: Path) -> None:
    async with house(tmp_path, "social", "idc") as home:
        home.kiro.account("social").models = frozenset({"auto", "claude-haiku-4.5"})
        await home.send("GET", "/v1/models")  # both catalogues are known by then
        served = await home.ask("[[sim:say here]]", model="claude-opus-4-8")
        assert served.text == "here"
        assert [e.account for e in home.kiro.received("chat")] == ["idc"]
        await home.ask("[[sim:say another conversation]]", model="claude-haiku-4-5")
        assert home.kiro.received("chat")[-1].account == "social"


async def test_model_that_no_account_has_is_refused_by_the_service(tmp_path: Path) -> None:
    async with house(tmp_path, "social", "idc") as home:
        await home.send("GET", "/v1/models")
        answer = await home.ask("hello", model="gpt-17")
        assert (answer.status, answer.error["type"]) == (404, "not_found_error")


async def test_old_names_are_listed_while_the_live_list_cannot_be_read(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always("internal", route="models")
        listed = [m["id"] for m in (await home.send("GET", "/v1/models")).json["data"]]
        assert set(FALLBACK_NAMES) <= set(listed)
        answer = await home.ask("[[sim:say old]]", model="amazonq-claude-sonnet-4-5-20250929")
        assert answer.text == "old"
