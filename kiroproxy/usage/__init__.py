"""What was spent: the ledger of requests, the accounts' quotas, the numbers behind both."""

from kiroproxy.usage.feed import Feed
from kiroproxy.usage.journal import Journal
from kiroproxy.usage.ledger import Ledger
from kiroproxy.usage.prompts import PromptLog
from kiroproxy.usage.quota import Quota, QuotaWatch
from kiroproxy.usage.record import RequestRecord, Trace

__all__ = [
    "Feed",
    "Journal",
    "Ledger",
    "PromptLog",
    "Quota",
    "QuotaWatch",
    "RequestRecord",
    "Trace",
]
