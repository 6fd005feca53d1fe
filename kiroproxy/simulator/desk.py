"""The desk that issues tokens: refresh with rotation, expiry, device sign-in. Pure, time passed in."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from kiroproxy.simulator.settings import API_KEY, Account

_TOKEN_BYTES = 90  # in hex 180 characters, near the length of real ones


@dataclass(frozen=True, slots=True)
class Grant:
    """Fresh tokens. ``refresh_token`` replaces the one that was redeemed."""

    account: Account
    access_token: str
    refresh_token: str
    ttl_s: float


@dataclass(slots=True)
class _Access:
    account: Account
    expires_at_s: float


@dataclass(slots=True)
class _Device:
    kind: str
    client_id: str
    polls_left: int
    expires_at_s: float


class Desk:
    """Who holds which token. ``now_s`` is monotonic seconds everywhere.

    ``old_until_use``: a redeemed refresh token dies when the access token that came for it is first used,
    and not at once."""

    def __init__(
        self,
        accounts: Iterable[Account],
        ttl_s: float,
        device_polls: int,
        device_end: str = "",
        device_ttl_s: float = 600,
        *,
        old_until_use: bool = False,
    ) -> None:
        self._old_until_use = old_until_use
        self._redeemed: dict[str, tuple[str, str]] = {}  # access token → old and new refresh token
        self._device_end = device_end
        self._device_ttl_s = device_ttl_s
        self._accounts = {account.label: account for account in accounts}
        self._ttl_s = ttl_s
        self._device_polls = device_polls
        self._keys = {a.api_key: a for a in self._accounts.values() if a.kind == API_KEY}
        self._refresh = {a.refresh_token: a for a in self._accounts.values() if a.refresh_token}
        self._access = {
            a.access_token: _Access(a, float("inf"))
            for a in self._accounts.values()
            if a.access_token
        }
        self._clients = {
            a.client_id: a.client_secret for a in self._accounts.values() if a.client_id
        }
        # Refresh token → the client it was issued to; no other client may redeem it.
        self._issued_to = {t: a.client_id for t, a in self._refresh.items()}
        self._devices: dict[str, _Device] = {}

    @property
    def accounts(self) -> list[Account]:
        """All accounts, in order."""
        return list(self._accounts.values())

    def account(self, label: str) -> Account:
        """One account by label. Raises KeyError."""
        return self._accounts[label]

    def by_key(self, key: str) -> Account | None:
        """The account of an API key."""
        return self._keys.get(key)

    def by_access(self, token: str, now_s: float) -> Account | None:
        """The account of a living access token."""
        found = self._access.get(token)
        if found is None or found.expires_at_s <= now_s:
            return None
        self._settle(token)
        return found.account

    def _settle(self, access: str) -> None:
        """The access token is used: of all that the old refresh token brought only its own lives on."""
        old, _ = self._redeemed.pop(access, ("", ""))
        if old:
            for other, fresh in [p for p in self._redeemed.values() if p[0] == old]:
                self._kill(other, fresh)
            self._redeemed = {a: p for a, p in self._redeemed.items() if p[0] != old}
            self._kill(old)

    def _kill(self, *tokens: str) -> None:
        for token in tokens:
            self._refresh.pop(token, None)
            self._issued_to.pop(token, None)

    def is_expired(self, token: str, now_s: float) -> bool:
        """Whether this was an access token once, and has run out."""
        found = self._access.get(token)
        return found is not None and found.expires_at_s <= now_s

    def by_refresh(self, token: str) -> Account | None:
        """The account of a living refresh token."""
        return self._refresh.get(token)

    def redeem(self, token: str, now_s: float, *, rotate: bool = True) -> Grant | None:
        """New tokens for a refresh token, which dies by it; None when it is dead already."""
        account = self._refresh.get(token)
        if account is None:
            return None
        if not rotate:
            return self._grant(account, token, now_s)
        fresh = self._issue(account, self._issued_to.get(token, ""))
        grant = self._grant(account, fresh, now_s)
        if self._old_until_use:
            self._redeemed[grant.access_token] = (token, fresh)
        else:
            self._kill(token)
        return grant

    def issued_to(self, token: str) -> str:
        """The client id a refresh token was issued to; '' for none."""
        return self._issued_to.get(token, "")

    def revoke_access(self, label: str) -> None:
        """All access tokens of an account die before their time, as after a login elsewhere."""
        self._access = {t: a for t, a in self._access.items() if a.account.label != label}

    def revoke_refresh(self, label: str) -> None:
        """The account has to sign in again."""
        self._refresh = {t: a for t, a in self._refresh.items() if a.label != label}

    def expire_access(self, label: str) -> None:
        """All access tokens of an account are past their end."""
        for access in self._access.values():
            if access.account.label == label:
                access.expires_at_s = float("-inf")

    def register(self) -> tuple[str, str]:
        """A new OIDC client: id and secret."""
        id_, secret = secrets.token_urlsafe(16), "eyJ" + secrets.token_urlsafe(60)
        self._clients[id_] = secret
        return id_, secret

    def knows_client(self, id_: object, secret: object) -> bool:
        """Whether this client was registered, with this secret."""
        return isinstance(id_, str) and id_ in self._clients and self._clients[id_] == secret

    def start_device(self, kind: str, client_id: str, now_s: float) -> tuple[str, str]:
        """A device sign-in of the first account of this kind: device code and user code."""
        code, user_code = secrets.token_urlsafe(32), secrets.token_hex(4).upper()
        expires_at_s = now_s + self._device_ttl_s
        self._devices[code] = _Device(kind, client_id, self._device_polls, expires_at_s)
        return code, f"{user_code[:4]}-{user_code[4:]}"

    def poll_device(self, code: str, client_id: str, now_s: float) -> Grant | str:
        """A grant, or OAuth's word for why there is none."""
        device = self._devices.get(code)
        if device is None or device.client_id != client_id:
            return "invalid_grant"
        if device.expires_at_s <= now_s:
            return "expired_token"
        if device.polls_left > 0:
            device.polls_left -= 1
            return "authorization_pending"
        if self._device_end:
            return self._device_end
        del self._devices[code]
        account = next(a for a in self._accounts.values() if a.kind == device.kind)
        return self._grant(account, self._issue(account, client_id), now_s)

    def _issue(self, account: Account, client_id: str) -> str:
        fresh = "aor" + secrets.token_hex(_TOKEN_BYTES)
        self._refresh[fresh] = account
        self._issued_to[fresh] = client_id
        return fresh

    def _grant(self, account: Account, refresh_token: str, now_s: float) -> Grant:
        access = "aoa" + secrets.token_hex(_TOKEN_BYTES)
        self._access[access] = _Access(account, now_s + self._ttl_s)
        return Grant(account, access, refresh_token, self._ttl_s)
