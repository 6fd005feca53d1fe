"""What the user can set about accounts. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from kiroproxy.accounts.pace import PaceLimits
from kiroproxy.accounts.selection import Strategy


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """``renew_ahead_s``: a token is renewed this long before it expires, or when a quarter of its
    life is left, whichever is later. ``min_left_s``: with less left a token counts as expired.
    ``renew_in_background`` False: only when a request needs it. The waits bound what a request gives
    to things it can do without; ``busy_wait_s``: to accounts that serve as many as they may."""

    strategy: Strategy = Strategy.SEQUENTIAL
    pace: PaceLimits = field(default_factory=PaceLimits)
    renew_in_background: bool = True
    renew_ahead_s: float = 15 * 60.0
    busy_wait_s: float = 60.0
    min_left_s: float = 10.0
    profile_wait_s: float = 10.0
    catalogue_wait_s: float = 2.0
    source_poll_s: float = 30.0
    stop_grace_s: float = 20.0
