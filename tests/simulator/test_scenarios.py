"""Scenarios: tables in, a simulator out; a wrong table is one sentence that names the key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kiroproxy.errors import ConfigError
from kiroproxy.simulator.scenarios import SCENARIOS, parse, scenario


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_built_in_one_can_be_played(name: str) -> None:
    chosen = scenario(name)
    assert chosen.meaning and chosen.simulator().faults.pending == len(chosen.faults)


def test_settings_accounts_and_faults_arrive(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'meaning = "mine"\n'
        "[settings]\nlatency_s = 1\narn_required = true\n"
        '[accounts.idc]\ncredits_used = 7\nsuspended = true\nmodels = ["auto"]\n'
        '[[faults]]\nname = "rate"\nretry_after = 2\ntimes = 2\naccount = "idc"\n'
        '[[faults]]\nname = "invalid_grant"\nroute = "refresh"\n'
    )
    made = scenario(str(path)).simulator()
    assert (made.settings.latency_s, made.settings.arn_required) == (1.0, True)
    account = made.account("idc")
    assert (account.credits_used, account.suspended) == (7.0, True)
    assert account.models == frozenset({"auto"}) and made.account("social").models is None
    drawn = [made.faults.draw("chat", label) for label in ("social", "idc", "idc", "idc")]
    assert [fault and (fault.name, dict(fault.params)) for fault in drawn] == [
        None,
        ("rate", {"retry_after": "2"}),
        ("rate", {"retry_after": "2"}),
        None,
    ]
    for _ in range(3):  # for ever
        fault = made.faults.draw("refresh", "idc")
        assert fault is not None and fault.name == "invalid_grant"


def test_json_and_a_fault_by_its_words(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"faults": [{"name": "cut", "after": 1}]}))
    assert scenario(str(path)).faults[0].params == {"after": "1"}
    (order,) = scenario("rate retry_after=2 times=3 account=social").faults
    assert (order.times, order.account, order.params) == (3, "social", {"retry_after": "2"})


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ([], "t: must be a table"),
        ({"fault": []}, "t: fault: is not known here; there are meaning, settings"),
        ({"meaning": 1}, "t: meaning: must be a text"),
        ({"settings": {"speed": 1}}, "t: settings: speed: is not known here"),
        ({"settings": {"pace_s": "x"}}, "t: settings.pace_s: must be a number from 0"),
        ({"settings": {"pace_s": -1}}, "t: settings.pace_s: must be a number from 0"),
        ({"settings": {"page_size": True}}, "t: settings.page_size: must be a whole number"),
        ({"accounts": {"me": {}}}, "t: accounts: me: is not known here; there are social, idc"),
        ({"accounts": {"idc": {"models": [1]}}}, "t: accounts.idc.models: must be a list of texts"),
        ({"faults": {}}, "t: faults: must be a list"),
        ({"faults": [{"name": "rat"}]}, "t: faults[0]: name: must be a fault's name"),
        ({"faults": [{"name": "rate", "times": 0}]}, "t: faults[0]: times: must be a whole number"),
        ({"faults": [{"name": "rate", "route": "x"}]}, "t: faults[0]: route: must be one of chat"),
        ({"faults": [{"name": "rate", "account": "x"}]}, "t: faults[0]: account: must be one of"),
        ({"faults": [{"name": "rate", "after": []}]}, "t: faults[0]: after: must be a text or a"),
    ],
)
def test_wrong_tables(table: object, complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(table, "t")
    assert refused.value.message.startswith(complaint)


@pytest.mark.parametrize(("name", "text"), [("a.toml", "x = ["), ("a.json", "[" * 100_000)])
def test_wrong_files(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=r"is not (TOML|JSON)"):
        scenario(str(tmp_path / name))
