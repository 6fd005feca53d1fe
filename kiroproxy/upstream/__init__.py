"""The client side: a pooled HTTP/1.1 client over plain TCP and TLS, and the calls made with it."""

from kiroproxy.upstream.client import UpstreamClient
from kiroproxy.upstream.fetch import Fetcher, Reach
from kiroproxy.upstream.pool import PoolLimits
from kiroproxy.upstream.proxy import ProxyTable
from kiroproxy.upstream.response import UpstreamResponse
from kiroproxy.upstream.timeouts import Timeouts
from kiroproxy.upstream.tls import load_tls_context

__all__ = [
    "Fetcher",
    "PoolLimits",
    "ProxyTable",
    "Reach",
    "Timeouts",
    "UpstreamClient",
    "UpstreamResponse",
    "load_tls_context",
]
