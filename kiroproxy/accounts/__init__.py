"""Who we are upstream: sign-ins, their renewal, their health, and which one serves a request."""

from kiroproxy.accounts.credentials import LoadResult, load_credentials
from kiroproxy.accounts.entries import Credential
from kiroproxy.accounts.manager import AccountManager, Lease
from kiroproxy.accounts.pace import PaceLimits
from kiroproxy.accounts.persistence import StateBook
from kiroproxy.accounts.selection import UNTRIED, AccountView, Strategy, Tried
from kiroproxy.accounts.settings import AccountSettings
from kiroproxy.accounts.state import State
from kiroproxy.accounts.store import TokenStore

__all__ = [
    "UNTRIED",
    "AccountManager",
    "AccountSettings",
    "AccountView",
    "Credential",
    "Lease",
    "LoadResult",
    "PaceLimits",
    "State",
    "StateBook",
    "Strategy",
    "TokenStore",
    "Tried",
    "load_credentials",
]
