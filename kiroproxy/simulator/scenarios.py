"""Whole situations by name or from a file: what the simulator is, and what it breaks.

A scenario is a table, in Python or as TOML or JSON::

    meaning = "the first account is spent, the second one slow"
    [settings]                  # see SETTINGS
    latency_s = 1.5
    [accounts.social]           # see ACCOUNT; social, idc, builder, api_key
    credits_used = 2000
    [[faults]]                  # drawn in this order; any further key is the fault's parameter
    name = "rate"
    retry_after = 2
    times = 3                   # left out: for ever
    route = "chat"              # see ROUTES; left out: chat
    account = "idc"             # left out: any

Every name of a fault is a scenario too: that fault, on every request.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kiroproxy.errors import ConfigError
from kiroproxy.simulator.faults import NAMES
from kiroproxy.simulator.server import Simulator
from kiroproxy.simulator.settings import Settings, demo_accounts

Json = dict[str, Any]

ROUTES: Final = ("chat", "refresh", "models", "usage", "profiles", "mcp")
SETTINGS: Final[dict[str, type]] = {
    "pace_s": float,
    "latency_s": float,
    "token_ttl_s": float,
    "arn_required": bool,
    "folded_statuses": bool,
    "check": bool,
    "batch_bytes": int,
    "page_size": int,
    "device_polls": int,
    "device_end": str,
    "device_ttl_s": float,
}
"""Fields of ``Settings`` that a scenario may set."""
ACCOUNT: Final[dict[str, type]] = {
    "credits_limit": float,
    "credits_used": float,
    "suspended": bool,
    "title": str,
    "models": list,
}
"""Fields of ``Account`` that a scenario may set; ``models`` is a list of the ids it may use."""
_WORDS: Final = {
    bool: "true or false",
    str: "a text",
    float: "a number from 0",
    int: "a whole number from 0",
    list: "a list of texts",
}
_MAX_FILE_BYTES: Final = 1024 * 1024

SCENARIOS: Final[dict[str, Json]] = {
    "calm": {"meaning": "nothing goes wrong"},
    "throttled": {
        "meaning": "three requests are told to wait two seconds, then all is well",
        "faults": [{"name": "rate", "retry_after": 2, "times": 3}],
    },
    "crowded": {
        "meaning": "every model is out of capacity",
        "faults": [{"name": "capacity"}],
    },
    "flaky": {
        "meaning": "an internal error, a cut answer, an early end, a bad checksum, then all is well",
        "faults": [
            {"name": name, "times": 1} for name in ("internal", "cut", "eof_mid_frame", "corrupt")
        ],
    },
    "slow": {
        "meaning": "five seconds to the first byte, and five words a second",
        "settings": {"latency_s": 5.0, "pace_s": 0.2},
    },
    "silent": {
        "meaning": "answers begin and never go on",
        "faults": [{"name": "stall", "after": 3}],
    },
    "spent": {
        "meaning": "no account has credits left",
        "accounts": {
            label: {"credits_used": 2000.0} for label in ("social", "idc", "builder", "api_key")
        },
    },
    "nearly-spent": {
        "meaning": "half a credit is left on each account",
        "accounts": {
            label: {"credits_used": 1999.5} for label in ("social", "idc", "builder", "api_key")
        },
    },
    "one-suspended": {
        "meaning": "the first account (social) is suspended",
        "accounts": {"social": {"suspended": True}},
    },
    "short-tokens": {
        "meaning": "access tokens live for twenty seconds",
        "settings": {"token_ttl_s": 20.0},
    },
    "dead-sign-ins": {
        "meaning": "no sign-in can be renewed",
        "faults": [{"name": "invalid_grant", "route": "refresh"}],
    },
    "strict-arn": {
        "meaning": "calls without a profile ARN are refused, as on the newer hosts",
        "settings": {"arn_required": True},
    },
}


@dataclass(frozen=True, slots=True)
class FaultOrder:
    """``times`` None: for ever."""

    name: str
    route: str = "chat"
    account: str | None = None
    times: int | None = None
    params: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked table."""

    meaning: str
    settings: Json
    accounts: dict[str, Json]
    faults: list[FaultOrder]

    def simulator(self) -> Simulator:
        """A simulator in this situation, not started."""
        settings = Settings(**self.settings)
        for account in settings.accounts:
            for name, value in self.accounts.get(account.label, {}).items():
                setattr(account, name, frozenset(value) if name == "models" else value)
        made = Simulator(settings)
        for order in self.faults:
            where = {"route": order.route, "account": order.account}
            if order.times is None:
                made.faults.always(order.name, **where, **order.params)  # type: ignore[arg-type]
            else:
                made.faults.next(order.name, times=order.times, **where, **order.params)  # type: ignore[arg-type]
        return made


