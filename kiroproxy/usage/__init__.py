"""What was spent: the ledger of requests, the accounts' quotas, the numbers behind both."""

from kiroproxy.usage.feed import Feed
from kiroproxy.usage.journal import Journal
from kiroproxy.usage.ledger import Ledger
from kiroproxy.usage.prompts import PromptLog
from kiroproxy.usage.quota import Quota, QuotaWatch
from kiroproxy.usage.record import RequestRecord, Trace
from kiroproxy.usage.team import Place, Team

__all__ = [
    "Feed",
    "Journal",
    "Ledger",
    "Place",
    "PromptLog",
    "Quota",
    "QuotaWatch",
    "RequestRecord",
    "Team",
    "Trace",
]
