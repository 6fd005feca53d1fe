"""Sign-ins as users and other programs write them: JSON in a setting, base64, files, pools."""

from __future__ import annotations

import atexit
import tempfile
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fuzz.source import Source, as_json, edited
from kiroproxy.accounts.entries import Entry, parse_entry
from kiroproxy.accounts.found import Found, Surroundings, decoded, json_entries, read_file
from kiroproxy.accounts.pools import read_pools
from kiroproxy.errors import CredentialError

_MARK = "Zq7secretZq7secret"
_ENTRY: dict[str, Any] = {
    "auth": "IdC", "refreshToken": "aor" + _MARK, "clientId": "c", "clientSecret": "s" + _MARK,
    "accessToken": "aoa" + _MARK, "expiresAt": "2026-01-01T00:00:00.000Z", "region": "us-east-1",
    "profileArn": "arn:aws:codewhisperer:us-east-1:123456789012:profile/ABCDEFGHIJKL",
    "provider": "BuilderId", "startUrl": "https://view.awsapps.com/start", "disabled": False,
    "description": "d", "scopes": ["a"],
}  # fmt: skip
_SAMPLES: tuple[Any, ...] = (
    [_ENTRY, {"auth": "api_key", "apiKey": "ksk_" + _MARK}],
    {"auth": "Social", "refreshToken": "aor" + _MARK, "expires_at": 1_790_000_000_000},
    {"authMethod": "external_idp", "refresh_token": "r" + _MARK, "client_id": "c",
     "tokenEndpoint": "https://login.microsoftonline.com/t/oauth2/v2.0/token", "scopes": "a b"},
    {"claude-kiro-oauth": [{"KIRO_OAUTH_CREDS_FILE_PATH": "sign-in.json", "customName": "n",
                            "isDisabled": True},
                           {"KIRO_OAUTH_CREDS_BASE64": "e30="}]},
)  # fmt: skip
_FOLDER = tempfile.TemporaryDirectory(prefix="kiroproxy-fuzz-")
_HOME = Path(_FOLDER.name)
atexit.register(_FOLDER.cleanup)


def target(data: bytes) -> None:
    source = Source(data)
    kind = source.byte()
    body = source.rest() if kind & 0x80 else as_json(edited(_SAMPLES[kind % len(_SAMPLES)], source))
    text = body.decode("utf-8", "surrogateescape")
    around = Surroundings({}, _HOME, _HOME / "state", ("us-west-2", None)[kind >> 6 & 1])
    way = kind >> 3 & 7
    if way == 1:
        _take(decoded(b64encode(body).decode(), "NAME", around))
    elif way == 2:
        _take(decoded(text, "NAME", around))
    elif way in (3, 4):
        path = _HOME / ("kiro-auth-token.json", "sign-in.json")[way - 3]
        path.write_bytes(body)
        _take(read_file(path, "NAME", around))
    elif way == 5:
        path = _HOME / "pools.json"
        path.write_bytes(body)
        _take(read_pools(Surroundings({"PROVIDER_POOLS_FILE_PATH": str(path)}, _HOME, _HOME)))
    else:
        _take(json_entries(text, "NAME", around))


def _take(found: Iterable[Found]) -> None:
    """Each item is a usable sign-in or a sentence, and no sentence or repr shows a secret."""
    for item in found:
        assert _MARK not in repr(item)
        if isinstance(item, Entry):
            try:
                credential = parse_entry(item)
            except CredentialError as error:
                assert _MARK not in error.message
                continue
            assert len(credential.id) == 8
            assert credential.current
            if _MARK not in credential.label + credential.client_id + credential.scopes:
                assert _MARK not in repr(credential)  # an edit may have put it into these fields


def seeds() -> list[bytes]:
    found = [bytes([way << 3 | place]) for way in range(6) for place in range(len(_SAMPLES))]
    found += [
        bytes([way << 3, place, place % 8, place]) for way in (0, 4) for place in range(0, 40, 3)
    ]
    found += [b"\x80" + as_json(sample) for sample in _SAMPLES]
    return [
        *found,
        b"\x80",
        b"\x80[",
        b"\x98\xff\xfe",
        b"\x90!!",
        b"\x80" + b"[" * 400,
        b'\x80[{"a":' + b"1" * 5000,
    ]