def scenario(text: str) -> Scenario:
    """A scenario's name, a fault with its parameters (``rate retry_after=2 times=3``), or a file.

    Raises ConfigError.
    """
    if text in SCENARIOS:
        return parse(SCENARIOS[text], text)
    name, *pairs = text.split() or [""]
    if name in NAMES:
        if wrong := [pair for pair in pairs if "=" not in pair]:
            raise ConfigError(f"scenario: {wrong[0]} must be key=value")
        fault: Json = {"name": name, **dict(pair.split("=", 1) for pair in pairs)}
        if fault.get("times", "").isdigit():
            fault["times"] = int(fault["times"])
        return parse({"meaning": f"the fault {text}", "faults": [fault]}, text)
    path = Path(text)
    if not path.is_file():
        raise ConfigError(f"scenario: {text} is no scenario, no fault and no file; see --list")
    return parse(_read(path), str(path))


def _read(path: Path) -> Any:
    """The file's table; JSON when it is called so, TOML otherwise."""
    try:
        data = path.read_bytes()
        if len(data) > _MAX_FILE_BYTES:
            raise ConfigError(f"{path}: is bigger than {_MAX_FILE_BYTES} bytes")
        text = data.decode("utf-8-sig")
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError(f"{path}: is not {kind} ({error})") from None


def parse(value: Any, name: str) -> Scenario:
    """Check a table; ``name`` is what messages call it. Raises ConfigError."""
    table = _table(value, name)
    _known(table, ("meaning", "settings", "accounts", "faults"), name)
    settings = _fields(table.get("settings", {}), SETTINGS, f"{name}: settings")
    accounts = _table(table.get("accounts", {}), f"{name}: accounts")
    _known(accounts, tuple(a.label for a in demo_accounts()), f"{name}: accounts")
    faults = table.get("faults", [])
    if not isinstance(faults, list):
        raise ConfigError(f"{name}: faults: must be a list of tables")
    return Scenario(
        _value(table.get("meaning", ""), str, f"{name}: meaning"),
        settings,
        {label: _fields(a, ACCOUNT, f"{name}: accounts.{label}") for label, a in accounts.items()},
        [_fault(fault, f"{name}: faults[{index}]") for index, fault in enumerate(faults)],
    )


def _fault(value: Any, name: str) -> FaultOrder:
    table = dict(_table(value, name))
    fault, times = table.pop("name", None), table.pop("times", None)
    if fault not in NAMES:
        raise ConfigError(
            f"{name}: name: must be a fault's name; kiroproxy simulate --list has them"
        )
    if times is not None and (type(times) is not int or times < 1):
        raise ConfigError(f"{name}: times: must be a whole number from 1")
    route, account = table.pop("route", "chat"), table.pop("account", None)
    if route not in ROUTES:
        raise ConfigError(f"{name}: route: must be one of {', '.join(ROUTES)}")
    labels = [a.label for a in demo_accounts()]
    if account not in (None, *labels):
        raise ConfigError(f"{name}: account: must be one of {', '.join(labels)}")
    for key, item in table.items():
        if isinstance(item, dict | list) or item is None:
            raise ConfigError(f"{name}: {key}: must be a text or a number")
    return FaultOrder(fault, route, account, times, {k: str(v) for k, v in table.items()})


def _table(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}: must be a table")
    return value


def _known(table: Mapping[str, Any], names: tuple[str, ...], name: str) -> None:
    for key in table:
        if key not in names:
            raise ConfigError(f"{name}: {key}: is not known here; there are {', '.join(names)}")


def _fields(value: Any, kinds: Mapping[str, type], name: str) -> Json:
    table = _table(value, name)
    _known(table, tuple(kinds), name)
    return {key: _value(item, kinds[key], f"{name}.{key}") for key, item in table.items()}


def _value(value: Any, kind: type, name: str) -> Any:
    if kind is float and type(value) is int:
        value = float(value)
    is_wrong = type(value) is not kind
    if kind in (int, float) and not is_wrong:
        is_wrong = not 0 <= value < float("inf")
    if kind is list and not is_wrong:
        is_wrong = not all(isinstance(item, str) for item in value)
    if is_wrong:
        raise ConfigError(f"{name}: must be {_WORDS[kind]}")
    return value
